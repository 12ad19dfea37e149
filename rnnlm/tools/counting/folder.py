"""Recognise the folders of counts."""

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
