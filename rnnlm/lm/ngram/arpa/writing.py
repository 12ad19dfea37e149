"""Write the ARPA format so that KenLM's build_binary and SRILM read it and nothing is lost to
rounding.

`<s>` is printed with probability 0, as lmplz does; zero probabilities are written as -99. Memory is
bounded: a block of n-grams at a time becomes text.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnlm import arrays
from rnnlm.errors import OutputError, UsageError, first_of, notice
from rnnlm.interface import SENTENCE_START, UNKNOWN, LanguageModel
from rnnlm.lm.base import loading
from rnnlm.lm.ngram.arpa.reading import CAPITAL_UNKNOWN, TWO_UNKNOWNS, ZERO_LOG10, nats, read_arpa
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.tables import check_tables
from rnnlm.storage.files.outputs import check_file, save_file
from rnnlm.text.lines import Progress, silent
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer

BLOCK_NGRAMS = 1 << 18
SIGNIFICANT_DIGITS = (9, 8, 7)  # 9 are always enough to read the same float32 back
_TEXT = pa.large_string()
_WHITE_SPACE = re.compile("[\0\t\n\r ]")


def arpa_text(model: NgramModel) -> Iterator[bytes | memoryview]:
    """Yield the file, piece by piece. White space within symbols is spelled visibly, with a notice.

    OutputError: that spelling is itself a symbol. ModelError: the model's tables are damaged.
    """
    # Warn before the file begins: an ARPA file cannot hold everything.
    check_tables(model)
    if model.unseen_context_logprob:
        notice(
            "stupid backoff has a penalty for unseen contexts, which ARPA cannot express: the "
            "file's scores will be higher there"
        )
    symbols = model.tokenizer.symbols()
    if CAPITAL_UNKNOWN in symbols and UNKNOWN in symbols:
        notice(TWO_UNKNOWNS)
    names = pa.array([*spell_symbols(symbols), SENTENCE_START], _TEXT)

    # The header counts the n-grams of each order; then the orders follow, block by block.
    orders = range(1, model.order + 1)
    header = ["\\data\\", *(f"ngram {n}={len(model.values[n - 1])}" for n in orders)]
    yield "\n".join([*header, ""]).encode()
    for n in orders:
        yield f"\n\\{n}-grams:\n".encode()
        for block in arrays.blocks(len(model.values[n - 1]), BLOCK_NGRAMS):
            yield _lines(model, names, n, block)
            model.drop_pages()  # the tables need not be in memory as a whole
    yield b"\n\\end\\\n"


def spell_symbols(symbols: Sequence[str], form: str = "ARPA") -> list[str]:
    """Return `symbols` without white space, which would end a word: a space is written as U+2581,
    others, or if that is itself a symbol, as `<0x20>`. form: of the file, for messages.
    OutputError: that is a symbol, too."""
    # The first spelling that no other symbol has.
    spellings: dict[str, str] = {}
    taken = {*symbols, SENTENCE_START}
    for symbol in filter(_WHITE_SPACE.search, symbols):
        spelling = _WHITE_SPACE.sub(_by_number, symbol.replace(" ", "\u2581"))
        if spelling in taken:
            spelling = _WHITE_SPACE.sub(_by_number, symbol)
        if spelling in taken:
            raise OutputError(
                f"the symbol {symbol!r} cannot be written",
                f"{form} allows no white space in words, and both of its replacement spellings "
                "are taken",
            )
        spellings[symbol] = spelling
        taken.add(spelling)

    if spellings:
        examples = [f"{symbol!r} as {spelling}" for symbol, spelling in spellings.items()]
        notice(
            f"{form} allows no white space in words, so symbols are respelled: "
            f"{first_of(examples, 5)}"
        )
    return [spellings.get(symbol, symbol) for symbol in symbols]


def _by_number(white_space: re.Match[str]) -> str:
    return f"<0x{ord(white_space[0]):02X}>"


def _lines(model: NgramModel, names: pa.Array, n: int, block: slice) -> memoryview:
    """Return a block of the n-grams of order n as text: log10 probability TAB words TAB log10
    backoff; no backoff at the highest order."""
    values = model.values[n - 1][block]
    parts = [_decimals(np.minimum(values[:, 0], 0)), "\t"]  # a rounding above 0 would be refused
    for words in model.words(n, np.arange(len(model.values[n - 1]))[block]):
        parts += [names.take(pa.array(words)), " "]
    parts[-1] = "\t"
    if n < model.order:
        parts += [_decimals(values[:, 1]), "\n"]
    parts[-1] = "\n"

    # Join each line's parts, with nothing between them.
    scalars = [pa.scalar(part, _TEXT) if isinstance(part, str) else part for part in parts]
    text = pc.binary_join_element_wise(*scalars, pa.scalar("", _TEXT))
    _, offsets, data = text.buffers()
    return memoryview(data)[: np.frombuffer(offsets, np.int64)[len(text)]]


def _decimals(nats_M: np.ndarray) -> pa.Array:
    """Return log10 of these logarithms in nats, as text: the shortest that reads back as the same
    float32."""
    log10_M = nats_M.astype(np.float64) / np.log(10)
    log10_M[np.isneginf(log10_M)] = ZERO_LOG10
    with np.errstate(divide="ignore"):
        size_M = np.where(log10_M == 0, 0, np.floor(np.log10(np.abs(log10_M))) + 1)
    shortest_M = log10_M
    for digits in SIGNIFICANT_DIGITS:
        scale_M = 10.0 ** np.clip(digits - size_M, 0, 300)
        rounded_M = np.rint(log10_M * scale_M) / scale_M + 0.0  # no minus before zero
        shortest_M = np.where(nats(rounded_M) == nats(log10_M), rounded_M, shortest_M)
    return pc.cast(pa.array(shortest_M), _TEXT)


# ---- n-gram models for and from other programs, as ARPA files.


def export_arpa(
    model: LanguageModel | str | Path,
    path: str | Path,
    overwrite: bool = False,
    report: Progress = silent,
) -> None:
    """Write an n-gram model to an ARPA file, compressed if the suffix is .gz, .xz, .bz2 or .zst.
    The file appears only once it is complete.

    model: an n-gram model, or the name of one.

    Raises:
        UsageError: the model is not an n-gram model.
        ModelError: the model does not exist.
        OutputError: a file is there and `overwrite` is not given, or it cannot be written.
    """
    text, path = arpa(loading.language_model_of(model)), Path(path)
    check_file(path, overwrite)
    save_file(path, text, report)


def arpa(model: LanguageModel) -> Iterator[bytes | memoryview]:
    """Return the ARPA file of an n-gram model, piece by piece. UsageError: the model is not an
    n-gram model. OutputError: one of its symbols cannot be written."""
    if not isinstance(model, NgramModel):
        raise UsageError(
            "this model has no ARPA form",
            "it is not an n-gram model of rnnlm",
            "rnnlm train --model ngram makes one",
        )
    if model.tokenizer.name != "word" or not model.tokenizer.keeps_text:
        notice(
            f"the file holds tokens of this model's {model.tokenizer.name} tokenizer: other "
            "programs need text tokenized in the same way; rnnlm import --tokenizer-from reads it "
            "back"
        )
    return arpa_text(model)


def load_arpa(path: str | Path) -> NgramModel:
    """Return the model of an ARPA file, in memory; its words are separated by white space.
    ModelError: the file cannot be read, or is damaged."""
    symbols, levels = read_arpa(str(path))
    tokenizer = WordTokenizer(TokenizerSettings(), Vocabulary(tuple(symbols), None))
    return NgramModel.from_levels(levels, tokenizer, normalised=False)
