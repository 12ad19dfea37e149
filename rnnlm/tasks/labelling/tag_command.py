"""`rnnlm tag`: labels of words, in a table or written into the file they came from."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.cli import options, terminal
from rnnlm.cli.declaring import Command, IntRange, section
from rnnlm.cli.text_options import encoding_option
from rnnlm.tasks.common.command_texts import check_arguments, file_or_terminal, texts_or_file

if TYPE_CHECKING:
    from rnnlm.tasks.labelling.data import Codec
    from rnnlm.tasks.labelling.files import Document
    from rnnlm.tasks.labelling.tagging import TaggedSentence

FORMATS = ("auto", "conllu", "columns", "jsonl", "tsv", "csv", "parquet", "text")
_SUFFIXES = {
    ".csv": "csv",
    ".conllu": "conllu",
    ".conll": "columns",
    ".tsv": "tsv",
    ".xlsx": "xlsx",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


input_options = section(
    "Input",
    click.option("--input", "source", metavar="FILE",
                 help="File to tag, compressed or not; - is standard input."),
    click.option("--input-format", "form", type=click.Choice(FORMATS),
                 default="auto", metavar="NAME",
                 help="conllu, columns, jsonl, tsv, csv, parquet, or text (words separated by "
                      "white space, one sentence per line).  [default: inferred from suffix and "
                      "content]"),
    click.option("--column", metavar="NAME",
                 help="Column of the words, by name or number.  [default: a usual name, or "
                      "inferred from the content]"),
    click.option("--sentence-column", metavar="NAME",
                 help="Column that identifies the sentence, in tables with one word per row."),
    encoding_option,
)  # fmt: skip
search_options = section(
    "Labels",
    click.option("--nbest", type=IntRange(1), default=1, metavar="N",
                 help="Show the N best label sequences of each sentence. From 2 on they are "
                      "ranked by their whole probability: sequences that are written alike "
                      "count as one."),
    click.option("--probabilities", is_flag=True,
                 help="Show the probability of each word's label; for a CRF, the marginal "
                      "probability."),
)  # fmt: skip
output_options = section(
    "Output",
    options.json_option,
    options.output_option("File to write: .conllu, .conll, .jsonl, .tsv, .csv or .xlsx. Other "
                          "suffixes keep the input's format, TSV for Parquet. - is standard "
                          "output."),
    options.overwrite_option("Replace an existing file."),
)  # fmt: skip


@click.command(cls=Command, needs={"overwrite": ["output"]})
@click.argument("sentences", nargs=-1)
@section("Model", options.model_option, options.device_option)
@input_options
@search_options
@output_options
def command(
    sentences: tuple[str, ...], model_name: str | None, device: str, source: str | None,
    as_json: bool, output: Path | None,
    overwrite: bool, nbest: int, probabilities: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Label words: parts of speech, names, slots, sounds.

    \b
    rnnlm tag -m pos "We love cold beer"
    rnnlm tag -m pos --input text.txt -o text.conllu
    rnnlm tag -m pos --input news.conllu > tagged.conllu
    rnnlm tag -m slots "fly me to oslo at noon" --nbest 3
    rnnlm tag -m sounds speech

    Text is split only at white space, so put spaces around punctuation if the training data have
    them. Each line of text has a result. A blank line has an empty one; in CoNLL-U it is the
    comment `# blank = N` with the line number N. Comments and other columns of a file are kept. A
    letters-to-sounds model takes words, or the letters of one word separated by spaces.

    --json prints the words and labels of each sentence, and the results of --nbest and
    --probabilities.
    """
    # Check options and texts before torch is imported.
    sentences, source = texts_or_file(sentences, source, "sentence")
    is_shown = sentences and not output
    options.refuse_if(
        nbest > 1 and not as_json and not is_shown,
        "a file holds one label per word: use --json for the N best.",
    )
    options.own_output(output, overwrite, source)
    options.check_texts(source)
    name = options.chosen_model(model_name)
    from rnnlm.lm.base import loading
    from rnnlm.storage.files.tables import json_text
    from rnnlm.tasks.labelling import files
    from rnnlm.tasks.labelling.tagging import Tagger

    # Label sentence by sentence, and write in the requested form.
    model = loading.model_for("tag", name, device)
    tagger = Tagger(model, nbest, probabilities)
    document = _document(model.codec, sentences, source, output, given)
    tagged = terminal.counting_reasons(
        files.tagged(tagger, document.sentences), "tagged", ("sentence", "sentences"), "labels"
    )
    if as_json:
        options.put((json_text(prediction.to_dict()) + "\n" for _, prediction in tagged), output)
    elif is_shown:
        show([prediction for _, prediction in tagged], model.codec, probabilities, nbest > 1)
    else:
        lines = (
            files.written(model.codec, sentence, labels, document.format, document.is_table)
            for sentence, labels in tagged
        )
        options.put(lines, output)


