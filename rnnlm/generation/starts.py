"""Where texts begin: rows of a state that a model has reached, such as those of a decoder's conditions; and what is found from there."""

from dataclasses import dataclass

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.inference.span_scoring import read_on
from rnnlm.interface import LanguageModel, State


@dataclass(frozen=True)
class Starts:
    """S texts, each of which begins in its row of `state`, before its input.

    input_S: (S,) the token that each row reads first, `</s>` at the beginning of a line. limits_S: (S,) how many tokens a text may have
    at most, `</s>` counted. prompts: the tokens of each text that were read before and belong to it, at which bans and the repetition
    penalty look, too; (): none were.

    Raises:
        UsageError: inputs, limits and prompts are not of the same number, or a limit is below 1.
    """

    state: State
    input_S: np.ndarray
    limits_S: np.ndarray
    prompts: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        if np.shape(self.input_S) != np.shape(self.limits_S) or np.ndim(self.input_S) != 1:
            raise UsageError(
                f"inputs of shape {np.shape(self.input_S)} do not go with limits of shape {np.shape(self.limits_S)}",
                "each text has one of each",
            )
        if self.prompts and len(self.prompts) != len(self):
            raise UsageError(f"{len(self.prompts)} prompts do not go with {len(self)} inputs", "each text has one of each")
        if len(self) and np.min(self.limits_S) < 1:
            raise UsageError(f"a limit of {np.min(self.limits_S)} tokens is not valid", "a text has at least one token, its </s>")

    def __len__(self) -> int:
        return len(self.input_S)

    def prompt(self, number: int) -> np.ndarray:
        """The tokens of one text that were read before, (T,)."""
        return self.prompts[number] if self.prompts else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Found:
    """A text: its tokens, with `</s>` where it ended and not where it was cut off at its limit.

    logprob_nats: the model's own. score: what it is ranked by; of a search the log-probability divided by the length penalty, of a sample
    the log-probability itself.
    """

    ids: tuple[int, ...]
    logprob_nats: float
    score: float
    ended: bool


def read_prompt(model: LanguageModel, prompt_ids: np.ndarray, limit: int) -> Starts:
    """The start of one text of at most `limit` further tokens: reads the boundary and the prompt, which may be of any length, but for the
    last token."""
    inputs_T = np.concatenate([[model.tokenizer.boundary_id], prompt_ids]).astype(np.int64)
    state = read_on(model, inputs_T[None], model.initial_state(1))
    return Starts(state, inputs_T[-1:], np.array([limit]), (np.asarray(prompt_ids, dtype=np.int64),))
