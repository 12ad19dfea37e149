"""What makes a run of scoring: the model, the settings, and the signature of what was scored."""

import dataclasses
from typing import get_args

from rnnlm.errors import UsageError, nearest
from rnnlm.evaluation.perplexity import check_context, signature_of
from rnnlm.evaluation.signature import Signature
from rnnlm.inference.conditions import reads_sources
from rnnlm.inference.direction import check_reads_forward
from rnnlm.inference.shown_words import Split
from rnnlm.interface import LanguageModel
from rnnlm.scoring.records import Measure, ScoringSettings
from rnnlm.text.encoding import LinesHash


def describe_run(model: LanguageModel, settings: ScoringSettings) -> dict[str, str]:
    """What makes a run of scoring, by name: the model and the settings.

    Raises:
        UsageError: the settings contradict each other or the model.
    """
    check_settings(model, settings)
    signature = signature_before(model, settings)
    named = {name: str(value) for name, value in dataclasses.asdict(settings).items()}
    return {"model": signature.model, "adapt": signature.adapt, "prec": signature.prec, "tok": signature.tok, **named}


def signature_before(model: LanguageModel, settings: ScoringSettings) -> Signature:
    """The signature before any sentence is read."""
    return signature_after(model, settings, LinesHash())


def signature_after(model: LanguageModel, settings: ScoringSettings, lines: LinesHash) -> Signature:
    """The signature once the sentences are read whose lines were hashed."""
    return signature_of(model, lines.hexdigest(), settings.context, "keep", "yes" if settings.eos else "no")


def check_settings(model: LanguageModel, settings: ScoringSettings) -> None:
    """Make sure that the settings go with each other and the model.

    Raises:
        UsageError: they do not.
    """
    check_context(settings.context)
    if settings.context == "carry" and reads_sources(model):
        raise UsageError("each target is read from its own source", "context is carry", "use --context reset")
    if settings.next_words:
        check_reads_forward(model.tokenizer, "say which words come next")
    if settings.split not in get_args(Split):
        raise UsageError(f"words cannot be split by {settings.split!r}", hint=nearest(str(settings.split), get_args(Split)))
    for name in settings.measures:
        if name not in get_args(Measure):
            raise UsageError(f"words have no measure {name!r}", hint=nearest(str(name), get_args(Measure)))
    if settings.measures and not (settings.with_words or settings.next_words):
        raise UsageError(f"{' and '.join(settings.measures)}: a measure of words", "words are not asked for", "score with with_words=True")
    if settings.context == "carry" and settings.next_words and not model.tokenizer.starts_word_V.all():
        raise UsageError("next words of a model of pieces are found for each line alone", "context is carry", "use --context reset")
