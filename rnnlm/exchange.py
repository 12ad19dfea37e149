"""Models from and for other programs: n-gram models as ARPA files."""

import time
from collections.abc import Iterator
from pathlib import Path

from rnnlm import model_card, model_folder, safe_files
from rnnlm.config import Layer, resolve
from rnnlm.errors import UsageError
from rnnlm.interface import LanguageModel
from rnnlm.ngram.arpa_reading import read_arpa
from rnnlm.ngram.arpa_writing import arpa_text
from rnnlm.ngram.model import NgramModel
from rnnlm.ngram.settings import NgramSettings
from rnnlm.tokenizers import TokenizerSettings
from rnnlm.tokenizers.word import WordTokenizer
from rnnlm.vocabulary import Vocabulary


def export_arpa(model: LanguageModel, path: str | Path, overwrite: bool = False) -> None:
    """Write an n-gram model as an ARPA file, compressed where the suffix says so (.gz, .xz, .bz2, .zst); whole or not at all.

    Raises:
        UsageError: it is no n-gram model. OutputError: a file is there and `overwrite` is not given, or it cannot be written.
    """
    text, path = arpa(model), Path(path)
    safe_files.check_file(path, overwrite)
    safe_files.save_file(path, text)


def arpa(model: LanguageModel) -> Iterator[bytes | memoryview]:
    """The ARPA file of an n-gram model, piece by piece.

    Raises:
        UsageError: it is no n-gram model. OutputError: one of its symbols cannot be written.
    """
    if not isinstance(model, NgramModel):
        raise UsageError("this model has no ARPA form", "it is not made of n-grams", "give one of --model ngram")
    return arpa_text(model)


def import_arpa(path: str | Path, output: str | Path, overwrite: bool = False) -> NgramModel:
    """Read an ARPA file, compressed or not, and save the model in the folder `output`. Text is split at white space, case kept.

    Raises:
        ModelError: the file cannot be read, or is damaged. OutputError: the folder cannot be written, or holds a model already.
    """
    began = time.perf_counter()
    output = Path(output)
    model_folder.check_output(output, overwrite)
    model = _read(str(path))
    values = {"order": model.order, "tokenizer": model.tokenizer.name}
    resolved = resolve([NgramSettings, TokenizerSettings], [Layer(str(path), values)])
    ngrams = [len(values) for values in model.values]
    facts = {"imported_from": str(path), "ngrams": ngrams, "seconds": round(time.perf_counter() - began, 1)}
    manifest = model_folder.save(output, model, "ngram", resolved.values, 0, facts)
    model_card.write(output, manifest, model.tokenizer)
    model.fingerprint = manifest.fingerprint
    return model


def _read(path: str) -> NgramModel:
    symbols, levels = read_arpa(path)
    tokenizer = WordTokenizer(TokenizerSettings(), Vocabulary(tuple(symbols), None))
    return NgramModel.from_levels(levels, tokenizer, normalised=False)
