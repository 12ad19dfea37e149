"""What every language model shares: how it is found and loaded and reads text; words of tokens."""
