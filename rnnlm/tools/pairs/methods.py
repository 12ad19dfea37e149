"""The method of `rnnlm.Model` for minimal pairs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rnnlm.checks import several
from rnnlm.interface import ModelHandle

if TYPE_CHECKING:
    from rnnlm.tools.pairs.accuracy import PairScores
    from rnnlm.tools.pairs.pair import Pair, TestSet


class PairMethods(ModelHandle):
    """Accuracy on minimal pairs."""

    def score_pairs(
        self,
        pairs: "TestSet | Sequence[Pair]",
        *,
        scoring: Literal["full", "partial", "word"] | None = None,
        eos: bool = True,
        special_symbols: Literal["error", "drop", "replace"] = "error",
    ) -> "PairScores":
        """Score both sentences of minimal pairs. A notice counts the pairs that cannot be scored;
        each of them holds the reason.

        Args:
            pairs: The result of :func:`rnnlm.read_pairs`, or a list of :class:`rnnlm.Pair`.
            scoring: "full" compares whole sentences with their ends. "partial" compares the text
                after the differing part, given the beginning of each sentence (Trinh & Le 2018,
                arXiv 1806.02847, section 3.1). "word" compares the differing part, given the shared
                beginning (Linzen, Dupoux & Goldberg 2016, arXiv 1611.01368, section 6). None: as
                each pair specifies.
            eos: Include sentence ends, `</s>`, in the comparison.
            special_symbols: `<s>` or `</s>` in a sentence is an error, is dropped, or becomes
                `<unk>`.

        Returns:
            A list of scores, with accuracies by group.

        Raises:
            UsageError: The scoring is unknown.
            TextError: Nothing could be scored.
        """
        from rnnlm.tools.pairs.accuracy import score_set
        from rnnlm.tools.pairs.pair import TestSet

        if not isinstance(pairs, TestSet):
            pairs = TestSet("pairs", tuple(several(pairs, "pairs")))
        return score_set(self.core, pairs, special_symbols, scoring, eos)
