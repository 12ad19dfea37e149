"""Measures of labels: accuracy, spans, confusions, error rates, calibration, their signature, intervals and tests."""
