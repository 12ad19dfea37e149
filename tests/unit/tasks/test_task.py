"""What every task says of itself fits what it is said about."""

from dataclasses import fields

import pytest

from rnnlm.config import names_of
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.models import registry
from rnnlm.training.request import Request

TASKS = registry.all_tasks()


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_task_speaks_of_what_there_is(task):
    assert registry.task(task.name) is task
    assert task.request_fields <= {each.name for each in fields(Request)}
    assert task.compares_by <= {each.name for each in fields(ComparisonSettings)}
    kinds = registry.kinds_of(task.name)
    assert task.usual_model in kinds and kinds[task.usual_model].task == task.name
    known = names_of(cls for kind in kinds.values() for cls in kind.all_settings)
    assert task.settings_of_data <= known
    assert task.does("eval") and task.does(task.own_command)


def test_names_and_words_of_tasks_differ():
    for words in ("name", "singular", "plural", "predicate"):
        assert len({getattr(task, words) for task in TASKS}) == len(TASKS)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_kinds_of_other_tasks_are_refused_with_reasons(task):
    kinds = registry.kinds_of(task.name)
    others = {kind.name for kind in registry.TASK_KINDS} | set(registry.KINDS)
    for name in others - {*kinds, "mixture"}:
        error = task.refusal_of_kind(name, list(kinds))
        assert name in error.what and error.why and error.hint
