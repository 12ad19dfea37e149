"""Recipes: named settings as TOML files, with published and our own results."""
