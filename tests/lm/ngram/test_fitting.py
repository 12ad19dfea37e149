"""Fitting n-gram models: what is asked for is checked first."""

import warnings

import numpy as np
import pytest

from rnnlm import registry
from rnnlm.errors import RnnlmWarning, SettingsError, UsageError
from rnnlm.events import Counted, Estimated, Fitted, Started, Validated
from rnnlm.lm.ngram.counting import count_trie
from rnnlm.lm.ngram.fitting import check, fit, pruning_thresholds
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from rnnlm.text.encoding import TrainingData
from support.tiny_models import HELD_OUT, LINES, Lines, make_tokenizer, small_settings

WORDS = [[(i * i + j * (i % 5 + 1)) % 23 for j in range(3 + i % 11)] for i in range(150)]
TEXT = [" ".join(f"w{word}" for word in line) for line in WORDS]
FORMS = {  # values that `interpolate` may have
    **dict.fromkeys(("additive", "jelinek-mercer", "interpolated", "witten-bell"), (True,)),
    **dict.fromkeys(("absolute", "kn", "mkn"), (True, False)), "katz": (False,),
}  # fmt: skip


def asked(**settings):
    return small_settings(registry.kind_of("ngram"), **settings)


def data_of(lines=LINES, held_out=None) -> TrainingData:
    tokenizer = make_tokenizer(lines)
    valid = None if held_out is None else Lines(held_out).encode(tokenizer)
    return TrainingData(tokenizer, Lines(lines).encode(tokenizer), valid)


def events_of(data: TrainingData, **settings) -> list:
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return list(fit(asked(**settings), data))


@pytest.mark.parametrize("text, order, thresholds", [
    ("0", 1, (0,)), ("0", 4, (0, 0, 0, 0)), ("0,0,1", 5, (0, 0, 1, 1, 1)), ("0 2", 3, (0, 2, 2)),
    (" 0, 1 ,1,\t3 ", 4, (0, 1, 1, 3)), ("0,00,007", 3, (0, 0, 7)),
    (f"0,{10**30}", 2, (0, 10**30)), ([0, 0, 1], 4, (0, 0, 1, 1)),
])  # fmt: skip
def test_one_threshold_an_order_and_the_last_repeats(text, order, thresholds):
    assert pruning_thresholds(text, order) == thresholds


UNCLEAR = ["", " , ", "0,x", "0,-1", "0,1.5", "0;1", "0,²", "0,١", "0,+1", [0, -1], []]
INVALID = ["0,2,1", "1,0", "1", "1,1,2", [0, 2, 1]]


@pytest.mark.parametrize("text, what", [
    *((text, "is not understood") for text in UNCLEAR), *((text, "is not valid") for text in INVALID),
    ("0,1,2,3", "has 4 values"),
])  # fmt: skip
def test_other_thresholds_are_errors_that_show_them(text, what):
    with pytest.raises(SettingsError) as raised:
        pruning_thresholds(text, 3)
    shown = text if isinstance(text, str) else ",".join(map(str, text))
    assert raised.value.what == f"prune = {shown!r} {what}"
    with pytest.raises(SettingsError, match="prune = "):
        check(asked(order=3, prune=text), has_valid=True)
    with pytest.raises(SettingsError, match="prune = "):
        next(fit(asked(order=3, prune=text), data_of()))


@pytest.mark.parametrize("settings, hint", [
    ({"smoothing": "jelinek-mercer"}, '`holdout="5%"`'),
    ({"smoothing": "jelinek-mercer", "additive_k": 0.5}, '`holdout="5%"`'),
    ({"smoothing": "interpolated"}, '`weights="0.1,0.3,0.6"`'),
    ({"smoothing": "additive"}, "`additive_k=0.1`"),
])  # fmt: skip
def test_tuning_weights_requires_held_out_text(settings, hint):
    with pytest.raises(UsageError, match="needs held-out text") as raised:
        next(fit(asked(**settings), data_of()))
    assert raised.value.hint == f"add {hint}, or name a text with `valid`"
    assert settings["smoothing"] in raised.value.what
    check(asked(**settings), has_valid=True)
    assert events_of(data_of(held_out=HELD_OUT), **settings)[-1].model.normalised


