"""`rnnlm serve`: models over HTTP."""

import contextlib
import os
import sys

import click

from .. import options, terminal
from ..help_sections import Command, section
from ..setting_options import SERVING, options_of


@click.command(cls=Command)
@section("Models", options.models_option, options.device_option)
@section("Server", options_of(SERVING, "host", metavar="HOST"),
                 options_of(SERVING, "port"))  # fmt: skip
@section(
    "Who may ask",
    click.option("--token-file", metavar="FILE",
                 help="Ask clients for the token that FILE holds, as `Authorization: Bearer "
                      "TOKEN`.  [default: $RNNLM_TOKEN, if set]"),
    options_of(SERVING, "no_auth"),
    options_of(SERVING, "allow_host", multiple=True, metavar="NAME"),
    options_of(SERVING, "cors", multiple=True, metavar="ORIGIN"),
)  # fmt: skip
@section(
    "Limits of a request",
    options_of(SERVING, "max_sentences", "max_characters", "max_tokens", "answer_seconds"),
)
def command(
    model_names: tuple[str, ...],
    device: str,
    token_file: str | None,
    **given: str | int | float | tuple[str, ...] | None,
) -> None:
    """Serve models over HTTP: scores, next words, text.

    \b
    rnnlm serve -m demo
    rnnlm serve -m demo -m kn --port 8080
    curl localhost:8000/score -H "Content-Type: application/json" \\
         -d '{"sentences": ["the dog barked"], "words": true}'

    /openapi.json describes all that can be asked for. Ctrl-C ends the server. Beyond 127.0.0.1 it
    serves only with a token, or with --no-auth. It writes a line per request to standard error:
    never what was sent or answered.
    """
    from rnnlm.tools.serving.settings import ServingSettings

    given["no_auth"] = given["no_auth"] or None
    settings = options.settings_of(ServingSettings, given)

    # Settings that cannot be are refused before anything that takes time is imported.
    from rnnlm.tools.serving.running import check_access, serve, token_from

    token = token_from(token_file)
    check_access(settings, token)
    ending = serve(
        options.chosen_models(model_names),
        settings,
        device,
        token,
        started=lambda url: terminal.say(f"serving at {url}; Ctrl-C ends it"),
    )

    # Leave without waiting for threads that still compute for nobody: torch aborts the process when
    # Python stops them.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(128 + ending)
