import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.tools.rescoring.files import format_of, read_nbest
from rnnlm.tools.rescoring.nbest import even_and_odd, with_references
from rnnlm.tools.rescoring.settings import ListSettings
from support.failures import notices_of

TSV = "u1\tREF\t\tthe cat\nu1\t1\t-1.5\tthe cat\nu1\t2\t-2\tthe hat\nu2\tREF\t\t\nu2\t1\t-3\t\n"
JSON = [
    {"utt": "u1", "ref": "the cat",
     "hypotheses": [{"text": "the cat", "score": -1.5}, {"text": "the hat", "score": -2}]},
    {"utt": "u2", "ref": "", "hypotheses": [{"text": "", "score": -3}]},
]  # fmt: skip


def scores(*arguments, **options):
    return [h.score for u in read_nbest(*arguments, **options) for h in u.hypotheses]


def seen(utterances):
    return [(u.utt, u.reference, [(h.text, h.score) for h in u.hypotheses]) for u in utterances]


EXPECTED = [("u1", "the cat", [("the cat", -1.5), ("the hat", -2.0)]), ("u2", "", [("", -3.0)])]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def kaldi(folder):
    write(folder / "text", "u1-1 the cat\nu1-2  the\that \nu2-1\n")
    write(folder / "scores", "u1-1 -1.5\nu1-2 -2\nu2-1 -3\n")
    write(folder / "ref", "u1 the cat\nu2 \n")
    return str(folder)


def espnet(folder):
    for job, rank, name, lines in [
        (1, 1, "text", "u1 the cat\n"), (1, 1, "score", "u1 tensor(-1.5)\n"),
        (1, 1, "token", "u1 _the _cat\n"),
        (1, 2, "text", "u1 the hat\n"), (1, 2, "score", "u1 tensor(-2.0, device='cuda:0')\n"),
        (10, 1, "text", "u2\n"), (10, 1, "score", "u2 -3\n"),
    ]:  # fmt: skip
        write(folder / "logdir" / f"output.{job}" / f"{rank}best_recog" / name, lines)
    write(folder / "ref.txt", "u1 the cat\nu2\n")
    return str(folder)


def test_every_format_is_recognised_and_reads_alike(here):
    write(here / "a", TSV)
    write(here / "b", "".join(json.dumps(each) + "\n" for each in JSON))
    write(here / "c", "\n" + json.dumps(JSON, indent=2))
    (here / "d.gz").write_bytes(gzip.compress(TSV.encode()))
    formats = {"a": "tsv", "b": "json", "c": "json", "d.gz": "tsv", kaldi(here / "k"): "kaldi"}
    for name, kind in formats.items():
        assert format_of(name) == kind
        assert seen(read_nbest(name)) == EXPECTED, name
        assert seen(read_nbest(name, ListSettings(format=kind))) == EXPECTED
    assert seen(read_nbest(str(here / "k" / "text"))) == EXPECTED
    folder = espnet(here / "e")
    assert format_of(folder) == "espnet"
    for source in (folder, f"{folder}/logdir"):
        assert seen(read_nbest(source, references=[f"{folder}/ref.txt"])) == EXPECTED
    assert seen(read_nbest(f"{folder}/logdir/output.10")) == [("u2", None, [("", -3.0)])]


