"""What `rnnlm doctor` asks of an encoder-decoder: probabilities that sum to one, the same ones for a source alone and in any company, and
greedy search that takes the likeliest token at each step.

It is asked about made-up sources and targets: tokens drawn at random.
"""

from collections.abc import Iterator

import numpy as np

from rnnlm import arrays
from rnnlm.evaluation.soundness import TOLERANCE, Check
from rnnlm.generation.search import SearchSettings, search
from rnnlm.generation.starts import Starts
from rnnlm.interface import Tokenizer
from rnnlm.tasks.seq2seq.codec import PairCodec
from rnnlm.tasks.seq2seq.model import Seq2SeqModel

SOURCES, LONGEST, TARGET_TOKENS = 32, 20, 8
SOURCES_PER_CALL = 32


def checks(model: Seq2SeqModel, sample: int | None, seed: int) -> Iterator[Check]:
    """The checks of a model whose arrays are whole. sample: how many sources are made up."""
    yield Check("tokenizers", "ok", _tokenizers(model.codec))
    generator = np.random.default_rng(seed)
    count, source, target = sample or SOURCES, model.codec.source, model.codec.target
    lengths = 1 + np.arange(count) % LONGEST
    sources = [np.append(generator.integers(source.size, size=length), source.boundary_id) for length in lengths]
    targets_BT = generator.integers(target.size, size=(count, TARGET_TOKENS))
    targets_BT[:, 0] = target.boundary_id
    together_BTV = np.concatenate([
        _probabilities(model, sources[start : start + SOURCES_PER_CALL], targets_BT[start : start + SOURCES_PER_CALL])
        for start in range(0, count, SOURCES_PER_CALL)
    ])  # fmt: skip
    yield _sums(together_BTV)
    yield _padding(model, sources, targets_BT, together_BTV)
    yield _greedy(model, sources)


def _tokenizers(codec: PairCodec) -> str:
    def of(tokenizer: Tokenizer) -> str:
        return f"{tokenizer.name}, V = {tokenizer.size:,}"

    return f"{of(codec.source)}, of both sides" if codec.is_shared else f"source {of(codec.source)}; target {of(codec.target)}"


def _probabilities(model: Seq2SeqModel, sources: list[np.ndarray], inputs_BT: np.ndarray) -> np.ndarray:
    """Of all tokens after each input, (B, T, V) float64."""
    logprob_BTV, _ = model.decoder.predict(inputs_BT, model.states_of(sources))
    return np.exp(arrays.as_numpy(logprob_BTV).astype(np.float64))


def _sums(p_BTV: np.ndarray) -> Check:
    worst = float(np.nan_to_num(np.abs(p_BTV.sum(axis=2) - 1), nan=np.inf).max())
    detail = f"{p_BTV.shape[0] * p_BTV.shape[1]:,} contexts of {len(p_BTV):,} random sources: farthest from 1 by {worst:.1e}"
    return Check("sums", "ok" if worst <= TOLERANCE else "failed", detail)


def _padding(model: Seq2SeqModel, sources: list[np.ndarray], inputs_BT: np.ndarray, together_BTV: np.ndarray) -> Check:
    """By how much probabilities change if a source is read alone."""
    worst = 0.0
    for row, source in enumerate(sources):
        alone_1TV = _probabilities(model, [source], inputs_BT[row : row + 1])
        worst = max(worst, float(np.nan_to_num(np.abs(alone_1TV[0] - together_BTV[row]), nan=np.inf).max()))
    detail = f"probabilities given a source alone and among others differ by {worst:.1e} at most"
    return Check("padding", "ok" if worst <= TOLERANCE else "failed", detail)


def _greedy(model: Seq2SeqModel, sources: list[np.ndarray]) -> Check:
    """By how much the tokens that a beam of 1 takes are less likely than the likeliest ones."""
    boundary = model.codec.target.boundary_id
    starts = Starts(model.states_of(sources), np.full(len(sources), boundary), np.full(len(sources), LONGEST))
    worst = 0.0
    for source, [found] in zip(sources, search(model.decoder, starts, SearchSettings(1, 0.0, unknown=True)), strict=True):
        inputs_1T = np.array([[boundary, *found.ids[:-1]]])
        p_TV = _probabilities(model, [source], inputs_1T)[0]
        taken_T = p_TV[np.arange(len(p_TV)), found.ids]
        worst = max(worst, float(np.nan_to_num(p_TV.max(axis=1) - taken_T, nan=np.inf).max()))
    detail = f"the tokens that a beam of 1 takes are the likeliest to {worst:.1e}"
    return Check("greedy", "ok" if worst <= TOLERANCE else "failed", detail)
