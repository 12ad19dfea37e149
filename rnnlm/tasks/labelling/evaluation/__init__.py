"""How taggers and classifiers are evaluated: metrics, results, comparisons."""
