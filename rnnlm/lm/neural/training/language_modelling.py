"""Make the trainer train a language model: cross-entropy as its objective, perplexity as its
validation."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.errors import TrainingError, notice
from rnnlm.events import PERPLEXITY
from rnnlm.interface import PADDING, Tokenizer
from rnnlm.lm.base import span_scoring
from rnnlm.lm.neural.layers.layers import LookBack
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.lm.neural.training.contracts import Batch, Carry, Loss, ValidationResult
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.lm.neural.training.settings import FittingSettings
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text.batches import (
    Borders,
    DocumentBorders,
    DrawnLineBorders,
    StreamWindows,
    Window,
    stream_bounds,
    with_boundary,
)
from rnnlm.text.encoding import EncodedText

ROWS = 32
UNKNOWN = 0.2  # share of unknown tokens up to which the loss of a text tells of divergence
LOOKED_AT = (8, 16)  # rows, and tokens of each, where only a little of the text is to be read


class CrossEntropy:
    """An Objective: the loss of a network on (inputs_TB, targets_TB), which is their cross-entropy
    unless it is sampled. The hidden state is carried on.

    With look-back, inputs before the inputs of the targets are read again, from the state that is
    carried; the third tensor says where rows restart there, see :class:`LookBack`.

    reader: reads the network in the precision of training.
    """

    def __init__(self, reader: NeuralLanguageModel) -> None:
        self.reader = reader
        self.network = reader.network
        self.uniform_nats = math.log(reader.tokenizer.size)
        self.is_exact = self.network.output.is_exact

    def initial_carry(self, rows: int) -> Carry:
        return self.network.initial_state(rows)

    def loss(self, tensors: tuple[Tensor, ...], carry: Carry) -> Loss:
        inputs_SB, targets_TB, *restarts = tensors
        lookback = _lookback(targets_TB, restarts)
        return Loss(*self.network.loss(inputs_SB, targets_TB, carry, lookback))

    def exact_nats(self, tensors: tuple[Tensor, ...], carry: Carry) -> float:
        inputs_SB, targets_TB, *restarts = tensors
        steps = max(1, self.reader.piece_tokens // targets_TB.shape[1])
        nats = 0.0
        with self.reader.reading():
            features_TBE, *_ = self.network(inputs_SB, carry, _lookback(targets_TB, restarts))
            # The output layer reads pieces: on a sampled loss it had a few words, here it has all.
            pieces = zip(features_TBE.split(steps), targets_TB.split(steps), strict=True)
            for features, targets in pieces:
                nats -= float(self.network.score_features(features, targets).sum())
        return nats

    def weights_changed(self) -> None:
        self.network.prepare()

    def model(self) -> NeuralLanguageModel:
        return NeuralLanguageModel(self.network, self.reader.tokenizer)


def _lookback(targets_TB: Tensor, restarts: list[Tensor]) -> LookBack | None:
    """Make the look-back of a batch with this third tensor; None if it has none."""
    return LookBack.make(restarts[0][0], len(targets_TB), targets_TB.device) if restarts else None


class PerplexityValidation:
    """A Validation: the perplexity of `text` under `model`, in the precision of training, read as
    several streams (or document by document), which the ranks share.

    window: tokens of a window in training; each stream has one window at least. tokens: how many
    are read: fewer than the text has if only a part is.
    """

    passes = 1.0

    def __init__(
        self,
        text: EncodedText,
        model: NeuralLanguageModel,
        window: int,
        ranks: SingleProcess = SINGLE_PROCESS,
        tokens: int | None = None,
    ) -> None:
        self.text = text
        self.model = model
        self.window = window
        self.ranks = ranks
        wanted = text.tokens if tokens is None else tokens
        self.rows = fitting_rows(ROWS, wanted // window)
        self.spans = self._spans(wanted)
        self.tokens = int((self.spans[:, 1] - self.spans[:, 0]).sum())

    def part(self, tokens: int) -> "PerplexityValidation":
        """Return a validation on the beginnings of streams all over the text, or on every n-th
        document."""
        return PerplexityValidation(self.text, self.model, self.window, self.ranks, tokens)

    def _spans(self, wanted: int) -> np.ndarray:
        """Return the streams, or documents, to read: about that many tokens in all."""
        text = self.text
        if text.document_offsets is not None:
            spans = span_scoring.spans_between(text.document_offsets)
            every = -(-text.tokens // max(1, wanted))
            return spans[::every]
        spans = span_scoring.spans_between(stream_bounds(text.tokens, self.rows))
        longest = -(-wanted // self.rows)
        ends = np.minimum(spans[:, 1], spans[:, 0] + longest)
        return np.stack([spans[:, 0], ends], axis=1)

    def __str__(self) -> str:
        has_documents = self.text.document_offsets is not None
        how = "document by document" if has_documents else f"{self.rows} streams"
        return f"{how}, {self.model.precision}"

    def run(self, stop: Callable[[], bool]) -> ValidationResult | None:
        """Measure perplexity, asking `stop` before each window."""
        logprob = self._logprob(self.ranks.own_stop(stop))
        # All ranks stop if one of them did.
        total, stopped = self.ranks.totals(logprob or 0.0, logprob is None)
        self.ranks.synchronize()
        if stopped:
            return None
        ppl = _perplexity(total, self.tokens)
        is_telling = self.text.unknown_share <= UNKNOWN
        return ValidationResult(math.log(ppl), ppl, PERPLEXITY, is_telling=is_telling)

    def read_some(self) -> None:
        """Read the beginning of the text, in pieces, each from the state of zeros on."""
        tokens = min(LOOKED_AT[1], self.text.tokens)
        rows = min(LOOKED_AT[0], self.text.tokens // tokens)
        targets_N = np.asarray(self.text.ids[: rows * tokens], dtype=np.int64)
        inputs_N = np.concatenate([[self.model.tokenizer.boundary_id], targets_N[:-1]])
        inputs_BT, targets_BT = inputs_N.reshape(rows, tokens), targets_N.reshape(rows, tokens)
        self.model.score(inputs_BT, targets_BT, self.model.initial_state(rows))

    def _logprob(self, stop: Callable[[], bool]) -> float | None:
        """Return the log-probability of this rank's share, in nats; None if it was stopped."""
        text, model = self.text, self.model
        rank_spans = self.spans[self.ranks.share(len(self.spans))]
        # As much as may be read between two looks at `stop`, but all rows side by side.
        at_once = max(model.piece_tokens, self.rows * span_scoring.TOKENS_PER_ROW)
        scored = list(
            span_scoring.windows(model, text.ids, rank_spans, model.score, at_once, stop=stop)
        )
        read = sum(int((end_B - start_B).sum()) for start_B, end_B, _ in scored)
        if read < int((rank_spans[:, 1] - rank_spans[:, 0]).sum()):
            return None
        return float(span_scoring.placed(scored, text.tokens).sum())