def test_lists_of_text_and_score_are_read(here):
    lists = [("the cat", -1.5), ("the hat", -2.0)], [("", -3.0), ("go", 1e-3)]
    rows = [f"{text}\t{score}\n" for text, score in lists[0] + lists[1]]
    expected = [("1", None, lists[0]), ("2", None, lists[1])]
    for header in ("", "text\tscore\n", "hypothesis\tlogprob\n"):
        whole = write(here / "whole", header + "".join(rows))
        parted = write(here / "parted", header + "".join([*rows[:2], "\n\n", *rows[2:], "\n"]))
        assert format_of(whole) == format_of(parted) == "nemo"
        assert seen(read_nbest(whole, ListSettings(beam_size=2))) == expected
        assert seen(read_nbest(parted)) == expected
        with pytest.warns(RnnlmWarning, match="one utterance.*`beam_size`"):
            assert seen(read_nbest(whole)) == [("1", None, lists[0] + lists[1])]
        with pytest.raises(TextError, match="1 of 3 hypotheses"):
            read_nbest(whole, ListSettings(beam_size=3))
    refs = write(here / "refs", "1 the cat\n2 go\n")
    assert [each.reference for each in read_nbest(parted, references=[refs])] == ["the cat", "go"]
    # Somebody else's numbers begin with 0.
    from_zero = write(here / "refs", "0 the cat\n1 go\n")
    with pytest.warns(RnnlmWarning, match="the first is '0'"):
        partly = read_nbest(parted, references=[from_zero])
    with pytest.raises(TextError, match="'2' has no reference; nemo lists count utterances from 1"):
        with_references(partly, skip_incomplete=False)
    for bad, what in (("a\t-1\nb\tnan\n", "line 2: the score is nan"), ("a\tinf\n", "inf")):
        with pytest.raises(TextError, match=what):
            read_nbest(write(here / "bad", bad))
    assert format_of(write(here / "n", "1 2 3 go\t-1\n")) == "nemo"
    # A Kaldi text may have a tab, and words that are numbers.
    assert format_of(write(here / "k", "u1-1\t7\nu1-2\tseven\n")) == "kaldi"


def test_headers_are_optional_and_rows_in_any_order(here):
    one, two, three, four, five = TSV.splitlines()
    shuffled = "\n".join(["utt\trank\tscore\ttext", three, five, two, one, four])
    assert seen(read_nbest(write(here / "a", shuffled))) == EXPECTED


def test_quotation_marks_are_kept_or_unquoted(here):
    texts = ['"the cat" sat', '"the cat', 'sat"', '"a ""cat"""']
    rows = [f"u1\t{rank}\t-{rank}\t{text}\n" for rank, text in enumerate(texts, start=1)]
    first, second = read_nbest(write(here / "a", "".join(rows) + '"u\n2"\t1\t-1\t""\n'))
    assert [h.text for h in first.hypotheses] == [*texts[:3], 'a "cat"']
    assert second.utt == "u\n2" and second.hypotheses[0].text == ""
    assert format_of(write(here / "b", '"u\n1"\t1\t-1\ta\n')) == "tsv"


def test_costs_are_negated_and_score_files_add_up(here):
    folder = kaldi(here / "k")
    (here / "k" / "scores").unlink()
    write(here / "k" / "ac_cost", "u1-1 10\nu1-2 20\nu2-1 30\n")
    write(here / "k" / "lm_cost", "u2-1 3\nu1-1 1\nu1-2 2\n")
    assert scores(folder) == [-10, -20, -30]
    assert scores(folder, score_files=["0.1*ac_cost", "lm_cost"]) == [-2, -4, -6]
    elsewhere = write(here / "other", "u1-1 1\nu1-2 2\nu2-1 3\n")
    assert scores(folder, ListSettings(costs=True), score_files=[elsewhere]) == [-1, -2, -3]
    write(here / "a", TSV.replace("\t-", "\t"))
    assert seen(read_nbest("a", ListSettings(costs=True))) == EXPECTED
    with pytest.raises(UsageError, match="already has scores"):
        read_nbest("a", score_files=["ac_cost"])


def test_the_log_of_zero_is_the_lowest_score_in_every_format(here):
    expected = [-1.5, -sys.float_info.max, -3]
    write(here / "a", TSV.replace("-2", "-inf"))
    write(here / "costs", TSV.replace("-2", "inf").replace("\t-", "\t"))
    write(here / "n", "the cat\t-1.5\nthe hat\t-Infinity\n\ngo\t-3\n")
    write(here / "j", "\n".join(map(json.dumps, JSON)).replace("-2", "-Infinity"))
    kaldi(here / "k")
    write(here / "k" / "scores", "u1-1 -1.5\nu1-2 -inf\nu2-1 -3\n")
    espnet(here / "e")
    write(here / "e/logdir/output.1/2best_recog/score", "u1 tensor(-inf, device='cuda:0')\n")
    for name in ("a", "n", "j", "k", "e"):
        assert scores(name) == expected, name
    assert scores("costs", ListSettings(costs=True)) == expected
    assert scores("k", score_files=["0.5*scores", "0.5*scores"]) == expected
    for factor in ("0", "-1", "-1e999"):
        with pytest.raises(TextError, match=r"the score is (nan|inf)|before scores is -inf"):
            read_nbest("k", score_files=[f"{factor}*scores"])


