"""Tools on top of the core. Each can be removed, and the core still works."""
