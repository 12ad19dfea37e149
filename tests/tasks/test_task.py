"""What every task says of itself fits what it is said about."""

from dataclasses import fields

import pytest

from rnnlm import registry
from rnnlm.config import names_of
from rnnlm.errors import SettingsError
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.training.request import TrainingRequest

TASKS = registry.all_tasks()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_speaks_of_what_there_is(task):
    assert registry.task(task.name) is task
    assert task.request_fields <= {each.name for each in fields(TrainingRequest)}
    assert task.compares_by <= {each.name for each in fields(ComparisonSettings)}
    kinds = registry.kinds_of(task.name)
    assert kinds[registry.USUAL_MODEL].task == task.name
    known = names_of(cls for kind in kinds.values() for cls in kind.all_settings)
    assert task.settings_of_data <= known
    assert {"eval", task.own_command} <= task.commands


def test_names_and_words_of_tasks_differ():
    for words in ("name", "singular", "own_command", "usage"):
        assert len({getattr(task, words) for task in TASKS}) == len(TASKS)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_kinds_of_other_tasks_are_refused_with_reasons(task):
    others = {kind.name for kind in registry.TASK_KINDS} | set(registry.KINDS)
    for name in others - set(registry.kinds_of(task.name)):
        with pytest.raises(
            SettingsError, match=f"`model` {name} is not for {task.name}; it "
        ) as no:
            registry.kind_of(name, task.name)
        assert "mixture" not in no.value.hint  # which is not trained
