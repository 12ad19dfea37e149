"""Tools that stand on the core: each can be taken away, and the core goes on."""
