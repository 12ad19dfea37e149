"""The model type `rnnlm` of the lm-evaluation-harness, for its tasks:

    python -m rnnlm.tools.lm_eval --model rnnlm --model_args pretrained=demo --tasks lambada_openai

which is the harness's own command with this model type added. Importing this module needs the
package lm_eval (the extra lm-eval). :mod:`rnnlm.tools.continuations` describes how contexts
and continuations become tokens. Their length is not limited.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from rnnlm.errors import DeviceError, RnnlmError, UsageError, notice, require_package
from rnnlm.lm.base import loading
from rnnlm.scoring.generation.settings import SamplingSettings
from rnnlm.tools import continuations

USE = "tasks of the lm-evaluation-harness"
harness: Any = require_package("lm_eval.api.model", "lm-eval", USE)
registry: Any = require_package("lm_eval.api.registry", "lm-eval", USE)

# Names of one setting. The first that is given counts.
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
MOST_TOKENS = 256  # the default
OTHERS = ("do_sample", "until", "temperature", "top_k", "top_p")

Answer = TypeVar("Answer")
Arguments_co = TypeVar("Arguments_co", covariant=True)


class HarnessRequest(Protocol[Arguments_co]):
    """A request of the harness."""

    @property
    def args(self) -> Arguments_co:
        """Its arguments: for example, a context and a continuation."""


@registry.register_model("rnnlm")
class HarnessModel(harness.LM):
    """A model of any kind. Batches are made by length: batch_size and max_batch_size are accepted
    and ignored."""

    def __init__(
        self, pretrained: str, device: str | None = None,
        special_symbols: str = "error", seed: int = 1,
        batch_size: int | str | None = None, max_batch_size: int | None = None,
    ) -> None:  # fmt: skip
        """Load the model.

        pretrained: a folder or a name; NAME+KIND adapts itself to each text. special_symbols:
        treatment of `<s>` and `</s>` in texts (error, drop, replace). seed: random seed of samples.

        Raises:
            ModelError: the model does not exist.
            UsageError: it cannot adapt itself in this way.
        """
        super().__init__()
        try:
            self.model = loading.load(str(pretrained), device or "auto")
        except DeviceError as error:
            # The harness asks for a GPU by default, so the user may not have asked for one.
            notice(f"{error.what}: another device is used")
            self.model = loading.load(str(pretrained))
        self.special_symbols = special_symbols
        self.seed = seed

    @property
    def tokenizer_name(self) -> str:
        """The name that the harness caches requests under."""
        return f"rnnlm-{self.model.tokenizer.fingerprint}"

    def loglikelihood(
        self, requests: Sequence[HarnessRequest[tuple[str, str]]], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Return (log p in nats, whether greedy decoding would write it) of the continuation in
        each (context, continuation)."""
        pairs = [request.args for request in requests]
        scores = continuations.score_continuations(self.model, pairs, self.special_symbols)
        answers = [(score.logprob_nats, score.is_greedy) for score in scores]
        return self._cached("loglikelihood", requests, answers)

    def loglikelihood_rolling(
        self, requests: Sequence[HarnessRequest[tuple[str]]], disable_tqdm: bool = False
    ) -> list[float]:
        """Return log p (nats) of each text, without its end."""
        texts = [request.args[0] for request in requests]
        logprobs = continuations.score_texts(self.model, texts, self.special_symbols)
        return self._cached("loglikelihood_rolling", requests, logprobs)

    def generate_until(
        self,
        requests: Sequence[HarnessRequest[tuple[str, dict[str, Any]]]],
        disable_tqdm: bool = False,
    ) -> list[str]:
        """Continue the context of each (context, settings): to the end of the line, or to one of
        the settings' `until`. Take the likeliest tokens, or draw them with do_sample.

        Raises:
            UsageError: a setting is unknown.
        """
        # Write texts with equal settings together.
        alike: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            _, given = request.args
            alike.setdefault(json.dumps(given, sort_keys=True), []).append(number)

        written = [""] * len(requests)
        for numbers in alike.values():
            _, given = requests[numbers[0]].args
            stops, settings = generation_settings(given, self.seed)
            contexts = [requests[number].args[0] for number in numbers]
            texts = continuations.continue_texts(
                self.model, contexts, stops, settings, self.special_symbols
            )
            for number, text in zip(numbers, texts, strict=True):
                written[number] = text
        return self._cached("generate_until", requests, written)

    def _cached(
        self,
        question: str,
        requests: Sequence[HarnessRequest[tuple[object, ...]]],
        answers: list[Answer],
    ) -> list[Answer]:
        """Return the answers, and put them into the harness's cache if it has one."""
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(question, request.args, answer)
        return answers


def generation_settings(
    given: Mapping[str, Any], seed: int = 1
) -> tuple[list[str], SamplingSettings]:
    """Return where a task wants to stop, and how it wants to draw."""
    known = {*LENGTHS, *OTHERS}
    unknown = sorted(name for name in given if name not in known)
    if unknown:
        raise UsageError(
            f"the task sets {', '.join(unknown)}",
            "rnnlm does not support that",
            f"available settings: {', '.join(sorted(known))}",
        )

    # Where to stop: a text, or several.
    until = given.get("until") or []
    stops = [until] if isinstance(until, str) else list(until)
    lengths = [given[name] for name in LENGTHS if given.get(name) is not None]

    # How to draw: of do_sample and temperature, one may be missing.
    temperature = float(given.get("temperature", 1.0 if given.get("do_sample") else 0.0))
    is_drawn = given.get("do_sample", temperature > 0)
    return stops, SamplingSettings(
        temperature=temperature if is_drawn else 0.0,
        top_k=given.get("top_k") or None,
        top_p=given.get("top_p"),
        max_tokens=int(lengths[0]) if lengths else MOST_TOKENS,
        seed=seed,
    )


def main() -> None:
    """Run the harness's command. Print our errors without a traceback."""
    from lm_eval.__main__ import cli_evaluate

    # The model type is registered by importing this module.
    try:
        cli_evaluate()
    except RnnlmError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
