"""What is asked of `prepare`, with every setting resolved."""

from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rnnlm import system
from rnnlm.config import Layer, Resolved, resolve, warn_of_idle
from rnnlm.errors import SettingsError, UsageError
from rnnlm.interface import Tokenizer
from rnnlm.system import processors
from rnnlm.text import sources
from rnnlm.text.lines import TextSettings
from rnnlm.text.prepared.encoder import SHARD_BYTES
from rnnlm.text.prepared.pieces import Position
from rnnlm.text.repeats import warn_of_repeats
from rnnlm.text.sources import SourceSettings
from rnnlm.text.tokenizers import TokenizerSettings
from rnnlm.text.tokenizers.settings import as_stored

SAMPLES = {"sentencepiece": "10M"}  # it takes some thirty times the memory of its text
SAMPLE = "32M"
MOST_WORKERS = 1024


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    shared_tokenizer: encodes the text; None: one is made of a sample. tokenizer_name: where it comes from, for the record. sample: bytes of
    text that the vocabulary is made of, such as 32M. workers: processes that encode; None: one for each processor, 0: no other process.
    executor: does the work instead, about two pieces at a time for each of `workers`; its workers must see the files of the text and the
    folder `output` under the same names.
    """

    text: tuple[str, ...]
    output: Path
    assignments: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    shared_tokenizer: Tokenizer | None = None
    tokenizer_name: str = "given"
    sample: str | None = None
    workers: int | None = None
    executor: Executor | None = None
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Task:
    """A request with every setting resolved."""

    request: Request
    names: list[str]
    text: TextSettings
    source: SourceSettings
    tokenizer_settings: TokenizerSettings
    sample_bytes: int
    workers: int

    def identity(self) -> dict[str, Any]:
        """What must be the same for the work to go on."""
        if self.request.shared_tokenizer is not None:
            made: dict[str, Any] = {"tokenizer_from": self.request.shared_tokenizer.fingerprint}
        else:
            made = {**as_stored(asdict(self.tokenizer_settings)), "sample": self.sample_bytes}
        sizes = [-1 if size is None else size for size in Position(self.names).sizes]
        return {"text": self.names, "sizes": sizes, **asdict(self.source), **asdict(self.text), **made, "shard_bytes": SHARD_BYTES}


def resolve_request(request: Request) -> Task:
    """The settings and sources of a request.

    Raises:
        SettingsError: a setting is unknown or not valid. UsageError: no text, or settings contradict each other. TextError: a
            source is missing.
    """
    if not request.text:
        raise UsageError("which text is to be prepared?", hint="name files, -, or hf:OWNER/NAME")
    if request.resume and request.overwrite:
        raise UsageError("--resume and --overwrite contradict each other", hint="leave one of them out")
    if request.workers is not None and not 0 <= request.workers <= MOST_WORKERS:
        raise SettingsError(f"workers = {request.workers} is not valid", f"a natural number up to {MOST_WORKERS} is needed")
    layers = [Layer("--set", request.assignments, is_text=True), Layer("the command line", request.flags)]
    resolved = resolve((TokenizerSettings, TextSettings, SourceSettings), layers)
    warn_of_idle(resolved)
    if (tokenizer := request.shared_tokenizer) is not None:
        if resolved.origins["reversed"] != "default":  # both directions may share a vocabulary
            tokenizer = tokenizer.in_direction(resolved.values["reversed"])
            request = replace(request, shared_tokenizer=tokenizer)
        _check_tokenizer(tokenizer, request.sample, resolved)
    names = sources.expand(request.text)
    warn_of_repeats(names)
    if names.count("-") > 1:
        raise UsageError("standard input is named twice", "it can be read once")
    settings, source = resolved.make(TokenizerSettings), resolved.make(SourceSettings)
    sources.tell_of_text_files(names, source)
    sample = system.parse_size(SAMPLES.get(settings.tokenizer, SAMPLE) if request.sample is None else request.sample, "sample")
    return Task(
        request, names, resolved.make(TextSettings), source, settings, sample,
        processors() if request.workers is None else request.workers,
    )  # fmt: skip


def _check_tokenizer(tokenizer: Tokenizer, sample: str | None, resolved: Resolved) -> None:
    """Make sure that nothing else is asked of a tokenizer that is there already."""
    if sample is not None:
        raise UsageError("--tokenizer-from and --sample contradict each other", "that tokenizer is made already", "leave one of them out")
    for name, value in tokenizer.to_settings().items():
        if resolved.origins[name] != "default" and resolved.values[name] != value:
            raise UsageError(f"--tokenizer-from brings {name} = {value}", f"{resolved.values[name]} was asked for", "give one of them")
