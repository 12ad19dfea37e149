"""Settings shipped as TOML: named recipes and what each of them reached."""
