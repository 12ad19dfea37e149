"""N-best lists, their scores and references, word vectors, journals of scores, words that are asked
for."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.errors import RnnlmError
from rnnlm.generation.word_constraints import Ban
from rnnlm.rescoring import files
from rnnlm.rescoring.files import read_nbest
from rnnlm.rescoring.nbest import parse_score
from rnnlm.rescoring.settings import ListSettings
from rnnlm.scoring import resumable_output
from rnnlm.scoring.sentences import Sentence
from rnnlm.text.vectors import read_vectors
from support.odd_inputs import (
    changed,
    damaged,
    deep_json,
    json_bytes,
    odd_numbers,
    odd_text,
    value_or_error,
)
from support.tiny_models import make_tokenizer

TSV = b"utt\trank\tscore\ttext\nu1\tREF\t\tthe cat\nu1\t1\t-1.5\tthe cat\nu1\t2\t-2e0\tthe hat\nu2\t1\t-3\ta dog\n"
JSON = {
    "utt": "u1",
    "ref": "the cat",
    "hypotheses": [{"text": "the cat", "score": -1.5}, {"text": "the hat", "score": "-2"}],
}
KALDI, SCORES, REFERENCES = (
    b"u1-1 the cat\nu1-2 the hat\n",
    b"u1-1 -1.5\nu1-2 -2\n",
    b"u1 the cat\n",
)
VECTORS = b"3 2\nthe 0.5 -1\ncat 1e-3 2\nnew york 1 2\n"


def utterances(source, settings=ListSettings(encoding_errors="replace"), **more):
    found = value_or_error(lambda: read_nbest(str(source), settings, **more))
    assert isinstance(found, RnnlmError) or all(
        math.isfinite(each.score) for utterance in found for each in utterance.hypotheses
    )


fields = st.lists(
    odd_text | odd_numbers | st.sampled_from(["u1", "u2", "1", "2", "REF", "-1.5"]),
    min_size=3,
    max_size=5,
).map("\t".join)


@given(
    st.one_of(
        damaged(TSV),
        st.lists(fields, max_size=5).map(
            lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
        ),
    )
)
def test_any_list_of_tabs(place, data):
    path = place / "list"
    path.write_bytes(data)
    for settings in (
        ListSettings(),
        ListSettings(format="tsv", costs=True, skip_incomplete=True, encoding_errors="replace"),
    ):
        utterances(path, settings)


@given(
    st.one_of(
        damaged(json_bytes(JSON), json_bytes([JSON])),
        changed(JSON).map(json_bytes),
        deep_json.map(lambda deep: b'{"utt": %s}' % deep),
        deep_json.map(
            lambda deep: b'[{"utt": "a", "hypotheses": [{"text": "a", "score": %s}]}]' % deep
        ),
    )
)
def test_any_list_of_json(place, data):
    path = place / "list"
    path.write_bytes(data)
    for format in (None, "json"):
        utterances(path, ListSettings(format=format))


@given(
    st.one_of(
        st.tuples(damaged(KALDI), st.just(SCORES)), st.tuples(st.just(KALDI), damaged(SCORES))
    ),
    st.sampled_from(["", "-1*", "1e308*", "nan*", "+*", "1e*"]),
)
def test_any_list_of_kaldi(place, files, factor):
    text, scores = files
    (place / "text").write_bytes(text)
    (place / "score").write_bytes(scores)
    (place / "ref").write_bytes(REFERENCES)
    utterances(place / "text", score_files=[f"{factor}score", "score"])


@given(damaged(REFERENCES))
def test_any_references(place, data):
    (place / "list").write_bytes(TSV)
    (place / "references").write_bytes(data)
    utterances(place / "list", references=[str(place / "references")])


@example(names=["1\u00b2", "output.1"])
@given(
    names=st.lists(
        st.text(st.sampled_from("0123456789\u00b2\u0663.ab"), min_size=1, max_size=4),
        min_size=1,
        max_size=3,
        unique=True,
    )
)
def test_folders_of_espnet_of_any_name(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("espnet")
    for name in names:
        (folder / f"x{name}" / "1best_recog").mkdir(parents=True)
    assert len(files.espnet_folders(str(folder))) == len(names)


@given(odd_text | odd_numbers | odd_numbers.map("tensor({})".format), st.booleans())
def test_any_score(text, costs):
    score = value_or_error(lambda: parse_score(text, "here", costs))
    assert isinstance(score, RnnlmError) or math.isfinite(score)


vector_lines = st.lists(
    st.lists(odd_text | odd_numbers | st.sampled_from(["the", "cat", "1", "0.5"]), max_size=4).map(
        " ".join
    ),
    max_size=4,
)


@example(b"the nan 1\n")
@example(b"3 999999999\nthe 1 2\n")
@given(
    damaged(VECTORS)
    | vector_lines.map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))
)
def test_any_word_vectors(place, data):
    for name, errors in (("vectors.txt", "strict"), ("vectors.vec", "replace")):
        path = place / name
        path.write_bytes(data)
        found = value_or_error(
            lambda path=path, errors=errors: read_vectors(
                path, ["</s>", "<unk>", "the", "cat"], 2, errors
            )
        )
        if not isinstance(found, RnnlmError):
            assert (
                found.values_KE.shape == (len(found.ids_K), 2)
                and np.isfinite(found.values_KE).all()
            )


@given(st.data())
def test_any_journal_of_scores(place, data):
    path = place / "scores.jsonl"
    file = resumable_output.begin(path, {"model": "a"}, "header\n", overwrite=True)
    file.write([Sentence("the cat", 1, "")], "a record\n")
    journal = path.with_name(path.name + resumable_output.JOURNAL)
    journal.write_bytes(
        data.draw(
            st.one_of(damaged(journal.read_bytes()), deep_json.map(lambda deep: deep + b"\n{}\n"))
        )
    )
    again = value_or_error(lambda: resumable_output.resume(path, {"model": "a"}, "header\n"))
    if not isinstance(again, RnnlmError):
        value_or_error(lambda: [again.write([Sentence("the cat", 1, "")], "") for _ in range(2)])
    assert "header\na record\n".startswith(path.read_text())


@pytest.mark.parametrize("name", ["word", "char", "byte"])
@given(st.lists(odd_text, max_size=2))
def test_any_banned_words(name, words):
    value_or_error(lambda: Ban(make_tokenizer(tokenizer=name), words))
