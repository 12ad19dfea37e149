"""Commands on what there is: list."""
