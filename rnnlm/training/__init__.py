"""One training run: request, texts, plan, run, storage, resume."""
