"""Sentences with a gap: how high a language model ranks the word that a reader would say, by kind and by the distance of the cue."""
