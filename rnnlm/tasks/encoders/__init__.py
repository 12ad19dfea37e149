"""What reads the words: vectors, recurrent layers in both directions, pooling, frozen language models."""
