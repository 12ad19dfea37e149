"""One training run: request, texts, plan, run, storage, resume; and a grid of them."""