def _perplexity(logprob: float, tokens: int) -> float:
    """Return exp of the mean negative log-probability; infinity where that is not a number."""
    ppl = span_scoring.perplexity(logprob, tokens)
    return math.inf if ppl is None else ppl


# ---- The training text as B contiguous streams, read side by side in windows of T tokens: the
# source of batches of a language model.
#
# The text is on the device, or, if it is too large for memory, on disk.

BLOCK_TOKENS = 1 << 20
SHORTEST = 5  # tokens of a window whose length is drawn
# Seeds for drawing lines, and unknown words, with other random numbers than windows.
LINES, UNKNOWN_WORDS = 1, 2
OnDevice = Callable[[np.ndarray], Tensor]  # copies an array to the device


@dataclass(frozen=True)
class RareWords:
    """The words that occur once in a text, some of which an epoch reads as `<unk>`.

    A network that never sees `<unk>` gives it next to no probability, and an unknown word then
    decides between two sentences. The words seen once are the best evidence of the behaviour of
    unknown words: where they occur, and how often (Good 1953).

    positions_M: where they are in the text. chance: the probability that an epoch reads one as
    `<unk>`.
    """

    positions_M: np.ndarray
    unk_id: int
    chance: float
    seed: int

    @classmethod
    def of(
        cls, text: EncodedText, tokenizer: Tokenizer, counts_V: np.ndarray, chance: float, seed: int
    ) -> "RareWords | None":
        """Find the words of `text`; return None if none are to be read as `<unk>`: there is no such
        symbol, or the text has it already, as one with a cut vocabulary does. counts_V: from
        :func:`count_tokens`."""
        if not chance or tokenizer.unk_id is None or not text.tokens:
            return None
        if counts_V[tokenizer.unk_id]:
            return None

        is_rare_V = counts_V == 1
        is_rare_V[tokenizer.boundary_id] = False
        positions = [start + np.flatnonzero(is_rare_V[ids_n]) for start, ids_n in _blocks(text.ids)]
        return cls(np.concatenate(positions), tokenizer.unk_id, chance, seed)

    def drawn(self, epoch: int) -> np.ndarray:
        """Draw the positions that are read as `<unk>` in that epoch, ascending."""
        random = np.random.default_rng((self.seed, epoch, UNKNOWN_WORDS))
        return self.positions_M[random.random(len(self.positions_M)) < self.chance]


