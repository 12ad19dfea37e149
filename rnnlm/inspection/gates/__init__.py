"""Gates, cells and hidden states of a network at each word of a line, and what they say."""
