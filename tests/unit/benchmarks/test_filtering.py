"""Filtering beside a loop with kenlm: turns, ratios, and the same units on both sides."""

import pytest

from rnnlm.benchmarks import filtering
from rnnlm.benchmarks.filtering import FilterSpeed, KenlmLoop, Run, bench_filtering
from rnnlm.errors import UsageError
from rnnlm.filtering.judging import Documents, document_scores, perplexities
from rnnlm.ngram.arpa.writing import export_arpa
from support.tiny_models import LINES, fit


def test_ways_take_turns_and_ratios_are_of_rounds(monkeypatch):
    turns = []
    taken = iter([Run(9, 9), Run(9, 9), Run(2, 1), Run(4, 3), Run(8, 1), Run(24, 1), Run(3, 1),
                  Run(3, 2)])  # fmt: skip
    monkeypatch.setattr(filtering, "_timed", lambda run: run() or next(taken))
    ours, loop = bench_filtering(
        6_000_000, [(1, lambda: turns.append("ours"))], lambda: turns.append("loop"), rounds=3
    )
    assert turns == ["ours", "loop"] * 4
    # Of (2, 4), (8, 24) and (3, 3); the first round warms up.
    assert ours == FilterSpeed("rnnlm filter", 1, 3, 1, 2.0, 2.0, 2.0)
    assert (loop.what, loop.seconds, loop.ratio) == ("kenlm loop", 4, 1)


def test_both_sides_have_the_same_perplexities(tmp_path):
    pytest.importorskip("kenlm", reason="kenlm is not installed; it is compiled from PyPI")
    lines = [*LINES[:4], "it is  a\tcat", "zebra"]
    for settings in ({"tokenizer": "sentencepiece", "vocab_size": 320}, {}):
        model = fit("ngram", order=3, **settings)
        export_arpa(model, tmp_path / "m.arpa", overwrite=True)
        loop = KenlmLoop(tmp_path / "m.arpa", model.tokenizer)
        ours = perplexities(*document_scores(model, Documents.of_texts(lines, "replace")))
        assert filtering.largest_difference(loop, lines, ours.tolist()) < 1e-5
        # And the same lines are kept.
        (tmp_path / "text.txt").write_text("\n\n".join(lines) + "\n")
        border = sorted(ours.tolist())[2] * 1.001
        loop.filter(tmp_path / "text.txt", tmp_path / "kept.txt", border)
        kept = [line for line, each in zip(lines, ours, strict=True) if each <= border]
        assert (tmp_path / "kept.txt").read_text().splitlines() == kept


def test_other_tokenizers_have_no_loop(tmp_path):
    for settings in ({"tokenizer": "char"}, {"lowercase": True}):
        with pytest.raises(UsageError, match="takes models of words or of"):
            filtering._pieces_of(fit("ngram", order=2, **settings).tokenizer)
