"""The source of training data that counts texts beyond memory, and that reads counts."""

from rnnlm.config import ResolvedSettings
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.registry import imported


class CountingSource:
    """Texts that are counted in little memory or by workers, and counts in folders."""

    less_memory = "--memory 1G limits the counting of n-grams"

    check = imported(__package__, "training_data:check")
    text = imported(__package__, "training_data:text_to_read")
    check_counts = imported(__package__, "training_data:check_counts")
    open_counts = imported(__package__, "training_data:open_counts")
    data = imported(__package__, "training_data:DataToCount")

    def takes(self, resolved: ResolvedSettings) -> bool:
        return NgramSettings in resolved.classes


SOURCE = CountingSource()