@pytest.mark.filterwarnings("error")
def test_scores_rising_with_rank_are_reported(here):
    write(here / "a", TSV.replace("-2", "-1"))
    with pytest.raises(RnnlmWarning, match="does not have the highest score in 1 of 2"):
        read_nbest("a")
    write(here / "b", "u1\t1\t1\tx\nu1\t2\t2\ty\n")
    with pytest.raises(RnnlmWarning, match="lowest score in 1 of 1 .*`costs`"):
        read_nbest("b")
    assert read_nbest("b", ListSettings(costs=True))[0].hypotheses[0].text == "x"


def test_missing_ranks_at_the_top_or_in_between_are_reported(here):
    write(here / "a", TSV.replace("u1\t1\t-1.5\tthe cat\n", ""))
    with pytest.warns(RnnlmWarning, match="a: 1 utterances lack the hypothesis of rank 1, .*'u1'"):
        assert read_nbest("a")[0].hypotheses[0].text == "the hat"
    write(here / "a", TSV.replace("u1\t2", "u1\t4") + "u3\t999999999\t-5\tx\nu3\t1\t-4\ty\n")
    message = "^a, line 3: utterance 'u1' has a hypothesis of rank 4, but none of rank 2; 2 of 3"
    with pytest.warns(RnnlmWarning, match=message) as told:
        texts = [[h.text for h in u.hypotheses] for u in read_nbest("a")]
    assert texts == [["the cat", "the hat"], [""], ["y", "x"]] and len(told) == 1


@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.filterwarnings("error")
def test_gapless_ranks_are_not_reported(here, base):
    write(here / "a", "".join(f"u1\t{base + rank}\t{-rank}\tx\n" for rank in (2, 0, 1)))
    assert len(read_nbest("a")[0].hypotheses) == 3


@pytest.mark.parametrize(("old", "new", "message"), [
    ("-1.5", "", "line 2: the score is missing"), ("-1.5", "nan", "line 2: the score is nan"),
    ("-1.5", "inf", "line 2: the score is inf"),
    ("-1.5", "good", "line 2: 'good' is not a number"),
    ("-1.5", "1_0", "line 2: '1_0' is not a number"),
    ("u1\t2\t", "u1\t1\t", "line 3: utterance 'u1' already has a hypothesis 1"),
    ("u2\tREF\t\t", "u1\tREF\t\t", "line 4: utterance 'u1' already has a reference"),
    ("REF\t\tthe", "REF\t-1\tthe", "line 1: a reference has a score"),
    ("u1\t2\t", "u1\tsecond\t", "line 3: 'second' is not a valid rank"),
    ("u1\t2\t", "u1\t-2\t", "line 3: '-2' is not a valid rank"),
    ("the hat", "the\that", "line 3: not a line of an n-best list"),
    ("u1\t2\t-2\t", "u1-2 ", "line 3: not a line.*of one format only"),
    ("u1\t2\t-2\t", '{"utt": "u1"}\n', "line 3: not a line"),
    ("u2\t1\t-3\t\n", "", "line 4: utterance 'u2' has no hypotheses"),
    ("u1\tREF", "\tREF", "line 1: the utterance has no name"),
])  # fmt: skip
def test_table_errors_name_their_line(here, old, new, message):
    assert TSV.count(old) == 1
    with pytest.raises(TextError, match=message):
        read_nbest(write(here / "a", TSV.replace(old, new)))


