"""What every language model shares: finding, loading and reading with it; tokens joined to words."""
