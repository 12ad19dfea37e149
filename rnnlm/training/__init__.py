"""Training runs: request, plan, run, resumption, grids; and models derived from others."""
