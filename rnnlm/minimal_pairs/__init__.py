"""Minimal pairs: two sentences of which a good model finds one likelier; accuracy by kind, with intervals.

Sets of pairs come as tables of good and bad sentences (BLiMP), agreement templates, Winograd schemas and SyntaxGym's suites.
"""

from rnnlm.minimal_pairs.accuracy import PairAccuracy, pair_accuracies
from rnnlm.minimal_pairs.files import read_pairs
from rnnlm.minimal_pairs.pairs import Pair
from rnnlm.minimal_pairs.scoring import PairScore, score_pairs
from rnnlm.minimal_pairs.sets import TestSet, score_set

__all__ = ["Pair", "PairAccuracy", "PairScore", "TestSet", "pair_accuracies", "read_pairs", "score_pairs", "score_set"]
