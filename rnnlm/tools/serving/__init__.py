"""Models over HTTP, and the page that shows their computations."""
