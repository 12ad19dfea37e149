"""Training a network: batches, steps, schedules, validation, checkpoints; by one process or by
several ranks."""
