"""Measure how much of the past affects a step of a recurrent network: gradients by lag."""
