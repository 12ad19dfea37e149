"""Workbooks of Excel as tables."""
