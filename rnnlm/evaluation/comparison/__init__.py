"""Models compared on one text: comparability, intervals, tables, plots."""
