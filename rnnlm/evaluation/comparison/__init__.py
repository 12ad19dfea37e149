"""Models compared on one text: comparability, intervals, tables, plots, a report."""
