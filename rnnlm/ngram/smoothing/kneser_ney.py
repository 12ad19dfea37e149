"""Kneser-Ney (Kneser & Ney 1995; Chen & Goodman 1999, section 2.7): absolute discounting, but below the highest order
a word counts by how many different words it follows.

With a(hw) the adjusted count (raw at the highest order and after `<s>`, else the number of different words to the left of hw),
S(h) = sum over w of a(hw), T(h) how many different words were seen after h, and one D an order:

    share(w|h) = (a(hw) - D) / S(h)      where hw was seen
    left(h)    = D T(h) / S(h)
    D = t_1 / (t_1 + 2 t_2),   t_j = number of n-grams with adjusted count j

Where t_1 or t_2 is 0, D = 1/2. In "San Francisco", Francisco is frequent, but follows one word only: after other words it
is a poor guess.
"""

from rnnlm.ngram.smoothing.absolute_discounting import AbsoluteDiscounting


class KneserNey(AbsoluteDiscounting):
    """Discounts by order are in the report."""

    counts = "adjusted"
