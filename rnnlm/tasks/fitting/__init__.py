"""Training a task's network: its settings, batches, loss, and the weights it starts from."""
