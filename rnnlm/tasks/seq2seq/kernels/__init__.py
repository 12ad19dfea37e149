"""Input feeding as one loop over the steps of a window, forward and backward, each part of a step scheduled by hand."""
