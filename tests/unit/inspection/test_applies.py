"""Which look applies to which kind of model and task: the table in the code, the one in
docs/insight.md, and what other models are told."""

import re
from pathlib import Path

import pytest

from rnnlm.cli.commands.inspect import WHATS
from rnnlm.errors import UsageError
from rnnlm.inspection.common import APPLIES, check_applies
from rnnlm.models.registry import ANY, KINDS, LANGUAGE_MODEL, TASK_KINDS

PAGE = (Path(__file__).parents[3] / "docs" / "insight.md").read_text(encoding="utf-8")
WITHOUT_MODEL = {"surface"}
EXISTING = {LANGUAGE_MODEL: set(KINDS)} | {
    task: {kind.name for kind in TASK_KINDS if kind.task == task} for task in ANY[1:]
}


def test_page_and_code_list_the_same_kinds():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if re.match(r"\| `\w+` \|", line)
    ]
    found = {
        row[0].strip("`"): [set(re.findall(r"\w+", cell)) for cell in row[1:]]
        for row in rows
        if len(row) == 1 + len(ANY)
    }
    assert found == {
        what: [set(applies.kinds.get(task, ())) for task in ANY]
        for what, applies in APPLIES.items()
    }


def test_every_inspection_is_listed_with_existing_kinds():
    assert set(APPLIES) == set(WHATS) - WITHOUT_MODEL
    for applies in APPLIES.values():
        for task, kinds in applies.kinds.items():
            assert set(kinds) <= EXISTING[task]


@pytest.mark.parametrize("what", APPLIES)
def test_model_with_nothing_to_inspect_is_refused_briefly(what):
    for task in ANY:
        for kind in EXISTING[task]:
            if kind in APPLIES[what].kinds.get(task, ()):
                check_applies(what, "mine", task, kind)
            else:
                with pytest.raises(
                    UsageError, match=f"inspect {what} has nothing to show for mine"
                ):
                    check_applies(what, "mine", task, kind)
