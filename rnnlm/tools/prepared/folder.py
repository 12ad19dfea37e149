"""Recognise the folders of prepared texts."""

from pathlib import Path

from rnnlm.errors import TextError
from rnnlm.registry import TextFolder, imported
from rnnlm.storage.files.resuming import signature

INDEX, JOURNAL = "index.json", "unfinished.json"  # of a whole text, and of one that is not finished


class PreparedFolder(TextFolder):
    """The token ids of a text, in shards."""

    name = "shard-*.safetensors"
    noun = "a prepared text"
    made = "prepared"
    command = "prepare"
    indexes = (INDEX, JOURNAL)
    is_text = True

    tokenizer = imported(__package__, "prepared_text:tokenizer_in")
    open = imported(__package__, "prepared_text:load")
    describe = imported(__package__, "prepared_text:describe")
    summary = imported(__package__, "prepared_text:summary")
    problems = imported(__package__, "prepared_text:problems")

    def signature(self, folder: Path) -> str:
        return signature(str(folder))

    def refusal(self, name: str) -> TextError:
        return TextError(
            f"{name} is a prepared text",
            "this needs the text itself, or only that prepared text",
            "name a text",
        )


PREPARED = PreparedFolder()
