"""Recurrent layers: what one layer computes, and stacks of them."""
