"""Training an encoder-decoder: its settings, batches, loss, and the weights it starts from."""