@pytest.mark.parametrize(("record", "message"), [
    ({"ref": "x", "hypotheses": []}, "line 2: 'utt' is missing"),
    ({"utt": "u1", "hypotheses": []}, "line 2: utterance 'u1' is already in the list"),
    ({"utt": "u3"}, "line 2: 'hypotheses' is missing"),
    ({"utt": "u3", "ref": "x \udc80", "hypotheses": []}, "line 2, 'ref': not UTF-8"),
    ({"utt": "u3", "source": "\ud800", "hypotheses": []}, "line 2, 'source': not UTF-8"),
    ({"utt": "u3", "hypotheses": []}, "line 2: utterance 'u3' has no hypotheses"),
    ({"utt": "u3", "hypotheses": ["x"]}, "line 2, hypothesis 1: not an object"),
    ({"utt": "u3", "hypotheses": [{"text": "x", "score": None}]},
     "hypothesis 1: 'score' is null"),
    ({"utt": "u3", "hypotheses": [{"text": "x", "score": True}]}, "'score' is not a number"),
    ({"utt": "u3", "hypotheses": [{"text": "x", "score": "nan"}]}, "the score is nan"),
    ({"utt": "u3", "hypotheses": [{"text": "x", "score": 10**400}]}, "the score is inf"),
    ({"utt": "u3", "hypotheses": [{"score": 1}]}, "'text' is missing"),
    ({"utt": "u3", "ref": 3, "hypotheses": []}, "'ref' is not text"),
])  # fmt: skip
def test_json_errors_name_their_line(here, record, message):
    with pytest.raises(TextError, match=message):
        read_nbest(write(here / "a", json.dumps(JSON[0]) + "\n" + json.dumps(record) + "\n"))


@pytest.mark.parametrize(("file", "text", "message"), [
    ("scores", "u1-1 -1.5\nu2-1 -3\n", "text, line 2: 'u1-2' has no score"),
    ("scores", "u1-1 -1.5\nu1-2 -2\nu1-2 -2\nu2-1 -3\n",
     "scores, line 3: 'u1-2' already has a score"),
    ("scores", "u1-1 -1.5\nu1-2 -2\nu2-1 -3\nu2-2 -3\n",
     "1 scores have no hypothesis, the first is 'u2-2'"),
    ("scores", "u1-1 -1.5\nu1-2\nu2-1 -3\n", "scores, line 2: the score is missing"),
    ("scores", "u1-1 -1.5\nu1-2 x\nu2-1 -3\n", "scores, line 2: 'x' is not a number"),
    ("text", "u1-1 the cat\nu1\tREF\t\tthe\n", "line 2: 'u1' is not the name"),
    ("text", "u1-1 the cat\nu1-1 the hat\n",
     "line 2: 'u1-1' has no score|already has a hypothesis 1"),
    ("ref", "u1 the cat\nu1 the cat\nu2\n", "ref, line 2: utterance 'u1' already has a reference"),
    ("ref", "u1 the cat\nu2\nu3 what\n", "ref, line 3: utterance 'u3' has no hypotheses"),
])  # fmt: skip
def test_kaldi_folder_errors_name_file_and_line(here, file, text, message):
    folder = kaldi(here / "k")
    write(here / "k" / file, text)
    with pytest.raises(TextError, match=message):
        read_nbest(folder)


def test_missing_parts_of_espnet_folders_are_named(here):
    folder = espnet(here / "e")
    score = here / "e/logdir/output.1/2best_recog/score"
    score.write_text("u9 -1\n")
    with pytest.raises(TextError, match="text, line 1: 'u1' has no score"):
        read_nbest(folder)
    score.write_text("u1 -1\nu9 -1\n")
    with pytest.raises(TextError, match="text: 1 scores have no hypothesis, the first is 'u9'"):
        read_nbest(folder)
    score.unlink()
    with pytest.raises(TextError, match="cannot read .*score"):
        read_nbest(folder)


