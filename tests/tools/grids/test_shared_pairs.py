"""Runs of one grid on pairs: each reads the texts of a run by itself, and is trained like it."""

from rnnlm.text.lines import silent
from rnnlm.tools.grids.grid import SharedTexts
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request
from support.tiny_translators import numbers, table


def opened(shared, text, valid=(), **settings):
    assignments = {"tokenizer": "word", **settings}
    request = TrainingRequest(text=text, valid=valid, task="seq2seq", assignments=assignments)
    _, kind, resolved = resolve_request(request)
    texts = shared(request, resolved, kind, silent)
    return texts.data.train, texts.resolved


def test_pairs_too_long_for_one_run_reach_others(tmp_path):
    path, shared = tmp_path / "numbers.tsv", SharedTexts(None)
    path.write_text(table(numbers(14)), encoding="utf-8")
    for longest, sentences in (("4", 6), ("250", 14), ("4", 6)):
        train, _ = opened(shared, (str(path),), (str(path),), longest=longest)
        assert train.sentences == sentences


def test_another_tokenizer_drops_the_bundled_corpus_settings():
    request = TrainingRequest(task="seq2seq", assignments={"tokenizer": "byte"})
    _, _, resolved = resolve_request(request)
    assert not resolved.values["lowercase"]
    assert resolved.values["input_feeding"]
    assert resolved.values["column"] == "phrase"


def test_bundled_corpus_settings_hold_for_every_run():
    shared = SharedTexts(None)
    (first, one), (second, other) = (opened(shared, ("answers",), seed=seed) for seed in ("1", "2"))
    assert first is second and one.values | {"seed": 2} == other.values
    assert other.values["learning_rate"] == 0.005
    assert other.origins["learning_rate"] == "the bundled corpus"
