"""What every language model shares: it is found, loaded, and read with; tokens become words."""
