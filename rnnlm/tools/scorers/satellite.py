"""What functions and servers add to rnnlm."""

from typing import Any

from rnnlm.satellites import Satellite, on_use


def _function(name: str, takes: str, path: Any) -> Any:
    from rnnlm.tools.scorers.opening import function_scorer

    return function_scorer(name, takes, path)


def _server(name: str, takes: str, path: Any) -> Any:
    from rnnlm.tools.scorers.opening import server_scorer

    return server_scorer(name)


SATELLITE = Satellite(
    "tools/scorers",
    options=on_use(__package__, "doctor_command_options:OPTIONS"),
    scorers={r"https?://.+": _server, r"[\w.]+:[\w.]+": _function},
)