def expected_counts(counts_V: np.ndarray, rare: RareWords | None) -> np.ndarray:
    """Return how often an epoch is expected to read each token of a text with these counts, (V,)
    int64. rare: words that it may read as `<unk>`; they keep their one time.

    Without them, `<unk>` would hardly ever be among the noise words of a sampled loss, and its
    probability would be left to chance.
    """
    if rare is not None:
        counts_V = counts_V.copy()
        counts_V[rare.unk_id] += round(rare.chance * len(rare.positions_M))
    return counts_V


def count_tokens(text: EncodedText, tokenizer: Tokenizer) -> np.ndarray:
    """Return how often each token occurs in `text`, (V,) int64. Unseen words with a spelling, whose
    ids begin at V, count as unknown."""
    counts = np.zeros(tokenizer.input_size, dtype=np.int64)
    for _, ids_n in _blocks(text.ids):
        counts += np.bincount(ids_n, minlength=tokenizer.input_size)
    counts_V, unseen = counts[: tokenizer.size], counts[tokenizer.size :]
    if tokenizer.unk_id is not None:
        counts_V[tokenizer.unk_id] += unseen.sum()
    return counts_V


def _blocks(ids: np.ndarray | ChunkedArray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield a text's ids, a million at a time, each block with its start."""
    for start in range(0, len(ids), BLOCK_TOKENS):
        yield start, np.asarray(ids[start : start + BLOCK_TOKENS])


class TextStreams:
    """A BatchSource: `text` as streams in windows of `bptt_tokens`, of which each rank reads its
    share of rows; with `bptt_lookback`, the inputs before a window are read again. Towards the end
    of the run, `long_windows` makes windows twice as long, of half as many rows.

    rows: how many streams; None: `batch_rows` for each rank. A text too short for them has fewer,
    with a notice. multiple: window lengths are rounded to a multiple of this. rare: the words some
    of which each epoch reads as `<unk>`.
    """

    rows: int
    multiple: int
    stretch: int  # of windows, relative to `bptt_tokens`
    _windows: Iterator[tuple[float, Window]]

    def __init__(
        self,
        text: EncodedText,
        boundary_id: int,
        settings: FittingSettings,
        seed: int,
        device: torch.device,
        ranks: SingleProcess = SINGLE_PROCESS,
        rows: int | None = None,
        multiple: int = 1,
        rare: RareWords | None = None,
    ) -> None:
        if text.tokens < 1:
            raise TrainingError("there is nothing to train on", "the text has no tokens")

        # How many rows there are, and which of them are this rank's.
        wanted = rows or settings.batch_rows * ranks.count
        fitting = fitting_rows(wanted, text.tokens)
        if fitting < wanted:
            notice(
                f"the text has only {text.tokens} tokens: {fitting} parallel streams are used "
                f"instead of {wanted}"
            )
        if fitting < ranks.count:
            raise TrainingError(
                f"{ranks.count} processes are too many",
                f"there are {fitting} streams of text",
                "start fewer",
            )
        self.ranks = ranks

        self.settings = settings
        self.seed = seed
        self.device = device
        self.text_tokens = text.tokens
        self.line_offsets = text.line_offsets
        self.document_offsets = text.document_offsets
        self.rare = rare

        # Read the text from disk if it is there, otherwise copy it to the device.
        self.reader: DiskReader | DeviceReader
        if isinstance(text.ids, ChunkedArray):
            self.reader = DiskReader(text.ids, boundary_id, self._on_device)
        else:
            # Pageable, and waited for: pinned memory of the whole text would stay locked while the
            # process lives.
            stream = torch.from_numpy(with_boundary(text.ids, boundary_id).astype(np.int32))
            self.reader = DeviceReader(stream.to(device), self._on_device)
        self.load_state_dict({"rows": fitting, "multiple": multiple, "tokens": 0, "epochs": 0.0})

    @property
    def window_tokens(self) -> int:
        """Tokens of a window, or the number around which its length is drawn."""
        return self.settings.bptt_tokens * self.stretch

    def next(self, progress: float = 0.0) -> Batch:
        # Towards the end, go on with long windows, from the same share of each stream. So this
        # epoch has some parts of the text twice, and lacks others.
        is_late = progress >= 1 - self.settings.long_windows
        if is_late and self.stretch == 1 and self.rows >= 2 * self.ranks.count:
            self.load_state_dict({**self.state_dict(), "rows": self.rows // 2, "stretch": 2})

        self.epochs, window = next(self._windows)
        self.tokens += window.tokens
        return self.batch(window)

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "multiple": self.multiple,
            "stretch": self.stretch,
            "tokens": self.tokens,
            "epochs": self.epochs,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state. The run keeps its windows, also on a device where others would be
        drawn."""
        self.rows, self.multiple = state["rows"], state["multiple"]
        self.stretch = state.get("stretch", 1)  # states of earlier versions have none
        self.share = self.ranks.share(self.rows)
        self.bounds = stream_bounds(self.text_tokens, self.rows)
        self.tokens, self.epochs = state["tokens"], float(state["epochs"])
        self._windows = self.windows(self.epochs)

    def windows(self, epochs_done: float = 0.0) -> Iterator[tuple[float, Window]]:
        """Yield (epochs done with it, window), epoch after epoch without end, beginning after
        `epochs_done`.

        An epoch's first window is fresh in every row, any other one where a document or a drawn
        line begins, and with probability `state_reset`.
        """
        for epoch in itertools.count(int(epochs_done)):
            random = np.random.default_rng((self.seed, epoch))
            if self.rare is not None:
                self.reader.hide(self.rare.drawn(epoch), self.rare.unk_id)

            # If the epoch was cut off, go through it from its beginning again, so that the same
            # random numbers are drawn.
            read = 0
            since_B = np.zeros(self.rows, dtype=np.int64)
            streams = StreamWindows(self.bounds, self._borders(epoch))
            window = streams.next(self._length(random))
            while window:
                if self.settings.state_reset:
                    drawn_B = random.random(self.rows) < self.settings.state_reset
                    window = replace(window, fresh_B=window.fresh_B | drawn_B)
                since_B = np.where(window.fresh_B, 0, since_B)
                read += window.tokens
                done = epoch + read / self.text_tokens
                if done > epochs_done:
                    yield done, replace(window, since_B=since_B)
                since_B = since_B + window.tokens_B
                window = streams.next(self._length(random))

    def batch(self, window: Window) -> Batch:
        """Return this rank's rows of `window`, as long as the longest row of all ranks; targets
        past a row's end are padding. With look-back there are more inputs, before the inputs of the
        targets, and a third tensor (1, B): the input from which on each row reads from the initial
        state, -1 if none."""
        rows, length = self.share, int((window.end_B - window.start_B).max())
        before = self.settings.tokens_before
        start_B, end_B = window.start_B[rows] - before, window.end_B[rows]
        inputs_SB, targets_SB = self.reader.window(start_B, end_B, before + length)
        tensors: tuple[Tensor, ...] = inputs_SB, targets_SB[before:]
        fresh_1B1 = None
        if before:
            assert window.since_B is not None
            restart_B = before - np.minimum(window.since_B[rows], before + 1)
            tensors += (torch.from_numpy(restart_B).unsqueeze(0),)  # the host reads it
        elif window.fresh_B[rows].any():
            fresh_1B1 = self._on_device(window.fresh_B[rows]).view(1, -1, 1)

        # Tokens of longer and shorter windows weigh alike (Merity et al. 2018, section 4.1).
        relative_length = window.length / self.window_tokens
        rate_factor = relative_length if self.settings.draws_lengths else 1.0
        return Batch(tensors, window.tokens_B, rows, fresh_1B1, rate_factor)

    def _borders(self, epoch: int) -> list[Borders]:
        """Return where rows start from the initial state in that epoch: at every document, and at
        lines drawn with probability `line_starts`."""
        borders: list[Borders] = []
        if self.document_offsets is not None:
            borders.append(DocumentBorders(self.document_offsets))
        chance = self.settings.line_starts
        if chance:
            random = np.random.default_rng((self.seed, epoch, LINES))
            borders.append(DrawnLineBorders(self.line_offsets, self.bounds[:-1], chance, random))
        return borders

    def _length(self, random: np.random.Generator) -> int:
        """Return the length of the next window.

        It is `window_tokens`, or drawn from a normal distribution around it or, with probability
        `bptt_short`, around half of it; :data:`SHORTEST` tokens at least; then the nearest multiple
        of `multiple`, which keeps the mean.
        """
        settings, multiple = self.settings, self.multiple
        length = self.window_tokens
        if settings.draws_lengths:
            mean = length / 2 if random.random() < settings.bptt_short else length
            drawn = round(random.normal(mean, settings.bptt_deviation))
            length = max(min(SHORTEST, length), drawn)
        return max(1, round(length / multiple)) * multiple

    def _on_device(self, array: np.ndarray) -> Tensor:
        """Copy an array to the device. From memory that may be paged out, the host would wait until
        the device reaches the copy."""
        host = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type == "cuda":
            host = host.pin_memory()
        return host.to(self.device, non_blocking=True)


def fitting_rows(rows: int, tokens: int) -> int:
    """Return `rows`, or as many streams of two tokens or more as `tokens` allow; at least one."""
    return max(1, min(rows, tokens // 2))


class DeviceReader:
    """Windows of a text that is on the device: row b has the targets `ids[start_B[b]:end_B[b]]`,
    and as inputs the token before each. Tokens before the text, where a start is negative, have no
    meaning.

    stream: the boundary and the text's ids, int32, on the device.
    """

    def __init__(self, stream: Tensor, on_device: OnDevice) -> None:
        self.stream = stream
        self.on_device = on_device
        # The places that hold another id at present, and their own ids.
        self.hidden_M = stream.new_zeros(0, dtype=torch.int64)
        self.kept_M = stream.new_zeros(0)

    def hide(self, positions_M: np.ndarray, id: int) -> None:
        """Read these positions of the text as `id` from now on, and no others."""
        self.stream[self.hidden_M] = self.kept_M
        self.hidden_M = torch.from_numpy(positions_M + 1).to(self.stream.device)
        self.kept_M = self.stream[self.hidden_M]
        self.stream[self.hidden_M] = id

    def window(self, start_B: np.ndarray, end_B: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
        """Return inputs_TB and targets_TB (int64) on the device, of that length; targets past a
        row's end are padding."""
        step_T1 = torch.arange(length, device=self.stream.device).unsqueeze(1)
        position_TB = self.on_device(start_B) + step_T1
        inside_TB = position_TB < self.on_device(end_B)
        position_TB = position_TB.clamp(0, len(self.stream) - 2)
        targets_TB = self.stream[position_TB + 1].long().masked_fill(~inside_TB, PADDING)
        return self.stream[position_TB].long(), targets_TB


class DiskReader:
    """The same windows, past their rows' ends, too, of a text on disk: rows are gathered on the
    host, and copied while the device works on the window before."""

    def __init__(self, ids: ChunkedArray, boundary_id: int, on_device: OnDevice) -> None:
        self.ids = ids
        self.boundary_id = boundary_id
        self.on_device = on_device
        self.hidden_M = np.zeros(0, dtype=np.int64)
        self.hidden_id = 0

    def hide(self, positions_M: np.ndarray, id: int) -> None:
        """Read these positions of the text, ascending, as `id` from now on, and no others."""
        self.hidden_M, self.hidden_id = positions_M, id

    def window(self, start_B: np.ndarray, end_B: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
        inputs_BT = np.empty((len(start_B), length), dtype=np.int64)
        targets_BT = np.full_like(inputs_BT, PADDING)
        for row, (start, end) in enumerate(zip(start_B.tolist(), end_B.tolist(), strict=True)):
            missing = max(0, -start)  # before the text
            inputs_BT[row, :missing] = self.boundary_id
            places = slice(missing, None)
            self._read_row(start + missing, end, inputs_BT[row, places], targets_BT[row, places])
        return self.on_device(inputs_BT.T), self.on_device(targets_BT.T)

    def _read_row(self, start: int, end: int, inputs_T: np.ndarray, targets_T: np.ndarray) -> None:
        """Fill one row of inputs and its targets."""
        # Past the text's last input, that one is read again.
        last, wanted = len(self.ids) - 1, end - start
        start = min(start, last)

        # The inputs, and the target of the last; before the text comes the boundary.
        stream = np.empty(min(len(inputs_T), last - start + 1) + 1, dtype=np.int64)
        stream[0] = self.boundary_id
        self.ids.read_into(stream[start == 0 :], max(0, start - 1))
        first, after = np.searchsorted(self.hidden_M, (start - 1, start - 1 + len(stream)))
        stream[self.hidden_M[first:after] - (start - 1)] = self.hidden_id

        inputs_T[: len(stream) - 1] = stream[:-1]
        inputs_T[len(stream) - 1 :] = stream[-2]
        targets_T[:wanted] = stream[1 : wanted + 1]
