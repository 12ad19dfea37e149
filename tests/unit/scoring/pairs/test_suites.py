import copy

import pytest

import rnnlm
from rnnlm.errors import TextError, UsageError
from rnnlm.scoring.pairs.accuracy import PairScores, TestSet, score_set
from rnnlm.scoring.pairs.suites import Reference, is_suite, score_suite, suite_of
from support.tiny_models import LINES, fit


def regions(*contents: str) -> list[dict]:
    return [
        {"region_number": number, "content": content}
        for number, content in enumerate(contents, start=1)
    ]


def item(number: int, match: list[str], mismatch: list[str]) -> dict:
    conditions = [("match", match), ("mismatch", mismatch)]
    return {
        "item_number": number,
        "conditions": [
            {"condition_name": name, "regions": regions(*parts)} for name, parts in conditions
        ],
    }


SUITE = {
    "meta": {"name": "sitting", "metric": "sum", "reference": "", "comment": ""},
    "region_meta": {"1": "subject", "2": "gap", "3": "verb", "4": "rest"},
    "predictions": [
        {"type": "formula", "formula": "(3;%match%) < (3;%mismatch%)"},
        {
            "type": "formula",
            "formula": "[(*;%mismatch%) - (*;%match%) > 0] & (1;%match%) = (1;%mismatch%)",
        },
    ],
    "items": [
        item(1, ["the cat", "", "sat", "on the mat"], ["the cat", "", "mat", "on the mat"]),
        item(2, ["a dog", "", "saw", "the zorp cat"], ["a dog", "", "dog", "the zorp cat"]),
    ],
}


def changed(**values) -> dict:
    return {**copy.deepcopy(SUITE), **values}


@pytest.fixture(
    scope="module",
    params=[{}, {"tokenizer": "char"}, {"tokenizer": "sentencepiece", "vocab_size": 280}],
    ids=str,
)
def model(request):
    return fit("lstm", LINES * 20, **request.param)


def test_regions_sum_to_the_sentence_without_its_end(model):
    scores = score_suite(model, suite_of(SUITE, "suite.json", "suite"))
    (sentence,) = rnnlm.Model(model).score_sentences(["the cat sat on the mat"], with_tokens=True)
    bits = [token.surprisal_bits for token in sentence.token_scores]
    assert scores[2].surprisal_bits[Reference(None, "match")] == pytest.approx(
        sum(bits[:-1]), abs=1e-3
    )
    start, stop = (
        len(model.tokenizer.encode([head]).ids) - 1 for head in ("the cat", "the cat sat")
    )
    assert scores[0].surprisal_bits[Reference(3, "match")] == pytest.approx(
        sum(bits[start:stop]), abs=1e-3
    )


def test_points_follow_from_the_surprisals(model):
    scores = score_suite(model, suite_of(SUITE, "suite.json", "suite"))
    assert [(score.item, score.labels.kind) for score in scores] == [
        ("1", "sitting, prediction 1"), ("2", "sitting, prediction 1"),
        ("1", "sitting, prediction 2"), ("2", "sitting, prediction 2")
    ]  # fmt: skip
    for score in scores[:2]:
        match, mismatch = (
            score.surprisal_bits[Reference(3, name)] for name in ("match", "mismatch")
        )
        assert score.point == float(match < mismatch)
    assert [each.group for each in PairScores(scores).accuracies()] == [
        "sitting, prediction 1",
        "sitting, prediction 2",
        "all",
    ]


def test_unknown_words_count_where_they_are_read():
    scores = score_suite(fit("unigram"), suite_of(SUITE, "suite.json", "suite"))
    assert [score.has_oov for score in scores] == [False, False, False, True]


def test_a_tie_does_not_hold_but_is_counted():
    """The order of words is all that differs, which a unigram model does not see."""
    predictions = [{"formula": f"(*;%match%) {sign} (*;%mismatch%)"} for sign in "<>="]
    items = [item(1, ["the", "cat", "sat"], ["cat", "sat", "the"])]
    scores = score_suite(
        fit("unigram"),
        suite_of(changed(items=items, predictions=predictions), "suite.json", "suite"),
    )
    assert [(score.point, score.is_tie) for score in scores] == [
        (0.0, True),
        (0.0, True),
        (1.0, False),
    ]
    assert [(each.accuracy, each.ties) for each in PairScores(scores).accuracies()][:3] == [
        (0.0, 1),
        (0.0, 1),
        (1.0, 0),
    ]


