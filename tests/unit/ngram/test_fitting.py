"""Fitting n-gram models: what is asked for is checked first, told as it goes, and the same however
little memory there is."""

import re
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rnnlm import system
from rnnlm.errors import OutputError, RnnlmWarning, SettingsError, UsageError
from rnnlm.events import Counted, Estimated, Fitted, Started, Validated
from rnnlm.models import registry
from rnnlm.ngram.counting import counts, room
from rnnlm.ngram.fitting import check, fit, pruning_thresholds
from rnnlm.ngram.smoothing import ESTIMATORS
from rnnlm.text.encoding import TrainingData
from support.tiny_models import HELD_OUT, LINES, Lines, make_tokenizer, small_settings

TEXT = [
    " ".join(f"w{(i * i + j * (i % 5 + 1)) % 23}" for j in range(3 + i % 11)) for i in range(150)
]
FORMS = {"additive": [True], "jelinek-mercer": [True], "witten-bell": [True], "katz": [False]} | {
    name: [True, False] for name in ("absolute", "kn", "mkn")
}  # values that `interpolate` may have


def asked(**settings):
    return small_settings(registry.kind_of("ngram"), **settings)


def data_of(lines=LINES, held_out=None) -> TrainingData:
    tokenizer = make_tokenizer(lines)
    valid = None if held_out is None else Lines(held_out).encode(tokenizer)
    return TrainingData(tokenizer, Lines(lines).encode(tokenizer), valid)


def events_of(data: TrainingData, **settings) -> list:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        return list(fit(asked(**settings), data))


@pytest.mark.parametrize(
    ("text", "order", "thresholds"),
    [("0", 1, (0,)), ("0", 4, (0, 0, 0, 0)), ("0,0,1", 5, (0, 0, 1, 1, 1)), ("0 2", 3, (0, 2, 2)),
     (" 0, 1 ,1,\t3 ", 4, (0, 1, 1, 3)),
     ("0,00,007", 3, (0, 0, 7)), (f"0,{10**30}", 2, (0, 10**30)), ([0, 0, 1], 4, (0, 0, 1, 1))],
)  # fmt: skip
def test_one_threshold_an_order_and_the_last_repeats(text, order, thresholds):
    assert pruning_thresholds(text, order) == thresholds


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "is not understood"), (" , ", "is not understood"), ("0,x", "is not understood"),
     ("0,-1", "is not understood"),
     ("0,1.5", "is not understood"), ("0;1", "is not understood"), ("0,²", "is not understood"),
     ("0,١", "is not understood"),
     ("0,+1", "is not understood"), ("0,1,2,3", "has 4 values"), ("0,2,1", "decreases"),
     ("1,0", "decreases"), ("1", "is not valid"),
     ("1,1,2", "is not valid"), ([0, 2, 1], "decreases"), ([0, -1], "is not understood"),
     ([], "is not understood")],
)  # fmt: skip
def test_other_thresholds_are_errors_that_show_them(text, what):
    with pytest.raises(SettingsError) as raised:
        pruning_thresholds(text, 3)
    shown = text if isinstance(text, str) else ",".join(map(str, text))
    assert raised.value.what == f"prune = {shown!r} {what}"
    with pytest.raises(SettingsError, match="prune = "):
        check(asked(order=3, prune=text), has_valid=True)
    with pytest.raises(SettingsError, match="prune = "):
        next(fit(asked(order=3, prune=text), data_of()))


@pytest.mark.parametrize(
    ("settings", "hint"),
    [({"smoothing": "jelinek-mercer"}, ""),
     ({"smoothing": "jelinek-mercer", "additive_k": 0.5}, ""),
     ({"smoothing": "additive"}, ", or set the constant: `additive_k=0.1`")],
)  # fmt: skip
def test_tuning_weights_requires_held_out_text(settings, hint):
    with pytest.raises(UsageError, match="needs held-out text") as raised:
        next(fit(asked(**settings), data_of()))
    assert raised.value.hint == f'name it with `valid`, or hold out a part: `holdout="5%"`{hint}'
    assert settings["smoothing"] in raised.value.what
    check(asked(**settings), has_valid=True)
    assert events_of(data_of(held_out=HELD_OUT), **settings)[-1].model.normalised


@pytest.mark.parametrize("smoothing", sorted(set(ESTIMATORS) - {"jelinek-mercer"}))
def test_other_estimators_need_no_held_out_text(smoothing):
    settings = {"smoothing": smoothing, "additive_k": 0.5}
    check(asked(**settings), has_valid=False)
    *_, estimated, fitted = events_of(data_of(), **settings)
    assert (
        fitted.model.order == 5
        and isinstance(estimated, Estimated)
        and fitted.best_ppl_token is None
    )


