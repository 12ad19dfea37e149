"""`rnnlm.filter` as a function of rows: alone, in batches, in processes, pickled."""

import pickle

import datasets
import pytest
from datasets.fingerprint import Hasher

import rnnlm
from rnnlm.errors import ArgumentTypeError, ModelError, TextError
from support.failures import notices_of
from support.tiny_models import fit, halves_model, save

ROWS = {"text": ["a b", "a", None, "b b", ""], "id": [0, 1, 2, 3, 4]}  # 4, 2.83, -, 6.35, -


@pytest.fixture
def model(tmp_path):
    save(tmp_path / "m", fit("ngram", order=2), "ngram", order=2)
    return str(tmp_path / "m")


def test_rows_batches_and_texts_are_judged_alike_and_wrong_ones_errors():
    keep = rnnlm.filter(halves_model(), max_perplexity=4)
    assert keep({"text": "a b"}) is True and keep("b b") is False and keep({"text": None}) is False
    assert keep(ROWS) == [True, True, False, False, False]
    assert keep({"text": []}) == []
    closer = rnnlm.filter(halves_model(), against=halves_model(), max_difference=0)
    assert closer(ROWS) == [True, True, False, True, False]
    assert closer.columns("a")["difference"] == 0
    dataset = datasets.Dataset.from_dict(ROWS)
    for batched in (False, True):
        assert dataset.filter(keep, batched=batched)["id"] == [0, 1]
    stream = dataset.to_iterable_dataset().filter(keep, batched=True, batch_size=2)
    assert [row["id"] for row in stream] == [0, 1]
    with pytest.raises(TextError, match="no column 'text'"):
        keep({"body": "a"})
    with pytest.raises(TextError, match="column 'text' holds an int, not text"):
        keep({"text": ["a", 3]})
    with pytest.raises(ArgumentTypeError, match="a row must be a mapping"):
        keep(["a"])
    with pytest.raises(ModelError, match="no model named 'nowhere'"):
        rnnlm.filter("nowhere", max_perplexity=4)


def test_words_in_another_order_are_the_same_words():
    model, *others = (fit("unigram", [line]) for line in ("a a b", "a b b", "a c c"))
    told = [
        notices_of(lambda other=other: rnnlm.filter(model, against=other, max_difference=0))
        for other in others
    ]
    assert told[0] == [] and "know different words" in told[1][0]


def test_columns_are_those_of_the_command():
    sort = rnnlm.filter(halves_model(), cutoffs=(3, 5), keep="head", bucket_column="b")
    added = sort.columns(ROWS)
    assert added["b"] == ["middle", "head", None, "tail", None]
    assert added["perplexity"] == [4.0, 2.82843, None, 6.3496, None]
    assert sort.columns({"text": "a"}) == {"perplexity": 2.82843, "b": "head"}
    assert sort(ROWS) == [False, True, False, False, False]
    found = datasets.Dataset.from_dict(ROWS).map(sort.columns, batched=True)
    assert found.to_dict() == {**ROWS, **added}


def test_languages_are_kept_by_name():
    one = fit("ngram", ["aa ab ba"] * 3, order=2, tokenizer="char")
    models = {"one": one, "two": fit("ngram", ["xx xy yx"] * 3, order=2, tokenizer="char")}
    texts = ["ab ba", "yx xy", "q", "1234567"]
    assert rnnlm.filter(models, min_probability=0.9)({"text": texts})[:2] == [True, True]
    assert rnnlm.filter(models, keep=["two"])({"text": texts})[:2] == [False, True]
    strict = rnnlm.filter(models, max_perplexity=50, keep="none")
    assert strict({"text": texts}) == [False, False, True, True]
    assert strict.columns({"text": "ab ba"})["language"] == "one"


def test_it_pickles_by_place_and_is_recognised(model, tmp_path):
    keep = rnnlm.filter(model, max_perplexity=9)
    texts = {"text": ["the cat sat", "speech cat recognize"]}
    data = pickle.dumps(keep)
    assert len(data) < 3000 and pickle.loads(data)(texts) == keep(texts)
    # As datasets hashes it: the same for the same filter, another one for another.
    same = rnnlm.filter(model, max_perplexity=9)
    assert Hasher.hash(keep) == Hasher.hash(same)
    assert Hasher.hash(keep) != Hasher.hash(rnnlm.filter(model, max_perplexity=8))
    keep(texts)
    assert Hasher.hash(keep) == Hasher.hash(same)
    # A model that has changed meanwhile is another one.
    save(tmp_path / "m", fit("ngram", order=3), "ngram", order=3)
    with pytest.raises(ModelError, match="has changed since it was pickled"):
        pickle.loads(data)
    assert Hasher.hash(keep) != Hasher.hash(rnnlm.filter(model, max_perplexity=9))


@pytest.mark.soak
def test_several_processes_filter_a_data_set(model):
    keep = rnnlm.filter(model, max_perplexity=8.2)  # of "speech", 8.6
    dataset = datasets.Dataset.from_dict({"text": ["the cat sat", "speech", "a dog"] * 20})
    expected = [text for text in dataset["text"] if keep(text)]
    assert 0 < len(expected) < 60
    assert list(dataset.filter(keep, num_proc=2)["text"]) == expected
