"""Which inspection applies to which kind of model and task, and what other models are told."""

import pytest

from rnnlm import registry
from rnnlm.errors import UsageError
from rnnlm.tools.inspection.common import LACKS, NEEDS, check_applies
from rnnlm.tools.inspection.inspect_command import WHATS

WITHOUT_MODEL = {"activations", "step", "surface"}
TASKS = registry.all_tasks()


def test_every_inspection_is_listed_with_existing_kinds():
    assert set(LACKS) == set(NEEDS) == {*WHATS, "units --saturation"} - WITHOUT_MODEL
    known = {"n-grams"}.union(*(need for needs in NEEDS.values() for need in needs))
    for task in TASKS:
        for kind in registry.kinds_of(task.name).values():
            assert kind.has <= known


@pytest.mark.parametrize("what", LACKS)
def test_model_with_nothing_to_inspect_is_refused_briefly(what):
    for task in TASKS:
        for kind, its in registry.kinds_of(task.name).items():
            if its.has_what(NEEDS[what]):
                check_applies(what, "mine", task.name, kind)
            else:
                with pytest.raises(UsageError, match=f"{what} has nothing to show for mine"):
                    check_applies(what, "mine", task.name, kind)
