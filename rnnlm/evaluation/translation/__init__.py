"""Measures of texts that a model wrote, beside references: BLEU, chrF, exact match and error rates, by length and with intervals."""
