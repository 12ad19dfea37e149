"""Models over HTTP, and the page that shows what they compute."""
