"""Models packed for a page: what is refused, and what is in it."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from rnnlm.conversion.compaction import compact
from rnnlm.errors import OutputError, UsageError
from rnnlm.models import loading
from rnnlm.serving import html_export
from support import tiny_models


def saved(folder, kind, **settings):
    tiny_models.save(folder, tiny_models.fit(kind, **settings), kind, **settings)
    return folder


def test_weights_are_those_of_the_compact_file(tmp_path):
    folder = saved(tmp_path / "m", "lstm")
    compact(str(folder), tmp_path / "small", bits=8)
    (weights,) = (tmp_path / "small").glob("weights-*")
    packed = html_export.packed(folder)
    assert base64.b64decode(packed["arrays"]) == weights.read_bytes()
    vocabulary = base64.b64decode(packed["vocabulary"])
    assert vocabulary == (tmp_path / "small" / "vocab.txt").read_bytes()


def test_page_knows_nothing_of_training(tmp_path):
    packed = html_export.packed(saved(tmp_path / "m", "lstm"))
    assert "budget" not in json.dumps(packed)
    assert str(tmp_path) not in json.dumps(packed)


HOSTILE = ["</script> \u2028 <img onerror=x> </title> a-->b", "the <img onerror=x> {{script}} sat"]


def test_page_holds_what_a_model_holds_as_text(tmp_path):
    name = "<img onerror=x>{{script}}"
    model = tiny_models.fit("ngram", [*tiny_models.LINES, *HOSTILE], order=2)
    tiny_models.save(tmp_path / name, model, "ngram", order=2)
    html_export.export_html([tmp_path / name], tmp_path / "hostile.html")
    html_export.export_html([saved(tmp_path / "tame", "ngram", order=2)], tmp_path / "tame.html")
    texts = [(tmp_path / file).read_text("utf-8") for file in ("hostile.html", "tame.html")]
    for tag in ("<img", "<script", "</script", "<title", "onerror", "-->", "\u2028"):
        counts = [text.count(tag) for text in texts]
        # The name of the model alone shows, with its tag written in another way.
        assert counts[0] - counts[1] == (tag == "onerror"), tag
    assert "makeEngine" in texts[0][texts[0].rindex("<script>") :]


def test_page_is_allowed_its_own_script_alone(tmp_path):
    html_export.export_html([saved(tmp_path / "m", "ngram", order=2)], tmp_path / "m.html")
    text = (tmp_path / "m.html").read_text("utf-8")
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert (rules["default-src"], rules["connect-src"]) == ("'none'", "'none'")
    script = text[text.rindex("<script>") + len("<script>") : text.rindex("</script>")]
    digest = hashlib.sha256(script.encode()).digest()
    assert rules["script-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)


def test_page_of_shipped_model_is_small(tmp_path):
    assert html_export.export_html(["demo"], tmp_path / "demo.html") <= 6_000_000
    assert (tmp_path / "demo.html").stat().st_size <= 6_000_000


def test_page_is_not_replaced_unless_asked(tmp_path):
    folder, file = saved(tmp_path / "m", "ngram", order=2), tmp_path / "m.html"
    html_export.export_html([folder], file)
    with pytest.raises(OutputError, match="already exists"):
        html_export.export_html([folder], file)
    html_export.export_html([folder], file, overwrite=True)


def test_model_that_reads_backwards_is_refused(tmp_path):
    folder = saved(tmp_path / "m", "lstm", reversed=True)
    with pytest.raises(UsageError, match="reads lines from their end") as error:
        html_export.packed(folder)
    assert "rnnlm serve" in error.value.hint


def test_mixture_is_refused_with_a_way_out(tmp_path):
    parts = [("unigram", {}), ("ngram", {"order": 2})]
    settings = {"parts": parts, "weights": [0.5, 0.5]}
    tiny_models.save(tmp_path / "m", tiny_models.fit("mixture", **settings), "mixture", **settings)
    with pytest.raises(UsageError, match="a mixture of other models"):
        html_export.packed(tmp_path / "m")


def test_models_beyond_the_limit_are_refused(tmp_path, monkeypatch):
    folder = saved(tmp_path / "m", "ngram")
    size = len(base64.b64decode(html_export.packed(folder)["arrays"]))
    monkeypatch.setattr(html_export, "LARGEST", size + 1000)
    html_export.export_html([folder], tmp_path / "one.html")
    for names in ([folder, folder], [folder] * 9):
        with pytest.raises(UsageError) as error:
            html_export.export_html(names, tmp_path / "several.html")
        assert "too large for a page" in error.value.what
        assert "rnnlm prune" in error.value.hint


def test_model_much_too_large_is_not_read(tmp_path, monkeypatch):
    folder = saved(tmp_path / "m", "ngram")
    (weights,) = folder.glob("weights-*")
    weights.unlink()
    monkeypatch.setattr(html_export, "LARGEST", 10)
    with pytest.raises(UsageError, match="too large for a page"):
        html_export.export_html([folder], tmp_path / "m.html")


def test_models_of_one_page_have_own_names(tmp_path):
    (tmp_path / "other").mkdir()
    folders = [saved(tmp_path / "m", "ngram"), saved(tmp_path / "other" / "m", "unigram")]
    html_export.export_html(folders, tmp_path / "m.html")
    text = (tmp_path / "m.html").read_text("utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert [each["card"]["name"] for each in data] == [f"{tmp_path.name}/m", "other/m"]


def test_tables_hold_each_n_gram_under_its_context(tmp_path):
    model = loading.load(saved(tmp_path / "m", "ngram", order=3), "cpu")
    arrays = html_export.ngram_arrays(model)
    for n, level in enumerate(model.levels(), start=1):
        assert len(arrays[f"logprob_{n}"]) == len(level)
        if n > 1:
            first = arrays[f"first_{n}"]
            for context in range(len(first) - 1):
                inside = slice(first[context], first[context + 1])
                assert (level.contexts_M[inside] == context).all()
                assert (np.diff(arrays[f"words_{n}"][inside].astype(int)) > 0).all()
