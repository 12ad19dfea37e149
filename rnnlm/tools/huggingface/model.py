"""A causal model of transformers as a :class:`rnnlm.interface.LanguageModel`.

Its state is the tokens that each row has read since its last cut, because the caches of
transformers change in place. A model reads at most `window` tokens at once. A longer text is cut at
multiples of half a window, so that every token beyond the first window has half a window before it,
or more:

    tokens      0 ........ P/2 ........ P ........ 3P/2 ........ 2P
    window 0    [ scored                ]
    window 1               [ context    ][ scored  ]
    window 2                             [ context ][ scored     ]

Callers put the boundary before every text; the network reads there the symbol that its own texts
begin with, such as <s>. Where its tokenizer puts that before every text, each window begins with
it, in place of the oldest context.

Shapes: B rows, T time, V vocabulary; R windows that are read side by side, N tokens of a window.
"""

import contextlib
import inspect
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.interface import PADDING, Array, LanguageModel, State, keeps
from rnnlm.lm.neural.trained_network import SavedModel
from rnnlm.parallel import interruptible_pieces
from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer

# Of windows that are read side by side: on a CPU more of them leave its caches.
BATCH_TOKENS_CPU, BATCH_TOKENS = 1 << 10, 1 << 14
BATCH_LOGITS = 1 << 26  # of such windows, unless a single one has more
# Parts of a forward pass's output to continue from, by transformers' version and family.
CACHES = ("cache", "past_key_values", "cache_params", "state")

_is_silent: ContextVar[bool] = ContextVar("is_silent", default=False)


