"""What functions and servers add to rnnlm."""

from collections.abc import Mapping
from typing import Any

from rnnlm.satellites import Decorator, Satellite


def _function(name: str, takes: str, path: Any) -> Any:
    from rnnlm.tools.scorers.opening import function_scorer

    return function_scorer(name, takes, path)


def _server(name: str, takes: str, path: Any) -> Any:
    from rnnlm.tools.scorers.opening import server_scorer

    return server_scorer(name)


def _options() -> Mapping[str, Decorator]:
    from rnnlm.tools.scorers.doctor_command_options import OPTIONS

    return OPTIONS


SATELLITE = Satellite(
    "tools/scorers",
    options=_options,
    scorers={r"https?://.+": _server, r"[\w.]+:[\w.]+": _function},
)
