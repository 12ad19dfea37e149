"""The settings with which labelled texts are read."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.errors import SettingsError, shown
from rnnlm.text.sources import parse_delimiter

Task = Literal["tagging", "classification"]
Format = Literal["auto", "conllu", "columns", "slashes", "tsv", "csv", "jsonl", "parquet", "parallel", "label-first", "fasttext"]
SchemeName = Literal["auto", "none", "iob1", "bio", "bioes", "bilou", "bmewo", "bmes"]


@dataclass(frozen=True)
class LabelledSettings:
    """How labelled texts are read. Columns are named by the header of a table, the names of CoNLL-U's fields, or numbers from 1 on."""

    format: Annotated[Format, Meta(description="how labels are written; auto: told by the content of the file")] = "auto"
    column: Annotated[str | None, Meta(description="column of the words or the text")] = None
    label_column: Annotated[str | None, Meta(description="column of what is learned; several are joined by commas")] = None
    sentence_label_column: Annotated[
        str | None, Meta(description="tagging: column of what is learned about the sentence as a whole; several are joined by commas")
    ] = None
    scheme: Annotated[SchemeName | None, Meta(description="how labels write spans; auto: told by the labels; none: they do not")] = "auto"
    multi_label: Annotated[bool, Meta(description="classification: a text has any number of labels, joined by |")] = False
    align: Annotated[
        bool, Meta(description="tagging: labels are the sounds of letters, as many as there are; each letter is given those it stands for")
    ] = False
    encoding_errors: Annotated[Literal["strict", "replace"], Meta(description="bad UTF-8 is an error, or becomes U+FFFD")] = "strict"
    delimiter: Annotated[str | None, Meta(description="what separates the cells of a table; none: as its header has it")] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "delimiter", parse_delimiter(self.delimiter))
        object.__setattr__(self, "scheme", self.scheme or "none")  # None is how settings read the word
        for name in ("label_column", "sentence_label_column"):
            columns = names_in(getattr(self, name))
            if len(set(columns)) < len(columns):
                raise SettingsError(f"{name} = {shown(getattr(self, name))} names a column twice")

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The label columns that are named."""
        return names_in(self.label_column)

    @property
    def sentence_label_columns(self) -> tuple[str, ...]:
        """The columns of labels of the whole sentence that are named."""
        return names_in(self.sentence_label_column)


def names_in(joined: str | None) -> tuple[str, ...]:
    """The names that are joined by commas."""
    return tuple(name for name in map(str.strip, (joined or "").split(",")) if name)