def _document(
    codec: "Codec",
    sentences: tuple[str, ...],
    source: str | None,
    output: Path | None,
    given: dict[str, Any],
) -> "Document":
    """Return the sentences to tag, and the format to write them in."""
    from rnnlm.tasks.labelling import files
    from rnnlm.tasks.labelling.formats.example import LabelledSettings

    # A file of the suffix of the input is written as the input is.
    suffix = output.suffix.lower() if output else ""
    is_alike = source is not None and suffix == Path(source).suffix.lower()
    reading = LabelledSettings(
        column=given["column"],
        sentence_column=given["sentence_column"],
        encoding_errors=given["encoding_errors"] or "strict",
    )
    written_as = None if is_alike else _SUFFIXES.get(suffix)
    settings = files.DocumentSettings(given["form"], written_as, reading)
    if not sentences:
        source = file_or_terminal(source, "sentences from the terminal, one per line")
        return files.of_file(codec, source, settings)
    check_arguments(
        sentences, "sentence", "tagged as a sentence", "to tag its lines: --input {file}"
    )
    return files.of_texts(codec, sentences, settings)


# ---- Tagged sentences as tables: a row for each word, or for each of the n best label sequences.

DIGITS = 4


def show(
    sentences: "Sequence[TaggedSentence]", codec: "Codec", with_probabilities: bool, is_nbest: bool
) -> None:
    """Print a table of sentences that were tagged, whose model has this codec. A single sentence
    has no number."""
    from rnnlm.tasks.labelling.splitting import is_of_letters

    make = _nbest if is_nbest else _words
    if is_of_letters(codec):
        make = _of_letters
    made = [
        make(sentence, number, with_probabilities, is_nbest)
        for number, sentence in enumerate(sentences, start=1)
    ]
    rows = list(itertools.chain.from_iterable(made))

    # A column of a file without a header has a number for a name.
    headings = {name: name for name in rows[0]}
    for name in [column.name for column in codec.columns]:
        if name.isdigit():
            word = "label" if len(codec.columns) == 1 else f"label_{name}"
            headings |= {name: word, f"{name}_probability": f"{word}_probability"}
    rows = [{headings[name]: cell for name, cell in row.items()} for row in rows]

    # Columns that would be the same in all rows are dropped.
    dropped: set[str] = set()
    if len(sentences) == 1 and make is not _of_letters:
        dropped.add("sentence")
    if make is _nbest and len(codec.columns) == 1:
        dropped.add("column")
    columns = [name for name in rows[0] if name not in dropped]
    left = [
        name
        for name in columns
        if name not in ("sentence", "rank") and not name.endswith("probability")
    ]
    terminal.print_table(terminal.Table.of_records(rows, left, columns))


def _words(
    sentence: "TaggedSentence", number: int, with_probabilities: bool, is_nbest: bool
) -> list[dict[str, str]]:
    rows = []
    for place, word in enumerate(sentence.words):
        # Labels of the sentence are repeated beside each word.
        of_word = {name: labels[place] for name, labels in sentence.labels.items()}
        known = {name: by_word[place] for name, by_word in sentence.probabilities.items()}
        known |= sentence.sentence_probabilities
        row = {"sentence": str(number), "word": word}
        for name, label in {**of_word, **sentence.sentence_labels}.items():
            row[name] = label
            if with_probabilities:
                row[f"{name}_probability"] = _probability_in_words(known[name].get(label, 0.0))
        rows.append(row)
    return rows


def _nbest(
    sentence: "TaggedSentence", number: int, with_probabilities: bool, is_nbest: bool
) -> list[dict[str, str]]:
    rows = []
    for name, best in sentence.nbest.items():
        for rank, sequence in enumerate(best, start=1):
            pairs = zip(sentence.words, sequence.labels, strict=True)
            labels = " ".join(f"{word}/{label}" for word, label in pairs)
            rows.append(_ranked(number, name, rank, sequence.probability, labels))

    # Of labels of the sentence, no more than there are label sequences.
    for name, probabilities in sentence.sentence_probabilities.items():
        most = max(map(len, sentence.nbest.values()))
        likeliest = enumerate(itertools.islice(probabilities.items(), most), start=1)
        rows += [_ranked(number, name, rank, p, label) for rank, (label, p) in likeliest]
    return rows


def _ranked(number: int, column: str, rank: int, probability: float, labels: str) -> dict[str, str]:
    return {
        "sentence": str(number),
        "column": column,
        "rank": str(rank),
        "probability": _probability_in_words(probability),
        "labels": labels,
    }


def _of_letters(
    sentence: "TaggedSentence", number: int, with_probabilities: bool, is_nbest: bool
) -> list[dict[str, str]]:
    word = sentence.text if sentence.text is not None else " ".join(sentence.words)
    rows = []
    for name, best in sentence.nbest.items():
        for rank, sequence in enumerate(best, start=1):
            row = {"word": word}
            if is_nbest:
                row["rank"] = str(rank)
            if is_nbest or with_probabilities:
                row["probability"] = _probability_in_words(sequence.probability)
            row[name] = " ".join(sequence.labels)
            rows.append(row)
    return rows


def _probability_in_words(probability: float) -> str:
    is_tiny = probability < 10**-DIGITS
    return f"{probability:.2g}" if is_tiny else terminal.amount(probability, DIGITS)
