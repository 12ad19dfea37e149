"""Evaluation of taggers and classifiers: figures on labelled data, differences between models, soundness."""
