"""Runs of one grid share what they read alike, and nothing else."""

from rnnlm.text.lines import silent
from rnnlm.training.request import Request, resolve_request
from rnnlm.training.texts import SharedTexts


def symbols_of(shared, path, output_layer):
    given = {"output_layer": output_layer, "constrained": "false", "min_count": "1"}
    request = Request(text=(str(path),), valid=(str(path),), task="tagging", assignments=given)
    _, kind, resolved = resolve_request(request)
    return shared(request, resolved, kind, silent).data.tokenizer.columns[0].symbols


def test_a_tagger_with_a_crf_has_its_own_labels_beside_one_with_a_free_softmax(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("in O\nnew B-LOC\nyork I-LOC\n\noslo B-LOC\nis O\n", encoding="utf-8")
    shared = SharedTexts(None)
    assert set(symbols_of(shared, path, "softmax")) == {"O", "B-LOC", "I-LOC"}
    assert "S-LOC" in symbols_of(shared, path, "crf")