@pytest.mark.parametrize("interpolate", [True, False])
@pytest.mark.parametrize("smoothing", ESTIMATORS)
def test_estimators_mix_or_back_off_only_as_defined(smoothing, interpolate):
    settings = asked(smoothing=smoothing, interpolate=interpolate)
    if interpolate in FORMS.get(smoothing, ()):
        check(settings, has_valid=True)
        return
    with pytest.raises(
        SettingsError,
        match=f"interpolate = {str(interpolate).lower()} is not possible with smoothing "
        f"{smoothing}",
    ):
        check(settings, has_valid=True)


def test_events_tell_the_steps_and_their_results():
    data = data_of(held_out=HELD_OUT)
    started, *counted, estimated, validated, fitted = events = events_of(
        data, order=3, prune="0,1,1"
    )
    assert [type(event) for event in events] == [
        Started,
        Counted,
        Counted,
        Counted,
        Estimated,
        Validated,
        Fitted,
    ]
    assert (started.model, started.vocabulary_size, started.device) == (
        "ngram",
        data.tokenizer.size,
        "cpu",
    )
    assert (started.train_tokens, started.valid_tokens) == (
        len(data.train.ids),
        len(data.valid.ids),
    )
    padded = [["<s>", *line.split(), "</s>"] for line in LINES]
    distinct = [
        len({tuple(line[at : at + n]) for line in padded for at in range(len(line) - n + 1)})
        for n in (1, 2, 3)
    ]
    assert [event.order for event in counted] == [1, 2, 3]
    assert [event.ngrams for event in counted] == [data.tokenizer.size + 1, *distinct[1:]]
    model = fitted.model
    assert estimated.ngrams == tuple(map(len, model.values)) and estimated.ngrams[1] < distinct[1]
    assert (
        estimated.model_bytes == sum(array.nbytes for array in model.to_arrays().values())
        and estimated.peak_bytes >= 0
    )
    assert fitted.facts == {"ngrams": list(estimated.ngrams), "estimated": estimated.estimated}
    assert "discounts of order 3" in estimated.estimated
    assert (
        validated.model is model
        and validated.improved
        and validated.ppl_token == fitted.best_ppl_token
    )
    ids_T = data.valid.ids.astype(np.int64)
    scores_BT, _ = model.score(
        np.append(data.tokenizer.boundary_id, ids_T[:-1])[None], ids_T[None], model.initial_state(1)
    )
    assert validated.ppl_token == pytest.approx(np.exp(-scores_BT.mean()), rel=1e-9)
    assert (fitted.step, fitted.steps, fitted.tokens, fitted.stopped) == (
        1,
        1,
        len(data.train.ids),
        "complete",
    )
    seconds = [event.seconds for event in events[1:]]
    assert seconds == sorted(seconds) and seconds[0] >= 0


def test_an_order_beyond_the_longest_line_is_lowered():
    with pytest.warns(
        RnnlmWarning, match="longest line has 3 tokens with its end: the model has order 4"
    ):
        *counted, _, fitted = list(
            fit(asked(order=7, smoothing="witten-bell"), data_of(["a b", "b", "a"]))
        )[1:]
    assert fitted.model.order == 4 and len(counted) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error", RnnlmWarning)
        *_, fitted = fit(asked(order=4, smoothing="witten-bell"), data_of(["a b", "b", "a"]))
    assert fitted.model.order == 4


@pytest.mark.parametrize("orders", [1, 2])
def test_a_stop_while_counting_ends_without_a_model(orders):
    answers = iter([False] * (orders - 1) + [True])
    events = list(fit(asked(order=4), data_of(held_out=HELD_OUT), stop=lambda: next(answers)))
    assert [type(event) for event in events] == [Started, *[Counted] * orders, Fitted]
    assert (events[-1].model, events[-1].stopped, events[-1].steps) == (None, "request", 0)


