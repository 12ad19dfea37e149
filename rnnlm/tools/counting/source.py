"""Recognise the folders of counts, and count texts beyond memory, as a source of training data."""

from rnnlm.config import ResolvedSettings
from rnnlm.errors import TextError
from rnnlm.registry import TextFolder, imported
from rnnlm.system import quoted

COUNTS = "counts.json"


class CountedFolder(TextFolder):
    """The counts of the n-grams of a text."""

    name = "counts-*-order-*.safetensors"
    noun = "a folder of counts"
    made = "counted"
    command = "count"
    indexes = (COUNTS,)

    tokenizer = imported(__package__, "counts_folder:tokenizer_in")

    def refusal(self, name: str) -> TextError:
        called = quoted(name)
        return TextError(
            f"{name} is a folder of counts, not a text",
            hint=f"rnnlm train --counts {called} reads them, rnnlm count {called} prints them",
        )


COUNTED = CountedFolder()


class CountingSource:
    """Texts that are counted in little memory or by workers, and counts in folders."""

    less_memory = "--memory 1G limits the counting of n-grams"

    check = imported(__package__, "training_data:check")
    text = imported(__package__, "training_data:text_to_read")
    check_counts = imported(__package__, "counts_folder:load")
    open_counts = imported(__package__, "training_data:open_counts")
    data = imported(__package__, "training_data:DataToCount")

    def takes(self, resolved: ResolvedSettings) -> bool:
        # Recognising a folder of counts needs no settings.
        from rnnlm.lm.ngram.settings import NgramSettings

        return NgramSettings in resolved.classes


SOURCE = CountingSource()
