"""Which look applies to which kind of model and task: the table in the code, the one in
docs/insight.md, and what other models are told."""

import re
from pathlib import Path

import pytest

from rnnlm.cli.commands.inspect import WHATS
from rnnlm.errors import UsageError
from rnnlm.inspection.common import LACKS, check_applies
from rnnlm.models import registry

PAGE = (Path(__file__).parents[3] / "docs" / "insight.md").read_text(encoding="utf-8")
WITHOUT_MODEL = {"activations", "step", "surface"}
TASKS = registry.all_tasks()


def test_page_and_code_list_the_same_kinds():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if re.match(r"\| `\w+` \|", line)
    ]
    found = {
        row[0].strip("`"): [set(re.findall(r"\w+", cell)) for cell in row[1:]]
        for row in rows
        if len(row) == 1 + len(TASKS)
    }
    assert found == {what: [set(task.looks.get(what, ())) for task in TASKS] for what in LACKS}


def test_every_inspection_is_listed_with_existing_kinds():
    assert set(LACKS) == set(WHATS) - WITHOUT_MODEL
    for task in TASKS:
        assert set(task.looks) <= set(LACKS)
        for kinds in task.looks.values():
            assert set(kinds) <= set(registry.kinds_of(task.name))


@pytest.mark.parametrize("what", LACKS)
def test_model_with_nothing_to_inspect_is_refused_briefly(what):
    for task in TASKS:
        for kind in registry.kinds_of(task.name):
            if kind in task.looks.get(what, ()):
                check_applies(what, "mine", task.name, kind)
            else:
                with pytest.raises(
                    UsageError, match=f"inspect {what} has nothing to show for mine"
                ):
                    check_applies(what, "mine", task.name, kind)
