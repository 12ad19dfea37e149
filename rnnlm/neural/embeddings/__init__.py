"""What a network reads of words: vectors, characters, vectors made elsewhere."""
