"""The model type `rnnlm` of the lm-evaluation-harness, for its tasks:

    python -m rnnlm.lm_eval --model rnnlm --model_args pretrained=demo --tasks lambada_openai

which is the harness's own command, with this model type in it. Importing this module needs the
package lm_eval (the extra lm-eval). How contexts and continuations become tokens,
:mod:`rnnlm.integrations.continuations` says. There is no limit to their length.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from rnnlm.errors import DeviceError, RnnlmError, UsageError, notice, require_package
from rnnlm.generation.settings import SamplingSettings
from rnnlm.inference.span_scoring import check_reads_forward
from rnnlm.integrations import continuations
from rnnlm.interface import LanguageModel
from rnnlm.models import loading

USE = "tasks of the lm-evaluation-harness"
harness: Any = require_package("lm_eval.api.model", "lm-eval", USE)
registry: Any = require_package("lm_eval.api.registry", "lm-eval", USE)

# the first that is given counts
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
MOST_TOKENS = 256  # where a task says nothing
OTHERS = ("do_sample", "until", "temperature", "top_k", "top_p")

Answer = TypeVar("Answer")
Arguments_co = TypeVar("Arguments_co", covariant=True)


class Request(Protocol[Arguments_co]):
    """A question of the harness."""

    @property
    def args(self) -> Arguments_co:
        """What it is about: a context and a continuation, for example."""


@registry.register_model("rnnlm")
class HarnessModel(harness.LM):
    """A model of any kind. Batches are made by length, so batch_size and max_batch_size are taken
    and not needed."""

    def __init__(
        self, pretrained: str, device: str | None = None, adapt: str | None = None,
        special_symbols: str = "error", seed: int = 1,
        batch_size: int | str | None = None, max_batch_size: int | None = None,
    ) -> None:  # fmt: skip
        """pretrained: a folder or a name. adapt: the model adapts itself (dynamic, cache, unigram),
        to each text anew. special_symbols: what becomes of `<s>` and `</s>` in texts (error, drop,
        replace). seed: of samples.

        Raises:
            ModelError: there is no such model. UsageError: it cannot adapt itself so, or reads
                lines from their end.
        """
        super().__init__()
        try:
            self.model = _loaded(str(pretrained), adapt, device or "auto")
        except DeviceError as error:  # the harness names a GPU where nobody has named anything
            notice(f"{error.what}: another device is chosen")
            self.model = _loaded(str(pretrained), adapt, "auto")
        check_reads_forward(self.model.tokenizer, "answer the questions of lm-eval")
        self.special_symbols = special_symbols
        self.seed = seed

    @property
    def tokenizer_name(self) -> str:
        """What the harness keeps requests under."""
        return f"rnnlm-{self.model.tokenizer.fingerprint}"

    def loglikelihood(
        self, requests: Sequence[Request[tuple[str, str]]], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """(log p in nats, whether it is the likeliest) of the continuation of each (context,
        continuation)."""
        scores = continuations.score_continuations(
            self.model, [request.args for request in requests], self.special_symbols
        )
        return self._kept(
            "loglikelihood", requests, [(score.logprob_nats, score.is_greedy) for score in scores]
        )

    def loglikelihood_rolling(
        self, requests: Sequence[Request[tuple[str]]], disable_tqdm: bool = False
    ) -> list[float]:
        """log p (nats) of each text, its end left out."""
        texts = [request.args[0] for request in requests]
        return self._kept(
            "loglikelihood_rolling",
            requests,
            continuations.score_texts(self.model, texts, self.special_symbols),
        )

    def generate_until(
        self, requests: Sequence[Request[tuple[str, dict[str, Any]]]], disable_tqdm: bool = False
    ) -> list[str]:
        """What the model writes after the context of each (context, settings): to the end of the
        line, or what the settings name in `until`. Likeliest tokens, or with do_sample drawn ones.

        Raises:
            UsageError: a setting is not known here.
        """
        alike: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            alike.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(number)
        written = [""] * len(requests)
        for numbers in alike.values():
            stops, settings = generation_settings(requests[numbers[0]].args[1], self.seed)
            contexts = [requests[number].args[0] for number in numbers]
            texts = continuations.continue_texts(
                self.model, contexts, stops, settings, self.special_symbols
            )
            for number, text in zip(numbers, texts, strict=True):
                written[number] = text
        return self._kept("generate_until", requests, written)

    def _kept(
        self, question: str, requests: Sequence[Request[tuple[object, ...]]], answers: list[Answer]
    ) -> list[Answer]:
        """`answers`, in the harness's cache, too, if it has one."""
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(question, request.args, answer)
        return answers


def _loaded(name: str, adapt: str | None, device: str) -> LanguageModel:
    return loading.load_adapted(name, adapt, device=device) if adapt else loading.load(name, device)


def generation_settings(
    given: Mapping[str, Any], seed: int = 1
) -> tuple[list[str], SamplingSettings]:
    """What a task asks for: where to stop, and how to draw.

    Raises:
        UsageError: a setting is not known here.
    """
    known = {*LENGTHS, *OTHERS}
    if odd := sorted(name for name in given if name not in known):
        raise UsageError(
            f"the task sets {', '.join(odd)}",
            "that is not known here",
            f"there are: {', '.join(sorted(known))}",
        )
    until = given.get("until") or []
    temperature = float(given.get("temperature", 1.0 if given.get("do_sample") else 0.0))
    settings = SamplingSettings(
        temperature=temperature if given.get("do_sample", temperature > 0) else 0.0,
        top_k=given.get("top_k") or None,
        top_p=given.get("top_p"),
        max_tokens=int(
            next((given[name] for name in LENGTHS if given.get(name) is not None), MOST_TOKENS)
        ),
        seed=seed,
    )
    return [until] if isinstance(until, str) else list(until), settings


def main() -> None:
    """The harness's command; our errors end it without a traceback."""
    from lm_eval.__main__ import cli_evaluate

    try:
        cli_evaluate()
    except RnnlmError as error:
        raise SystemExit(f"error: {error}") from None