def _is_shown(record: logging.LogRecord) -> bool:
    return not _is_silent.get()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the log of transformers off the terminal while this thread reads: it advises callers
    to pass masks, and tells how some families pad."""
    before = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(before)


@keeps(State)
@dataclass(frozen=True)
class WindowState:
    """The tokens that each row has read since its last cut, the boundary included."""

    rows: tuple[np.ndarray, ...]

    def select(self, rows: Sequence[int] | np.ndarray) -> "WindowState":
        return WindowState(tuple(self.rows[row] for row in np.asarray(rows, dtype=np.int64)))

    def to_arrays(self) -> dict[str, np.ndarray]:
        longest = max(map(len, self.rows), default=0)
        ids_BT = np.full((len(self.rows), longest), PADDING, dtype=np.int64)
        for ids_T, read_T in zip(ids_BT, self.rows, strict=True):
            ids_T[: len(read_T)] = read_T
        return {"read": ids_BT}


@dataclass(frozen=True)
class Window:
    """A window to read: the tokens of `row`, new from `first` on. time: of the first new one, among
    the inputs of the row."""

    row: int
    ids_N: np.ndarray
    first: int
    time: int


@dataclass(frozen=True)
class Beginning:
    """The tokens that a network reads before a text. in_each: before each window of one, too."""

    ids: tuple[int, ...]
    in_each: bool = False


@keeps(LanguageModel)
class HuggingFaceModel(SavedModel[Any, HuggingFaceTokenizer]):
    """Scores in fp32, regardless of the type of the stored weights."""

    normalised = True
    max_rows = None
    call_tokens = 1 << 14
    boundary_resets_state = False
    adaptation = "none"
    model_kind = "transformers"
    description = "a model of transformers"
    rereads = True  # its state is the text read so far

    def __init__(
        self,
        network: Any,
        tokenizer: HuggingFaceTokenizer,
        window: int,
        fingerprint: str | None = None,
        beginning: Beginning | None = None,
    ) -> None:
        super().__init__(network, tokenizer, fingerprint=fingerprint)
        self.window = window
        self.beginning = beginning or Beginning((tokenizer.boundary_id,))
        # The name of its output's cache to continue from; None: it has no such cache.
        self.cache_name: str | None = None
        self.padding_rows = 0  # at the end of its logits, beyond V
        # Most models compute the logits of the last tokens alone, where that is enough.
        self._keeps_last = "logits_to_keep" in inspect.signature(network.forward).parameters
        for handler in logging.getLogger("transformers").handlers:
            handler.addFilter(_is_shown)

    @property
    def begin(self) -> str:
        """The part of a signature for the symbols read before a text; "" if that is the boundary
        alone."""
        ids, in_each = self.beginning.ids, self.beginning.in_each
        if ids == (self.tokenizer.boundary_id,) and not in_each:
            return ""
        return f"begin{'-each' * in_each}={'-'.join(map(str, ids))}"

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the weights by name, shared ones once."""
        weights = self.network.named_parameters()
        return {name: weight.detach().cpu().numpy() for name, weight in weights}

    def initial_state(self, rows: int) -> WindowState:
        return WindowState((np.zeros(0, dtype=np.int64),) * rows)

    def concat_states(self, states: Sequence[WindowState]) -> WindowState:
        return WindowState(tuple(read_T for state in states for read_T in state.rows))

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> WindowState:
        return WindowState(tuple(ids_T[ids_T != PADDING] for ids_T in arrays["read"]))

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: WindowState
    ) -> tuple[torch.Tensor, WindowState]:
        """Score as :meth:`rnnlm.LanguageModel.score` says: in torch, float32, on the model's
        device, without gradients."""
        inputs_BT = self._inputs(inputs_BT, state)
        targets_BT = torch.as_tensor(token_ids(targets_BT), dtype=torch.int64, device=self.device)
        check_shapes(inputs_BT, targets_BT)
        logprob_BT = torch.zeros(inputs_BT.shape, device=self.device)
        windows, after = self._windows(inputs_BT, state)
        for places, logits_RTV in self._read(windows):
            targets_M = targets_BT[places.row_M, places.time_M]
            is_padding_M = targets_M == PADDING
            # Gather in the shape of the logits: a copy of the chosen rows would be as large.
            targets_RT = torch.zeros(logits_RTV.shape[:2], dtype=torch.int64, device=self.device)
            targets_RT[places.window_M, places.place_M] = targets_M.masked_fill(is_padding_M, 0)
            at_target_RT = logits_RTV.gather(2, targets_RT[:, :, None])[:, :, 0]
            logprob_RT = at_target_RT - logits_RTV.logsumexp(2)
            logprob_M = logprob_RT[places.window_M, places.place_M]
            logprob_BT[places.row_M, places.time_M] = logprob_M.masked_fill(is_padding_M, 0.0)
        return logprob_BT, after

    def predict(self, inputs_BT: Array, state: WindowState) -> tuple[torch.Tensor, WindowState]:
        """Predict as :meth:`rnnlm.LanguageModel.predict` says: in torch, float32, on the model's
        device, without gradients."""
        inputs_BT = self._inputs(inputs_BT, state)
        logprob_BTV = torch.zeros(*inputs_BT.shape, self.tokenizer.size, device=self.device)
        windows, after = self._windows(inputs_BT, state)
        for places, logits_RTV in self._read(windows):
            logits_MV = logits_RTV[places.window_M, places.place_M]
            logprob_BTV[places.row_M, places.time_M] = logits_MV.log_softmax(1)
        return logprob_BTV, after

    def stepping(self) -> "SteppingModel":
        """Return this model for one caller that reads token by token."""
        return SteppingModel(self)

    def _inputs(self, inputs_BT: Array, state: WindowState) -> np.ndarray:
        check_state(state, WindowState)
        ids_BT = token_ids(inputs_BT)
        if not isinstance(ids_BT, np.ndarray):
            ids_BT = ids_BT.cpu().numpy()
        check_shapes(ids_BT, rows=len(state.rows))
        return ids_BT.astype(np.int64)

    def _windows(
        self, inputs_BT: np.ndarray, state: WindowState
    ) -> tuple[list[Window], WindowState]:
        """Return the windows in which these inputs are read, and the state after them."""
        windows, after = [], []
        stride = max(1, self.window // 2)
        begin = np.array(self.beginning.ids, dtype=np.int64)
        for row, (read_T, inputs_T) in enumerate(zip(state.rows, inputs_BT, strict=True)):
            # The boundary before a text is read as the symbol that the network's own texts begin
            # with.
            if not len(read_T) and inputs_T[:1].tolist() == [self.tokenizer.boundary_id]:
                read_T, inputs_T = begin[:-1], np.append(begin[-1:], inputs_T[1:])
            stream_N = np.concatenate([read_T, inputs_T])
            new, start = len(read_T), 0
            ids_N = stream_N
            while new < len(stream_N):
                # A full window moves on by half.
                if new - start == self.window:
                    start += stride
                end = min(start + self.window, len(stream_N))
                ids_N = stream_N[start:end]
                if start and self.beginning.in_each and stride < self.window:
                    ids_N = np.append(begin, ids_N[len(begin) :])
                windows.append(Window(row, ids_N, new - start, new - len(read_T)))
                new = end
            after.append(ids_N)
        return windows, WindowState(tuple(after))

    def _read(self, windows: Iterable[Window]) -> "Iterator[tuple[_Places, torch.Tensor]]":
        """Read the windows, windows of about the same length side by side. Yield where the logits
        of their new tokens belong, and the logits (R, T, V) of the last T tokens."""
        longest_first = sorted(windows, key=lambda window: -len(window.ids_N))
        for batch in interruptible_pieces(self._batches(longest_first)):
            longest = len(batch[0].ids_N)
            last = longest - min(window.first for window in batch)
            # A token depends on none after it, so padding behind a window changes nothing.
            ids_RN = np.zeros((len(batch), longest), dtype=np.int64)
            for ids_N, window in zip(ids_RN, batch, strict=True):
                ids_N[: len(window.ids_N)] = window.ids_N
            logits_RTV = self.forward(torch.as_tensor(ids_RN, device=self.device), last).logits
            yield _Places.of(batch, longest - last, self.device), logits_RTV

    def _batches(self, windows: Sequence[Window]) -> Iterator[Sequence[Window]]:
        """Yield the windows, longest first, in batches that fit in memory."""
        begin = 0
        most = BATCH_TOKENS_CPU if self.device.type == "cpu" else BATCH_TOKENS
        while begin < len(windows):
            longest = len(windows[begin].ids_N)
            rows = BATCH_LOGITS // (longest * self.tokenizer.size)
            rows = max(1, min(most // longest, rows))
            yield windows[begin : begin + rows]
            begin += rows

    def forward(self, ids_RN: torch.Tensor, last: int, **options: Any) -> Any:
        """Call the network; the output has the logits after the `last` tokens, float32."""
        if self._keeps_last:
            options["logits_to_keep"] = last
        with self.reading(), _silence():
            output = self.network(input_ids=ids_RN, **{"use_cache": False, **options})
        V = output.logits.shape[2] - self.padding_rows
        output.logits = output.logits[:, -last:, :V].float()
        return output


@dataclass(frozen=True)
class _Places:
    """Where M new tokens are in the logits of a batch of windows, and in the inputs."""

    window_M: torch.Tensor
    place_M: torch.Tensor
    row_M: torch.Tensor
    time_M: torch.Tensor

    @classmethod
    def of(cls, batch: Sequence[Window], dropped: int, device: torch.device) -> "_Places":
        """Find the new tokens of a batch, of whose windows the first tokens are `dropped`."""
        columns: list[np.ndarray] = []
        for number, window in enumerate(batch):
            new_M = np.arange(window.first, len(window.ids_N))
            same_M = np.ones_like(new_M)
            time_M = new_M - window.first + window.time
            columns.append(
                np.stack([number * same_M, new_M - dropped, window.row * same_M, time_M])
            )
        return cls(*torch.as_tensor(np.concatenate(columns, axis=1), device=device))


# ---- Reading token by token.


@dataclass
class _CachedRows:
    """Rows that were read side by side, and transformers' cache after their tokens. It changes in
    place, so it is used once."""

    number: dict[bytes, int]  # the row with these tokens
    rows: int
    cache: Any


class SteppingModel(HuggingFaceModel):
    """The same model for one caller that reads token by token: generation, a search, a scorer.

    It keeps the caches of transformers after the rows that it read last, by their tokens. A row
    that continues one of these costs a single token; any other row is read from its cut on. So the
    states stay values.
    """

    def __init__(self, model: HuggingFaceModel) -> None:
        vars(self).update(vars(model))
        self._cached: list[_CachedRows] = []
        self._lock = threading.Lock()

    def stepping(self) -> "SteppingModel":
        return self

    def predict(self, inputs_BT: Array, state: WindowState) -> tuple[torch.Tensor, WindowState]:
        ids_BT = self._inputs(inputs_BT, state)
        if self.cache_name is None or ids_BT.shape[1] != 1:
            return super().predict(ids_BT, state)
        windows, after = self._windows(ids_BT, state)
        logprob_BV = torch.zeros(len(windows), self.tokenizer.size, device=self.device)
        with self._lock:
            # A step that fails leaves no cache behind that it has changed.
            known, self._cached = self._cached, []
            read = []
            for rows, output in self._steps(windows, known, self.cache_name):
                logprob_BV[[window.row for window in rows]] = output.logits[:, 0].log_softmax(1)
                numbers = {window.ids_N.tobytes(): row for row, window in enumerate(rows)}
                read.append(_CachedRows(numbers, len(rows), output[self.cache_name]))
            self._cached = read
        return logprob_BV[:, None], after

    def _steps(
        self, windows: Sequence[Window], known: Sequence[_CachedRows], cache_name: str
    ) -> Iterator[tuple[Sequence[Window], Any]]:
        """Read the last token of each window, after its cached part where possible. Yield the
        windows read side by side, and the output."""
        # The rows that each cache serves; the others, by their length.
        continued: dict[int, list[tuple[Window, int]]] = {}
        whole: dict[int, list[Window]] = {}
        for window in windows:
            before = window.ids_N[:-1].tobytes()
            for place, cached in enumerate(known):
                if before in cached.number:
                    continued.setdefault(place, []).append((window, cached.number[before]))
                    break
            else:
                whole.setdefault(len(window.ids_N), []).append(window)

        for place, pairs in interruptible_pieces(continued.items()):
            cache = known[place].cache
            chosen = [number for _, number in pairs]
            if chosen != list(range(known[place].rows)):
                cache.reorder_cache(torch.as_tensor(chosen, device=self.device))
            steps = [window for window, _ in pairs]
            ids_R1 = np.stack([window.ids_N[-1:] for window in steps])
            yield steps, self._step(ids_R1, {cache_name: cache})
        for same_length in whole.values():
            for rows in interruptible_pieces(self._batches(same_length)):
                yield rows, self._step(np.stack([window.ids_N for window in rows]), {})

    def _step(self, ids_RN: np.ndarray, options: dict[str, Any]) -> Any:
        ids = torch.as_tensor(ids_RN, device=self.device)
        return self.forward(ids, 1, use_cache=True, **options)
