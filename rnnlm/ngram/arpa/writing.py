"""Writing the ARPA format, such that KenLM's build_binary and SRILM read it and nothing is lost to rounding.

`<s>` is printed with probability 0, as lmplz does; zero probabilities are written as -99. Memory is bounded: a block of
n-grams at a time becomes text.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnlm.errors import OutputError, notice
from rnnlm.interface import SENTENCE_START
from rnnlm.ngram.arpa.format import ZERO_LOG10, nats
from rnnlm.ngram.checks import check_tables
from rnnlm.ngram.model import NgramModel

BLOCK_NGRAMS = 1 << 18
SIGNIFICANT_DIGITS = (9, 8, 7)  # 9 are always enough to read the same float32 back
_TEXT = pa.large_string()
_WHITE_SPACE = re.compile("[\0\t\n\r ]")


def arpa_text(model: NgramModel) -> Iterator[bytes | memoryview]:
    """The file, piece by piece. White space within symbols is spelled visibly, with a notice.

    Raises:
        OutputError: that spelling is a symbol of its own. ModelError: the model's tables are damaged.
    """
    check_tables(model)
    if model.unseen_context_logprob:
        notice("stupid backoff has a penalty for unseen contexts, which ARPA cannot express: the file's scores will be higher there")
    names = pa.array([*spelled(model.tokenizer.symbols()), SENTENCE_START], _TEXT)
    orders = range(1, model.order + 1)
    header = ["\\data\\", *(f"ngram {n}={len(model.values[n - 1])}" for n in orders)]
    yield "\n".join([*header, ""]).encode()
    for n in orders:
        yield f"\n\\{n}-grams:\n".encode()
        for first in range(0, len(model.values[n - 1]), BLOCK_NGRAMS):
            yield _lines(model, names, n, slice(first, first + BLOCK_NGRAMS))
    yield b"\n\\end\\\n"


def spelled(symbols: Sequence[str]) -> list[str]:
    """`symbols` without white space, which would end a word: a space is written as U+2581, others, or if that is a symbol
    of its own, as `<0x20>`.

    Raises:
        OutputError: that is a symbol of its own, too.
    """
    spellings: dict[str, str] = {}
    taken = {*symbols, SENTENCE_START}
    for symbol in filter(_WHITE_SPACE.search, symbols):
        plain = (_WHITE_SPACE.sub(spell, symbol) for spell in (_visible, _by_number))
        spelling = next((each for each in plain if each not in taken), None)
        if spelling is None:
            why = "ARPA has no white space in words, and its spellings are symbols themselves"
            raise OutputError(f"the symbol {symbol!r} cannot be written", why)
        spellings[symbol] = spelling
        taken.add(spelling)
    if spellings:
        examples = ", ".join(f"{symbol!r} as {spelling}" for symbol, spelling in [*spellings.items()][:5])
        notice(f"ARPA has no white space in words: {examples}" + (" and so on" if len(spellings) > 5 else ""))
    return [spellings.get(symbol, symbol) for symbol in symbols]


def _visible(white_space: re.Match[str]) -> str:
    return "\u2581" if white_space[0] == " " else _by_number(white_space)


def _by_number(white_space: re.Match[str]) -> str:
    return f"<0x{ord(white_space[0]):02X}>"


def _lines(model: NgramModel, names: pa.Array, n: int, block: slice) -> memoryview:
    """log10 probability TAB words TAB log10 backoff of a block of the n-grams of order n; no backoff at the highest order."""
    values = model.values[n - 1][block]
    parts = [_decimals(np.minimum(values[:, 0], 0)), "\t"]  # a rounding above 0 would be refused
    for words in model.words(n, np.arange(len(model.values[n - 1]))[block]):
        parts += [names.take(pa.array(words)), " "]
    parts[-1] = "\t"
    parts += [_decimals(values[:, 1]), "\n"] if n < model.order else []
    parts[-1] = "\n"
    arrays = [pa.scalar(part, _TEXT) if isinstance(part, str) else part for part in [*parts, ""]]  # "" is what joins them
    text = pc.binary_join_element_wise(*arrays)
    _, offsets, data = text.buffers()
    return memoryview(data)[: np.frombuffer(offsets, np.int64)[len(text)]]


def _decimals(nats_M: np.ndarray) -> pa.Array:
    """log10 of these logarithms in nats, as text: the shortest that reads back as the same float32."""
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
