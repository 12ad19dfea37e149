"""Raw text split into words: the way a treebank does it, at marks, or at white space."""
