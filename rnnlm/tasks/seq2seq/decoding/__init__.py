"""What an encoder-decoder writes for lines that it reads: greedily, by beam search or drawn, with what it looked at."""
