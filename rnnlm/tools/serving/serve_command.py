"""`rnnlm serve`: models over HTTP."""

import contextlib
import os
import sys
from functools import partial

import click

from rnnlm.cli import options, terminal
from rnnlm.cli.declaring import Command, options_of, section
from rnnlm.tools.serving.settings import ServingSettings


@click.command(cls=Command)
@section("Models", options.models_option, options.device_option)
@section("Server", options_of(ServingSettings, "host", metavar="HOST"),
                 options_of(ServingSettings, "port"))  # fmt: skip
@section(
    "Access",
    click.option("--token-file", metavar="FILE",
                 help="Require a token from clients, as `Authorization: Bearer TOKEN`: one of the "
        "lines of FILE, which have equal shares of the server.  "
        "[default: $RNNLM_TOKEN, if set]"),
    options_of(ServingSettings, "no_auth"),
    options_of(ServingSettings, "allow_host", multiple=True, metavar="NAME"),
    options_of(ServingSettings, "cors", multiple=True, metavar="ORIGIN"),
    options_of(ServingSettings, "trusted_proxy"),
)  # fmt: skip
@section(
    "Request limits",
    options_of(ServingSettings, "max_sentences", "max_characters", "max_tokens", "answer_seconds"),
)
def command(
    model_names: tuple[str, ...],
    device: str,
    token_file: str | None,
    **given: str | int | float | tuple[str, ...] | None,
) -> None:
    """Serve scores, next words and text over HTTP.

    \b
    rnnlm serve -m demo
    rnnlm serve -m demo -m kn --port 8080
    curl localhost:8000/score -H "Content-Type: application/json" \\
         -d '{"sentences": ["the dog barked"], "words": true}'

    /openapi.json describes all endpoints. Press Ctrl-C to stop the server. On an address other than
    127.0.0.1, it requires a token or --no-auth. It logs one line per request to standard error,
    without the content of requests and answers. SIGUSR1 loads the models and the token anew.
    """
    for name in ("no_auth", "trusted_proxy"):
        given[name] = given[name] or None
    settings = options.settings_of(ServingSettings, given)

    # Settings that cannot be are refused before anything that takes time is imported.
    from rnnlm.tools.serving.running import check_access, serve, tokens_from

    read_tokens = partial(tokens_from, token_file)
    check_access(settings, read_tokens())
    names = options.chosen_models(model_names)
    terminal.say(f"loading {', '.join(names)} ...")
    serve(
        names,
        settings,
        device,
        read_tokens,
        started=lambda url: terminal.say(f"serving at {url}; press Ctrl-C to stop"),
    )

    # Leave without waiting for threads that still compute for nobody: torch aborts the process when
    # Python stops them.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(0)
