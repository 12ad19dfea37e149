"""`rnnlm serve`: models over HTTP."""

import click

from .. import options
from ..options import Command
from ..setting_options import SERVING, options_of


@click.command(cls=Command)
@options.section("Models", options.models_or_demo_option, options.device_option)
@options.section("Server", options_of(SERVING, "host", metavar="HOST"),
                 options_of(SERVING, "port", "workers"))  # fmt: skip
@options.section(
    "Limits of a request",
    options_of(
        SERVING, "max_sentences", "max_characters", "max_tokens", "max_samples", "max_words"
    ),
)
def command(model_names: tuple[str, ...], device: str, **given: str | int | None) -> None:
    """Serve models over HTTP: scores, next words, text.

    \b
    rnnlm serve -m demo
    rnnlm serve -m demo -m kn --port 8080
    curl localhost:8000/score -H "Content-Type: application/json" \\
         -d '{"sentences": ["the dog barked"], "words": true}'

    /openapi.json describes all that can be asked for. Ctrl-C ends the server.
    """
    from rnnlm.serving.settings import ServingSettings

    settings = options.settings_of(ServingSettings, given, given)

    # Settings that cannot be are refused before anything that takes time is imported.
    from rnnlm.serving.running import serve

    serve(options.models_or_demo(model_names), settings, device)
