"""Set-up of the tests of inspections."""

from functools import partial

import pytest

from rnnlm.evaluation.resampling import ratio_interval
from rnnlm.tools.inspection import memory, probing


@pytest.fixture
def few_resamples(monkeypatch):
    """Save time where intervals are resampled."""
    for module in (memory, probing):
        monkeypatch.setattr(module, "ratio_interval", partial(ratio_interval, resamples=50))
