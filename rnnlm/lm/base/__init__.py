"""What every language model shares: finding and loading it, reading text, joining tokens into words."""
