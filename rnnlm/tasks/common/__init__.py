"""What labelling and encoder-decoders share: their examples, batches, and the texts of their
commands."""
