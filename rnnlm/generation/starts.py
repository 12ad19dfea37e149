"""Where texts begin: rows of a state that a model is in already, such as those of the conditions of a decoder."""

from dataclasses import dataclass

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.interface import State


@dataclass(frozen=True)
class Starts:
    """S texts, each of which begins in its row of `state`, before its input.

    input_S: (S,) the token that each row reads first, `</s>` at the beginning of a line. limits_S: (S,) how many tokens a text may have
    at most, `</s>` counted.

    Raises:
        UsageError: the inputs and limits are not of the same number, or a limit is below 1.
    """

    state: State
    input_S: np.ndarray
    limits_S: np.ndarray

    def __post_init__(self) -> None:
        if np.shape(self.input_S) != np.shape(self.limits_S) or np.ndim(self.input_S) != 1:
            raise UsageError(
                f"inputs of shape {np.shape(self.input_S)} do not go with limits of shape {np.shape(self.limits_S)}",
                "each text has one of each",
            )
        if len(self) and np.min(self.limits_S) < 1:
            raise UsageError(f"a limit of {np.min(self.limits_S)} tokens is not valid", "a text has at least one token, its </s>")

    def __len__(self) -> int:
        return len(self.input_S)