def test_unusable_items_are_left_out_with_a_reason():
    items = copy.deepcopy(SUITE["items"]) + [
        item(3, ["the"], ["a"]),
        item(4, ["the", "", "</s>", ""], ["the", "", "cat", ""]),
    ]
    scores = score_suite(fit("unigram"), suite_of(changed(items=items), "suite.json", "suite"))
    assert [score.point is None for score in scores[:4]] == [False, False, True, True]
    assert (
        scores[2].reason == "it has no region (3;%match%)"
        and scores[2].where == "suite.json, item 3"
    )
    assert "</s>" in scores[3].reason


def test_infinite_surprisals_that_cancel_leave_the_item_out():
    items = [item(1, ["the cat", "", "the"], ["the cat", "", "a"])]
    predictions = [
        {"formula": "(3;%match%) - (3;%mismatch%) > 0"},
        {"formula": "(3;%match%) > (1;%match%)"},
    ]
    model = fit("ngram", smoothing="mle", order=3)
    difference, comparison = score_suite(
        model, suite_of(changed(items=items, predictions=predictions), "suite.json", "suite")
    )
    assert difference.point is None and "zero" in difference.reason
    assert comparison.point == 1.0 and comparison.surprisal_bits[Reference(3, "match")] is None


def test_a_token_spanning_two_regions_excludes_the_item(monkeypatch):
    """No tokenizer of ours has such tokens; here the beginning "the cat" is given others than the
    sentence has there."""
    model = fit("unigram")
    encode = model.tokenizer.encode
    monkeypatch.setattr(
        model.tokenizer,
        "encode",
        lambda lines: encode(["the dog" if line == "the cat" else line for line in lines]),
    )
    first, second, *_ = score_suite(model, suite_of(SUITE, "suite.json", "suite"))
    assert first.point is None and "two regions" in first.reason
    assert second.point is not None


def test_old_style_predictions_are_read_too():
    meta = {
        "name": "old",
        "metric": "sum",
        "string_predictions": ["[(3;%match%) < (3;%mismatch%)]"],
    }
    suite = suite_of(changed(meta=meta, predictions=[]), "suite.json", "suite")
    assert [formula.text for formula in suite.formulas] == meta["string_predictions"]
    assert {score.labels.kind for score in score_suite(fit("unigram"), suite)} == {"old"}


def test_a_nameless_suite_is_called_after_its_file():
    assert suite_of(changed(meta={}), "folder/x.json", "x").name == "x"


BAD_SUITES = {
    "region out of range": (
        changed(predictions=[{"formula": "(5;%match%) > 1"}]),
        r"no item has the region \(5;%match%\)",
    ),
    "unknown condition": (
        changed(predictions=[{"formula": "(1;%mach%) > 1"}]),
        r"no item has the region \(1;%mach%\)",
    ),
    "no formula": (
        changed(predictions=[{"formula": "(1;%match%) >"}]),
        "suite.json: not a formula",
    ),
    "no predictions": (changed(predictions=[]), "holds no predictions"),
    "no items": (changed(items=[]), "holds no items"),
    "unknown metric": (
        changed(meta={"name": "x", "metric": "median"}),
        "the metric 'median' is not known",
    ),
    "unknown type": (
        changed(predictions=[{"type": "regex", "formula": "1"}]),
        "a prediction of type 'regex'",
    ),
    "a field missing": (
        changed(items=[{"item_number": 1}]),
        r"not a test suite; .*conditions.*items\[0\]",
    ),
    "a wrong type": (
        changed(items=[{"item_number": 1, "conditions": 7}]),
        r"not a test suite; .*items\[0\].conditions",
    ),
    "a region twice": (
        changed(
            items=[
                {
                    "item_number": 1,
                    "conditions": [
                        {"condition_name": "match", "regions": [*regions("a"), *regions("b")]}
                    ],
                }
            ]
        ),
        "item 1, condition 'match': duplicate number or name",
    ),
}


@pytest.mark.parametrize("value, message", BAD_SUITES.values(), ids=BAD_SUITES)
def test_what_is_no_suite_is_an_error(value, message):
    assert is_suite(value)
    with pytest.raises(TextError, match=message):
        suite_of(value, "suite.json", "suite")


def test_a_suite_has_no_scoring_to_choose():
    with pytest.raises(UsageError, match="scoring of test suites cannot be chosen"):
        score_set(
            fit("unigram"),
            TestSet("suites", suites=(suite_of(SUITE, "suite.json", "suite"),)),
            scoring="word",
        )