def test_folders_and_files_without_lists_are_errors(here):
    (here / "empty").mkdir()
    for source in ("empty", "nowhere"):
        with pytest.raises(TextError, match=source):
            read_nbest(source)
    write(here / "t" / "text", "u1-1 a\n")
    with pytest.raises(TextError, match="no scores in .*t"):
        read_nbest("t")
    (here / "junk").write_bytes(b"\x80\x81\x00\xff\n" * 10)
    with pytest.raises(TextError, match="junk, line 1, byte 1: not UTF-8"):
        read_nbest("junk")
    write(here / "a", TSV)
    with pytest.raises(TextError, match="not JSON"):
        read_nbest("a", ListSettings(format="json"))
    with pytest.raises(UsageError, match="did you mean 'tsv'"):
        read_nbest("a", ListSettings(format="tvs"))


def test_incomplete_utterances_are_left_out_if_asked(here):
    write(here / "a", TSV + "u3\tREF\t\tlost\nu4\t1\t-1\tnobody knows\n")
    with pytest.warns(RnnlmWarning, match="1 utterances without hypotheses are left out; .*'u3'"):
        utterances = read_nbest("a", ListSettings(skip_incomplete=True))
    assert [u.utt for u in utterances] == ["u1", "u2", "u4"]
    with pytest.raises(TextError, match="line 7: utterance 'u4' has no reference"):
        with_references(utterances, skip_incomplete=False)
    with pytest.warns(RnnlmWarning, match="1 utterances without a reference are left out"):
        assert [u.utt for u in with_references(utterances, skip_incomplete=True)] == ["u1", "u2"]
    with pytest.raises(TextError, match="no utterance has a reference"):
        with_references(utterances[2:], skip_incomplete=True)


def test_references_must_not_contradict_the_list(here):
    write(here / "a", TSV)
    assert seen(read_nbest("a", references=[write(here / "same", "u1  the cat \n")])) == EXPECTED
    with pytest.raises(TextError, match="ref, line 1: a different reference for 'u1'"):
        read_nbest("a", references=[write(here / "ref", "u1 the dog\n")])
    with pytest.raises(TextError, match="ref, line 2: utterance 'u5' already has a reference"):
        read_nbest("a", references=[write(here / "ref", "u5 the dog\nu5 the dog\n")])
    with pytest.warns(RnnlmWarning, match="1 reference is for utterances that are not in .*'u5'"):
        read_nbest("a", references=[write(here / "ref", "u5 the dog\n")])


def test_a_list_splits_by_place_from_zero(here):
    utterances = read_nbest(write(here / "a", "".join(f"u{n}\t1\t0\tx\n" for n in range(5))))
    even, odd = even_and_odd(utterances)
    assert [u.utt for u in even] == ["u0", "u2", "u4"] and [u.utt for u in odd] == ["u1", "u3"]
    with pytest.raises(UsageError, match="split"):
        even_and_odd(utterances[:1])


def test_further_scores_are_read_from_every_format(here):
    texts, scores = ["the cat", "the hat"], [{"am": -1, "lm": "-3"}, {"am": -2, "lm": -4.0}]
    hypotheses = [{"text": text, "scores": of} for text, of in zip(texts, scores, strict=True)]
    write(here / "j", json.dumps({"utt": "u1", "ref": "the cat", "hypotheses": hypotheses}))
    rows = "u1\tREF\t\tthe cat\t\nu1\t1\t-1\tthe cat\t-3\nu1\t2\t-2\tthe hat\t-4\n"
    write(here / "t", "utt\trank\tam\ttext\tlm\n" + rows)
    write(here / "k/text", "u1-1 the cat\nu1-2 the hat\n")
    write(here / "k/ref", "u1 the cat\n")
    write(here / "k/ac_cost", "u1-1 10\nu1-2 20\n")
    write(here / "k/lm", "u1-1 -3\nu1-2 -4\n")
    named = {"score_files": ["am=0.1*ac_cost", "lm=lm"]}
    for name, options in (("j", {}), ("t", {}), ("k", named)):
        [utterance] = read_nbest(name, **options)
        assert utterance.reference == "the cat"
        assert [one.text for one in utterance.hypotheses] == texts, name
        read = [(one.score, one.scores) for one in utterance.hypotheses]
        assert read == [(None, {"am": -1, "lm": -3}), (None, {"am": -2, "lm": -4})], name
    [based] = read_nbest("k", score_files=["lm", "am=0.1*ac_cost"])
    read = [(one.score, one.scores) for one in based.hypotheses]
    assert read == [(-3, {"am": -1}), (-4, {"am": -2})]
    [costs] = read_nbest("j", ListSettings(costs=True))
    assert costs.hypotheses[0].scores == {"am": 1, "lm": 3}


