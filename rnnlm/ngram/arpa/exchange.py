"""Models from and for other programs: n-gram models as ARPA files."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rnnlm.config import Layer, resolve
from rnnlm.errors import ModelError, UsageError, notice
from rnnlm.files import writing
from rnnlm.interface import UNKNOWN, LanguageModel, Tokenizer
from rnnlm.models import card, loading, model_folder
from rnnlm.models.model_parts import ModelArrays
from rnnlm.ngram.arpa.reading import read_arpa
from rnnlm.ngram.arpa.writing import arpa_text, spelled
from rnnlm.ngram.model import NgramModel
from rnnlm.ngram.settings import NgramSettings
from rnnlm.ngram.tables import NOWHERE, renumbered
from rnnlm.text.lines import Progress, silent
from rnnlm.text.tokenizers import TokenizerSettings
from rnnlm.text.tokenizers.settings import as_stored
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer


def export_arpa(model: LanguageModel | str | Path, path: str | Path, overwrite: bool = False, report: Progress = silent) -> None:
    """Write an n-gram model as an ARPA file, compressed where the suffix says so (.gz, .xz, .bz2, .zst); whole or not at all.

    model: an n-gram model, or the name of one.

    Raises:
        UsageError: it is no n-gram model. ModelError: there is no such model. OutputError: a file is there and `overwrite` is not
            given, or it cannot be written.
    """
    text, path = arpa(loading.language_model_of(model)), Path(path)
    writing.check_file(path, overwrite)
    writing.save_file(path, _with_progress(text, report))


def arpa(model: LanguageModel) -> Iterator[bytes | memoryview]:
    """The ARPA file of an n-gram model, piece by piece.

    Raises:
        UsageError: it is no n-gram model. OutputError: one of its symbols cannot be written.
    """
    if not isinstance(model, NgramModel):
        raise UsageError("this model has no ARPA form", "it is not an n-gram model", "name one trained with --model ngram")
    if model.tokenizer.name != "word" or not model.tokenizer.keeps_text:
        notice(
            f"the file holds tokens as this model's {model.tokenizer.name} tokenizer makes them: other programs must be given text "
            "tokenized in the same way; rnnlm import --tokenizer-from reads it again"
        )
    if model.tokenizer.is_reversed:
        notice(
            "the file's n-grams read each line from its end: other programs must be given the words of a line from the last to the first; "
            "rnnlm import --tokenizer-from reads it again"
        )
    return arpa_text(model)


def _with_progress(pieces: Iterator[bytes | memoryview], report: Progress) -> Iterator[bytes | memoryview]:
    """The pieces; `report` is called with the bytes written so far."""
    written = 0
    for piece in pieces:
        yield piece
        written += len(piece)
        report(f"{written / 1e6:,.0f} MB written")


def import_arpa(
    path: str | Path,
    output: str | Path,
    overwrite: bool = False,
    *,
    settings: TokenizerSettings = TokenizerSettings(),
    tokenizer_from: str | Path | None = None,
    report: Progress = silent,
) -> NgramModel:
    """Read an ARPA file, compressed or not (`-`: standard input), and save the model in the folder `output`.

    Its words are what text is split into at white space, as `settings` say, or the symbols of the tokenizer of another model.

    Raises:
        ModelError: the file cannot be read, is damaged, or has other words than that tokenizer. OutputError: the folder cannot
            be written, or holds a model already.
    """
    began = time.perf_counter()
    output = Path(output)
    model_folder.check_output(output, overwrite)
    symbols, levels = read_arpa(str(path), report)
    if tokenizer_from is None:
        tokenizer: Tokenizer = WordTokenizer(settings, Vocabulary(tuple(symbols), None))
    else:
        tokenizer = loading.load_tokenizer(tokenizer_from)
        levels = renumbered(levels, _numbers(symbols, tokenizer, str(path)), tokenizer.size)
    model = NgramModel.from_levels(levels, tokenizer, normalised=False)
    values = {"order": model.order, **tokenizer.to_settings()}
    resolved = resolve([NgramSettings, TokenizerSettings], [Layer(str(path), values)])
    ngrams = [len(values) for values in model.values]
    facts = {"imported_from": str(path), "ngrams": ngrams, "seconds": round(time.perf_counter() - began, 1)}
    settings_of_model = as_stored(resolved.values)
    manifest = model_folder.save(output, ModelArrays(tokenizer, model.to_arrays()), "ngram", settings_of_model, 0, facts)
    card.write(output, manifest, model.tokenizer)
    model.fingerprint = manifest.fingerprint
    return model


def load_arpa(path: str | Path, report: Progress = silent) -> NgramModel:
    """The model of an ARPA file, in memory; its words are what stands between white space.

    Raises:
        ModelError: the file cannot be read, or is damaged.
    """
    symbols, levels = read_arpa(str(path), report)
    return NgramModel.from_levels(levels, WordTokenizer(TokenizerSettings(), Vocabulary(tuple(symbols), None)), normalised=False)


def _numbers(symbols: list[str], tokenizer: Tokenizer, path: str) -> np.ndarray:
    """The id that `tokenizer` has for each of the symbols of an ARPA file; NOWHERE for an `<unk>` that it does without."""
    id_of = {spelling: id for id, spelling in enumerate(spelled(tokenizer.symbols()))}
    odd = sorted(({*symbols} ^ id_of.keys()) - ({UNKNOWN} if tokenizer.unk_id is None else set()))
    if odd:
        raise ModelError(
            f"{path} has other words than the tokenizer", f"only one of them has {odd[0]!r}", "name the model it was exported from"
        )
    return np.array([id_of.get(symbol, NOWHERE) for symbol in symbols])
