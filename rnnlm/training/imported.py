"""ARPA files imported as if their models had been trained here."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.config import SettingsLayer, as_stored, resolve
from rnnlm.errors import ModelError, first_of, notice
from rnnlm.interface import UNKNOWN, Tokenizer
from rnnlm.lm.base import loading
from rnnlm.lm.ngram.arpa.reading import read_arpa
from rnnlm.lm.ngram.arpa.writing import spell_symbols
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.lm.ngram.joining import joined
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.pruning import largest_sum_error, quantised
from rnnlm.lm.ngram.settings import NgramSettings, check_bits
from rnnlm.lm.ngram.tables import NOWHERE, renumber
from rnnlm.storage import model_folder
from rnnlm.storage.manifest import Manifest, ModelArrays
from rnnlm.text.lines import Progress, silent
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer
from rnnlm.training import card


def import_arpa(
    path: str | Path,
    output: str | Path,
    overwrite: bool = False,
    *,
    settings: TokenizerSettings = TokenizerSettings(),
    tokenizer_from: str | Path | None = None,
    normalise: str | None = None,
    allow_positive: bool = False,
    renormalise: bool = False,
    quantize: int | None = None,
    report: Progress = silent,
) -> NgramModel:
    """Read an ARPA file and save the model in a folder.

    The words of the file are the words of text split at white space, as `settings` specify, or the
    symbols of another model's tokenizer. With `lowercase`, the words of the file become lower case.

    Args:
        path: The file, compressed or not; `-` is standard input.
        output: Folder of the model.
        overwrite: Replace a model in `output`.
        settings: Tokenizer for texts that the model reads.
        tokenizer_from: Model whose tokenizer to use instead, or the file of a sentencepiece model
            whose pieces are the words.
        normalise: Forms in which texts are read, as for :func:`rnnlm.normalise`, or "none". None:
            those of the settings, or of the sentencepiece model. Those of another model stay.
        allow_positive: Read positive log-probabilities, which some programs write, as 0.
        renormalise: Make probabilities sum to one after every context. A notice says by how much
            they did not.
        quantize: 8 stores values as codes of 8 bits.
        report: Callback for the progress.

    Returns:
        The model.

    Raises:
        ModelError: The file cannot be read, is damaged, or its words differ from the words of the
            tokenizer.
        OutputError: The folder cannot be written, or already holds another model.
    """
    check_bits(quantize)
    began = time.perf_counter()
    output = Path(output)
    borrowed = None if tokenizer_from is None else loading.load_tokenizer(tokenizer_from)
    settings = replace(settings, normalise=normalise or settings.normalise)
    with model_folder.owned(output, overwrite, "import"):
        # The ids follow the file, or the tokenizer that is named.
        folds = settings.lowercase and borrowed is None
        symbols, levels = read_arpa(
            str(path), report, lowercase=folds, allow_positive=allow_positive
        )
        # Of pieces, a file may lack some, and have others that stand for themselves.
        if borrowed is not None and hasattr(borrowed, "with_words"):
            borrowed = borrowed.with_words(symbols, normalise)
        if borrowed is None:
            tokenizer: Tokenizer = WordTokenizer(settings, Vocabulary(tuple(symbols), None))
            if settings != TokenizerSettings():
                note_unreachable(tokenizer)
        else:
            tokenizer = borrowed
            levels = renumber(levels, _numbers(symbols, tokenizer, str(path)), tokenizer.size)
        model = NgramModel.from_levels(levels, tokenizer, normalised=False)
        facts: dict[str, Any] = {"imported_from": str(path)}
        if renormalise:
            facts["largest_sum_error"] = largest_sum_error(model)
            model = joined([model], [1.0], Workspace(), report)
            notice(
                "the probabilities after a context differed from 1 in sum by "
                f"{facts['largest_sum_error']:.2g} at most; now they sum to one"
            )
        if quantize:
            model = quantised(model)

        # Save it as if it had been trained here, with where it comes from.
        facts |= {
            "ngrams": [len(values) for values in model.values],
            "seconds": round(time.perf_counter() - began, 1),
        }
        manifest = save_ngrams(model, output, facts, str(path), quantize)
        card.write(output, manifest, model.tokenizer)
        return model


def note_unreachable(tokenizer: Tokenizer) -> None:
    """Name the words that the tokenizer makes of no text, as it rewrites or splits them."""
    _, _, *words = tokenizer.symbols()  # </s> and <unk>
    encoded = tokenizer.encode(words)
    starts = encoded.offsets[:-1]
    is_split = np.diff(encoded.offsets) != 2  # the word and the end of the line
    is_other = encoded.ids[starts] != np.arange(len(words)) + 2
    odd = [words[number] for number in np.flatnonzero(is_split | is_other)]
    if odd:
        notice(
            f"these words of the file never occur in text read with these settings: {first_of(odd)}"
        )


def _numbers(symbols: list[str], tokenizer: Tokenizer, path: str) -> np.ndarray:
    """Return the id that `tokenizer` has for each of the symbols of an ARPA file; NOWHERE for an
    `<unk>` that it does without."""
    id_of = {spelling: id for id, spelling in enumerate(spell_symbols(tokenizer.symbols()))}
    may_lack = {UNKNOWN} if tokenizer.unk_id is None else set()
    odd = sorted(({*symbols} ^ id_of.keys()) - may_lack)
    if odd:
        raise ModelError(
            f"{path} has other words than the tokenizer",
            f"only one of them has {odd[0]!r}",
            "name the model it was exported from",
        )
    return np.array([id_of.get(symbol, NOWHERE) for symbol in symbols])


def save_ngrams(
    model: NgramModel, output: Path, facts: dict[str, Any], origin: str, quantize: int | None = None
) -> Manifest:
    """Save a model as if it had been trained here. origin: where its settings come from."""
    values = {"order": model.order, "quantize": quantize, **model.tokenizer.to_settings()}
    resolved = resolve([NgramSettings, TokenizerSettings], [SettingsLayer(origin, values)])
    arrays = ModelArrays(model.tokenizer, model.to_arrays())
    manifest = model_folder.save(output, arrays, "ngram", as_stored(resolved.values), 0, facts)
    model.fingerprint = manifest.fingerprint
    return manifest
