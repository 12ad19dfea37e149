"""What this package adds to rnnlm. It is imported on use."""

from rnnlm.satellites import Command, Satellite, on_use


def _metrics():
    from rnnlm.evaluation.perplexity import TextMetric

    return [TextMetric("bits_per_word", per="word", is_perplexity=False)]


SATELLITE = Satellite(
    "rnnlm-example",
    commands=lambda: [
        Command("longest", "More", "longest line", on_use(__package__, "command:command"))
    ],
    kinds=on_use(__package__, "flat:KINDS"),
    metrics=_metrics,
)
