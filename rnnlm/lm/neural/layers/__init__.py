"""Recurrent layers: the computation of one layer, and stacks of them."""
