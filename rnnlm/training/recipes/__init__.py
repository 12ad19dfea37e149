"""Named settings, shipped as TOML files with the results that they aim at and reached."""
