"""What this package adds to rnnlm. Functions import on use."""

from rnnlm.satellites import Command, Satellite


def _longest():
    from rnnlm_example.command import command

    return command


def _kinds():
    from rnnlm_example.flat import KINDS

    return KINDS


def _metrics():
    from rnnlm.evaluation.perplexity import TextMetric

    return [TextMetric("bits_per_word", per="word", is_perplexity=False)]


SATELLITE = Satellite(
    "rnnlm-example",
    commands={"longest": Command("More", "longest line", _longest)},
    kinds=_kinds,
    metrics=_metrics,
)
