"""The ARPA format, in which n-gram programs exchange models (SRILM's ngram-format(5)); what reading and writing share.

    \\data\\
    ngram 1=5                                   so many n-grams of each order
    \\1-grams:
    -0.6754889 TAB the TAB -0.30103             log10 p(w|h) TAB words TAB log10 of the backoff weight, where that is not 1
    \\end\\
"""

import numpy as np

ZERO_LOG10 = -99.0  # what programs write for log10 of zero
MISSING_LOG10 = -100.0  # what KenLM takes for <unk> where a file has none


def nats(log10: np.ndarray | float) -> np.ndarray:
    """Natural logarithms of the same numbers, float32."""
    with np.errstate(over="ignore"):
        return (np.asarray(log10) * np.log(10)).astype(np.float32)
