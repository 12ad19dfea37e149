"""Which cases the suite takes of the contract of language models: every promise is asked of every
feature, if not of every model. With `-m soak`, it is asked of the others, too."""

import itertools
from collections.abc import Hashable, Iterator

import pytest

SPREAD = 7  # each promise begins with other cases: all of them are asked for something
# What is asked before a network is reached depends on the kind of model and the wrapper alone.
OF_KINDS = {
    "test_networks_give_torch_arrays_and_others_numpy", "test_invalid_ids_and_states_are_refused",
    "test_mismatched_rows_and_targets_are_refused", "test_numpy_ids_of_any_width_are_taken",
}  # fmt: skip


def features(case: tuple) -> set[Hashable]:
    """Return the features of a case: those of its kind, the names of its settings, its choices."""
    choices = {(key, value) for key, value in case[2].items() if str(value).isidentifier()}
    return features_of_kind(case) | {*choices, *case[2]}


def features_of_kind(case: tuple) -> set[Hashable]:
    """Return the features of a case without its settings: its kind of model, the wrapper."""
    around, name, _ = case
    return {("around", around), ("model", name), ("both", around, name)}


def covering(items: list[pytest.Item], first: int) -> Iterator[pytest.Item]:
    """Yield tests of one promise, from one of them on, until their cases have all features."""
    seen: set[Hashable] = set()
    asked_of = features_of_kind if items[0].originalname in OF_KINDS else features
    for item in items[first:] + items[:first]:
        own = asked_of(item.callspec.params["case"])
        if not own <= seen:
            seen |= own
            yield item


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    own = (item for item in items if item.path.name == "test_language_models.py")
    of_models = [item for item in own if hasattr(item, "callspec")]
    of_models.sort(key=lambda item: item.originalname)
    taken: set[pytest.Item] = set()
    promises = itertools.groupby(of_models, key=lambda item: item.originalname)
    for number, (_, of_one) in enumerate(promises):
        tests = list(of_one)
        taken.update(covering(tests, SPREAD * number % len(tests)))
    for item in of_models:
        if item not in taken:
            item.add_marker("soak")
