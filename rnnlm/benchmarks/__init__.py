"""How fast this machine is, beside a bare reference in the same run."""