@pytest.fixture
def little_memory(tmp_path, monkeypatch):
    """Make a limit leave its whole size for buffers, whatever this process and the text take.
    Return the folder that temporary files go to."""
    monkeypatch.setattr(system, "private_bytes", lambda: 0)
    monkeypatch.setattr(room, "LEAST_BYTES", 0)
    monkeypatch.setattr(room, "BYTES_PER_WORD", 0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # told anew
    return tmp_path


CASES = [
    *({"smoothing": name, "order": 4} for name in ESTIMATORS), {"order": 5, "prune": "0,0,1"},
    {"order": 3, "prune": "0,99"},
    {"smoothing": "kn", "interpolate": False, "prune": "0,1", "order": 3},
    {"discounts": "lmplz", "order": 3}, {"order": 1},
]  # fmt: skip


# With 9 kB, everything is cut into many pieces. In every run: adjusted and raw counts, pruned ones,
# and a method of its own.
IN_PIECES = ("mkn", "additive", "katz", {"order": 5, "prune": "0,0,1"}, {"order": 1})


def limited() -> Iterator[Any]:
    """Yield settings and how much memory they have; few of the least in every run."""
    for settings in CASES:
        yield pytest.param(settings, "90k", id=f"{settings}-90k")
        is_quick = settings in IN_PIECES or settings.get("smoothing") in IN_PIECES
        marks = () if is_quick else pytest.mark.soak
        yield pytest.param(settings, "9k", id=f"{settings}-9k", marks=marks)


@pytest.mark.parametrize(("settings", "memory"), list(limited()))
def test_a_memory_limit_does_not_change_the_model(little_memory, settings, memory):
    # A third of the text is enough for the least memory to cut everything into pieces.
    text = TEXT[::3] if memory == "9k" else TEXT
    data = data_of(text, TEXT[::9])
    *_, expected = events_of(data, **settings)
    *_, found = events_of(data, memory=memory, **settings)
    arrays, limited = expected.model.to_arrays(), found.model.to_arrays()
    assert arrays.keys() == limited.keys()
    for name, array in arrays.items():
        assert array.dtype == limited[name].dtype and array.tobytes() == limited[name].tobytes(), (
            name
        )
    assert found.best_ppl_token == expected.best_ppl_token and found.facts == expected.facts
    assert list(little_memory.iterdir()) == []


@pytest.mark.parametrize("memory", [None, "9k"])
def test_the_thread_count_does_not_change_the_model(little_memory, memory, monkeypatch):
    monkeypatch.setattr(counts, "SMALLEST_PART", 1)  # a part for each thread, of a tiny text, too
    data = data_of(TEXT[::3] if memory else TEXT)
    models = [
        events_of(data, order=4, memory=memory, threads=threads)[-1].model.to_arrays()
        for threads in (None, 1, 3)
    ]
    for name, array in models[0].items():
        assert array.tobytes() == models[1][name].tobytes() == models[2][name].tobytes(), name


def test_too_little_memory_names_the_amount_needed(monkeypatch):
    monkeypatch.setattr(system, "private_bytes", lambda: 1_300_000_000)
    data = data_of()
    with pytest.raises(SettingsError, match="memory = 1.3G is too little") as raised:
        events_of(data, memory="1.3G")
    assert f"{data.tokenizer.size:,} words" in raised.value.why
    enough = re.fullmatch(r"give (\S+) or more", raised.value.hint)[1]
    *_, fitted = events_of(data, memory=enough)
    assert fitted.model.order == 5


def test_misplaced_temporary_files_are_reported(little_memory, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(little_memory / "gone"))
    with pytest.warns(RnnlmWarning, match="cannot write to TMPDIR=.*gone"):
        *_, fitted = fit(asked(order=2, memory="9k"), data_of())
    assert fitted.model.order == 2


@pytest.mark.parametrize("name", ["ngram", "unigram"])
def test_spelling_rare_words_does_not_change_the_model(name):
    kind, plain = registry.kind_of(name), make_tokenizer(LINES, min_count=2)
    heldout = {"smoothing": "jelinek-mercer"} if name == "ngram" else {}
    models = []
    for tokenizer in (plain, plain.spelling()):
        train, valid = (Lines(lines).encode(tokenizer) for lines in (LINES, HELD_OUT))
        *_, fitted = kind.fit(
            small_settings(kind, **heldout),
            TrainingData(tokenizer, train, valid),
            lambda: False,
            None,
        )
        models.append(fitted.model.to_arrays())
    assert (train.ids >= plain.size).any() and (valid.ids >= plain.size).any()
    assert models[0].keys() == models[1].keys()
    assert all(np.array_equal(array, models[1][name]) for name, array in models[0].items())


def test_inapplicable_discounts_are_reported():
    with pytest.warns(RnnlmWarning, match="discounts = lmplz does not apply to smoothing kn"):
        list(fit(asked(smoothing="kn", discounts="lmplz"), data_of()))


def test_a_full_disk_is_an_error_leaving_nothing(little_memory, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(little_memory / "gone"))
    with pytest.raises(OutputError, match="no room for temporary files in .*gone"):
        events_of(data_of(), memory="9k")
