"""Models and tokenizers of Hugging Face's libraries: read theirs, write ours for them."""
