"""What all tests share: hypothesis runs the same examples every time, however slow the machine is, but with `-m soak`, when it looks for new
ones; signals are heard, though who starts the tests in the background, or with nohup, has some of them ignored, here and in every process
started from here."""

import re
import signal

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["support.commands", "support.networks"]

settings.register_profile("rnnlm", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=3000, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", deadline=None, max_examples=2000, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rnnlm")


def is_soak(config: pytest.Config) -> bool:
    """Whether the long proofs are asked for."""
    return bool(re.search(r"(?<!not )\bsoak\b", config.option.markexpr))


def pytest_configure(config: pytest.Config) -> None:
    if is_soak(config):
        settings.load_profile("soak")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long proofs run only when they are asked for; the fuzzing tests are long proofs too, then."""
    for item in items:
        if is_soak(config) and "fuzzing" in item.path.parts:
            item.add_marker("soak")
        elif not is_soak(config) and item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="long proof; run with -m soak"))


signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