MOSES = """\
0 ||| the old man ||| Reorder0= -1.2 0 LM0= -10.3 ||| -4.12 ||| 0=0 1-2=1-2
0 ||| the cold man ||| Reorder0=-1.1 0.5 LM0=-11.8 ||| -4.5

1 ||| ||| Reorder0: -3e-1 0 LM0: -12.9 ||| -3.9 ||| ||| more
"""
FEATURES = [{"Reorder0_0": -1.2, "Reorder0_1": 0, "LM0": -10.3},
            {"Reorder0_0": -1.1, "Reorder0_1": 0.5, "LM0": -11.8},
            {"Reorder0_0": -0.3, "Reorder0_1": 0, "LM0": -12.9}]  # fmt: skip


def test_lists_of_moses_are_read_with_plain_or_named_references(here):
    assert format_of(write(here / "m", MOSES)) == "moses"
    read = [(one.text, one.score, one.scores) for u in read_nbest("m") for one in u.hypotheses]
    texts, totals = ("the old man", "the cold man", ""), (-4.12, -4.5, -3.9)
    assert read == list(zip(texts, totals, FEATURES, strict=True))
    told = "refs: its lines are plain text, the first of utterance '0'"
    for text, notices in (("the old man\n\n", [told]), ("1\n0 the old man\n", [])):
        write(here / "refs", text)
        assert notices_of(lambda: read_nbest("m", references=["refs"])) == notices
        for what in ("reference", "source"):
            found = read_nbest("m", **{what + "s": ["refs"]})
            assert [(u.utt, getattr(u, what)) for u in found] == [("0", "the old man"), ("1", "")]
    for text, lines in (("", "0 lines"), ("the old man\n", "1 line")):
        with pytest.raises(TextError, match=f"short has {lines} for 2 utterances"):
            read_nbest("m", references=[write(here / "short", text)])
    # Sparse features have a _ in their names, which may hold other signs; a missing one is 0.
    write(here / "m", MOSES.replace("LM0=-11.8", "LM0=-11.8 dlm_der:a=b= 2 dlm_x= 1"))
    [first, second], _ = (u.hypotheses for u in read_nbest("m"))
    assert first.scores == FEATURES[0] | {"dlm_der:a=b": 0, "dlm_x": 0}
    assert second.scores == FEATURES[1] | {"dlm_der:a=b": 2, "dlm_x": 1}
    # Others count from 1.
    write(here / "m", MOSES.replace("1 |||", "2 |||").replace("0 |||", "1 |||"))
    write(here / "refs", "the old man\n\n")
    found = read_nbest("m", references=["refs"])
    assert [(u.utt, u.reference) for u in found] == [("1", "the old man"), ("2", "")]


def test_a_folder_of_srilm_is_read_by_the_names_of_its_files(here):
    write(here / "s/u1.a.nbest", "-3210.5 -45.2 4 the old man went\n-3211 -44.1 0\n")
    write(here / "s/u2.score.txt", "-1e2 -inf 2 the cat\n")
    write(here / "s/.hidden", "?")
    assert format_of("s") == format_of("s/u1.a.nbest") == "srilm"
    with pytest.warns(RnnlmWarning, match="the first of utterance 'u1.a'"):
        first, second = read_nbest("s", references=[write(here / "refs", "the old man\nthe cat\n")])
    read = [(one.text, one.score, *one.scores.values()) for one in first.hypotheses]
    assert read == [("the old man went", None, -3210.5, -45.2), ("", None, -3211, -44.1)]
    assert (second.utt, second.reference) == ("u2", "the cat")
    with pytest.raises(TextError, match="refs has 3 lines for 2 utterances"):
        read_nbest("s", references=[write(here / "refs", "a\nb\nc\n")])