@pytest.mark.parametrize("smoothing", sorted(set(ESTIMATORS) - {"jelinek-mercer", "interpolated"}))
def test_other_estimators_need_no_held_out_text(smoothing):
    settings = {"smoothing": smoothing, "additive_k": 0.5}
    check(asked(**settings), has_valid=False)
    *_, estimated, fitted = events_of(data_of(), **settings)
    assert isinstance(estimated, Estimated)
    assert fitted.model.order == 5 and fitted.best_ppl_token is None


@pytest.mark.parametrize("weights, error", [
    ("0.5,0.6", ("is not valid", "their sum is 1.1")), ("1.5,-0.5", ("is not valid", "")),
    ("nan,1", ("is not valid", "")), ([0.5, 0.4], ("is not valid", "their sum is 0.9")),
    ("0.1,0.3,0.6", ("has 3 numbers", "the order is 2")), ("a,1", ("is not understood", "")),
    ("", ("is not understood", "")),
])  # fmt: skip
def test_other_weights_are_errors_that_show_them(weights, error):
    with pytest.raises(SettingsError) as raised:
        check(asked(order=2, smoothing="interpolated", weights=weights), has_valid=True)
    assert raised.value.what == f"weights = {weights!r} {error[0]}"
    assert raised.value.why == error[1]


def test_as_many_weights_as_orders():
    given = {"smoothing": "interpolated", "weights": "0.1,0.3,0.6"}
    settings = asked(**given)
    assert (settings.values["order"], settings.origins["order"]) == (3, "other settings")
    assert asked(**given, order=2).values["order"] == 2
    assert asked(weights="0.1,0.3,0.6").values["order"] == 5
    assert events_of(data_of(), **given)[-1].model.order == 3


@pytest.mark.parametrize("interpolate", [True, False])
@pytest.mark.parametrize("smoothing", ESTIMATORS)
def test_estimators_mix_or_back_off_only_as_defined(smoothing, interpolate):
    settings = asked(smoothing=smoothing, interpolate=interpolate)
    if interpolate in FORMS.get(smoothing, ()):
        check(settings, has_valid=True)
    else:
        value = str(interpolate).lower()
        message = f"interpolate = {value} is not possible with smoothing {smoothing}"
        with pytest.raises(SettingsError, match=message):
            check(settings, has_valid=True)


def test_events_tell_the_steps_and_their_results():
    data = data_of(held_out=HELD_OUT)
    events = events_of(data, order=3, prune="0,1,1")
    kinds = [Started, *[Counted] * 3, Estimated, Validated, Fitted]
    assert [type(event) for event in events] == kinds
    started, *counted, estimated, validated, fitted = events
    assert (started.model, started.device) == ("ngram", "cpu")
    assert started.vocabulary_size == data.tokenizer.size
    assert started.train_tokens == fitted.tokens == len(data.train.ids)
    assert started.valid_tokens == len(data.valid.ids)
    padded = [["<s>", *line.split(), "</s>"] for line in LINES]
    lines = [
        [tuple(line[at : at + n]) for line in padded for at in range(len(line) - n + 1)]
        for n in (1, 2, 3)
    ]
    distinct = [len(set(grams)) for grams in lines]
    assert [event.order for event in counted] == [1, 2, 3]
    assert [event.ngrams for event in counted] == [data.tokenizer.size + 1, *distinct[1:]]
    model = fitted.model
    assert estimated.ngrams == tuple(map(len, model.values)) and estimated.ngrams[1] < distinct[1]
    assert estimated.model_bytes == sum(array.nbytes for array in model.to_arrays().values())
    assert estimated.peak_bytes >= 0
    assert fitted.facts == {"ngrams": list(estimated.ngrams), "estimated": estimated.estimated}
    assert "discounts of order 3" in estimated.estimated
    assert validated.model is model and validated.improved
    ids_T = data.valid.ids.astype(np.int64)
    inputs_T = np.append(data.tokenizer.boundary_id, ids_T[:-1])
    scores_BT, _ = model.score(inputs_T[None], ids_T[None], model.initial_state(1))
    assert validated.ppl_token == pytest.approx(np.exp(-scores_BT.mean()), rel=1e-9)
    assert validated.ppl_token == fitted.best_ppl_token
    assert (fitted.step, fitted.steps, fitted.stopped) == (1, 1, "complete")
    seconds = [event.seconds for event in events[1:]]
    assert seconds == sorted(seconds) and seconds[0] >= 0


