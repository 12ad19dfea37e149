"""Training runs: request, plan, run, resumption; and imported models."""