@pytest.mark.parametrize(("text", "settings", "message"), [
    (MOSES.replace("LM0= -10.3", "LM0= low"), {}, "m, line 1: not a line of a Moses list"),
    (MOSES + "2 ||| x\n", {}, "line 5: not a line of a Moses list; it is '2 |||"),
    (MOSES.replace("-4.12", "good"), {}, "line 1: 'good' is not a number"),
    ("-1 -2 1 x\n-1 x\n", {}, "m, line 2: not a line of an SRILM list; it is '-1 x'"),
    (TSV, {"format": "srilm"}, "line 1: not a line of an SRILM list"),
    ("the cat sat\n", {}, "m is no n-best list of a known format; it begins 'the cat sat'"),
    ("utt\trank\tam\tam\ttext\nu1\t1\t-1\t-2\tx\n", {}, "it has 5 of the fields utt, rank, am, am, text"),
    ("utt\trank\tam\ttext\nu1\t1\tlow\tx\n", {}, "line 2, am: 'low' is not a number"),
    ("utt\trank\tam\ttext\nu1\tREF\t-1\tx\n", {}, "line 2: a reference has a score"),
    ("utt\trank\tam\ttext\nu1\t1\tx\n", {}, "it has 3 of the fields utt, rank, am, text"),
    ('{"utt": 1, "hypotheses": [{"text": "x", "scores": [1]}]}', {}, "'scores' is not an object"),
    ('{"utt": 1, "hypotheses": [{"text": "x", "scores": {"am": "x"}}]}', {}, "1, am: 'x' is not a num"),
    ('{"utt": 1, "hypotheses": [{"text": "x", "scores": {}}]}', {}, "'score' is missing"),
    ("", {}, "is empty"), ("\n\n", {}, "is empty"), ("u1\tREF\t\tx\n", {}, "holds no hypotheses"),
    ("(-12) the cat\n", {}, "no n-best list of a known format; .*; see .*`format`"),
])  # fmt: skip
def test_lists_of_nothing_and_of_other_formats_are_errors_that_name_what_was_expected(
    here, text, settings, message
):
    with pytest.raises(TextError, match=message):
        read_nbest(write(here / "m", text), ListSettings(**settings))


@pytest.mark.system("bash")
def test_the_awk_lines_of_the_page_turn_other_forms_into_tsv(here):
    page = (Path(__file__).parents[3] / "docs/rescoring.md").read_text(encoding="utf-8")
    fairseq, mikolov = re.findall(r"^(?:paste .*)?awk .*$", page, re.MULTILINE)
    write(here / "fairseq.txt", "S-1\tein Hund\nT-1\ta dog\nH-1\t-0.5\ta dog\nD-1\t-0.5\ta dog\n"
          "P-1\t-0.5 -0.5\nH-1\t-0.9\tdog\n")  # fmt: skip
    write(here / "nbest.txt", "u1 a dog\nu1 dog\nu2\n")
    write(here / "scores.txt", "-1\n-2\n-3\n")
    expected = [
        (fairseq, [("1", "a dog", [("a dog", -0.5), ("dog", -0.9)])]),
        (mikolov, [("u1", None, [("a dog", -1), ("dog", -2)]), ("u2", None, [("", -3)])]),
    ]
    for line, utterances in expected:
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
        read = read_nbest(write(here / "list.tsv", done.stdout))
        assert seen(read) == utterances
        assert read[0].source == ("ein Hund" if line == fairseq else None)


def test_fields_that_are_not_read_are_named_once(here):
    hypothesis = {"text": "a", "score": -1, "lm_score": -2}
    lines = [{"utt": n, "length": 3, "hypotheses": [hypothesis] * 2} for n in range(3)]
    write(here / "a", "\n".join(map(json.dumps, lines)))
    [told] = notices_of(lambda: read_nbest("a"))
    assert told == "a: 2 fields are not read: 'length', 'lm_score' (did you mean 'score'?)"