def test_an_order_beyond_the_longest_line_is_lowered_with_a_notice():
    message = "longest line has 3 tokens including its end, so the model has order 4"
    with pytest.warns(RnnlmWarning, match=message):
        *_, fitted = fit(asked(order=7, smoothing="witten-bell"), data_of(["a b", "b", "a"]))
    assert fitted.model.order == 4
    with warnings.catch_warnings(action="error", category=RnnlmWarning):
        list(fit(asked(order=4, smoothing="witten-bell"), data_of(["a b", "b", "a"])))


@pytest.mark.parametrize("order, quantize", [(6, None), (8, None), (8, 8)])
def test_stupid_backoff_keeps_an_order_beyond_the_longest_line(order, quantize):
    data = data_of(["a b c"])
    *_, fitted = fit(asked(order=order, smoothing="stupid", quantize=quantize), data)
    ids_1T = data.tokenizer.encode(["c a c a c a c a"]).ids[None]
    scores_1T, _ = fitted.model.score(ids_1T[:, :-1], ids_1T[:, 1:], fitted.model.initial_state(1))
    assert np.exp(scores_1T[0, -1]) == pytest.approx(0.25 * 0.4 ** (order - 1))


def same_arrays(model, other) -> None:
    """Check that two models are the same, to the byte."""
    arrays, others = model.to_arrays(), other.to_arrays()
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype, name
        assert array.tobytes() == others[name].tobytes(), name


@pytest.mark.parametrize("orders", [1, 2])
def test_a_stop_while_counting_ends_without_a_model(orders):
    answers = iter([False] * (orders - 1) + [True])
    events = list(fit(asked(order=4), data_of(held_out=HELD_OUT), stop=lambda: next(answers)))
    assert [type(event) for event in events] == [Started, *[Counted] * orders, Fitted]
    assert (events[-1].model, events[-1].stopped, events[-1].steps) == (None, "request", 0)


@pytest.mark.parametrize("name, settings", [
    ("ngram", {"smoothing": "jelinek-mercer"}), ("unigram", {}),
])  # fmt: skip
def test_spelling_rare_words_does_not_change_the_model(name, settings):
    kind, plain = registry.kind_of(name), make_tokenizer(LINES, min_count=2)
    models = []
    for tokenizer in (plain, plain.spelling()):
        train, valid = (Lines(lines).encode(tokenizer) for lines in (LINES, HELD_OUT))
        data = TrainingData(tokenizer, train, valid)
        *_, fitted = kind.fit(small_settings(kind, **settings), data, lambda: False, None)
        models.append(fitted.model)
    assert (train.ids >= plain.size).any() and (valid.ids >= plain.size).any()
    same_arrays(*models)


def test_the_thread_count_does_not_change_the_model(monkeypatch):
    # A part for each thread, of a tiny text, too.
    monkeypatch.setattr(count_trie, "SMALLEST_PART", 1)
    *_, expected = events_of(data_of(TEXT), order=4)
    for threads in (1, 3):
        *_, found = events_of(data_of(TEXT), order=4, threads=threads)
        same_arrays(found.model, expected.model)
