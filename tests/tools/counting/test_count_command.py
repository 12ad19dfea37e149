"""`rnnlm count` and `rnnlm train --counts`: what counting prints, writes, adds up and refuses."""

import contextlib
import re
import shutil

import numpy as np
import pytest

import rnnlm as library
from rnnlm import progress
from rnnlm.cli.main import run
from rnnlm.errors import RnnlmError, RnnlmWarning
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from rnnlm.storage.files import tensors
from support.failures import checked_error
from support.tiny_models import LINES

TEXT = "a b a\n\na \u00a0x <unk>\n"
COUNTS = "</s>\t2\n<s>\t2\n<s> a\t2\n<unk>\t1\n<unk> </s>\t1\na\t3\na </s>\t1\na b\t1\n"
COUNTS += "a \u00a0x\t1\nb\t1\nb a\t1\n\u00a0x\t1\n\u00a0x <unk>\t1\n"


@pytest.fixture
def text(here):
    path = here / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_counts_alone_go_to_stdout(rnnlm, text):
    counted = rnnlm("count", text, "--order", 2)
    assert (counted.code, counted.out, counted.err) == (0, COUNTS, "")
    assert rnnlm("count", text, "--order", 2, "-o", "-").out == COUNTS


def test_trigrams_are_counted_unless_said_otherwise_and_rare_ones_left_out(rnnlm, text):
    assert rnnlm("count", text, "--only").out.splitlines() == [
        "<s> a b\t1", "<s> a \u00a0x\t1", "a b a\t1", "a \u00a0x <unk>\t1", "b a </s>\t1",
        "\u00a0x <unk> </s>\t1",
    ]  # fmt: skip
    assert rnnlm("count", text, "--min-count", 2).out == "</s>\t2\n<s>\t2\n<s> a\t2\na\t3\n"


def test_text_options_and_tokenizers(rnnlm, text, here):
    assert "<s> </s>\t1\n" in rnnlm("count", text, "--blank-lines", "keep").out
    (here / "raw.txt").write_text("Yes, yes\n")
    found = rnnlm("count", "raw.txt", "--lowercase", "--split-punctuation", "--order", 1).out
    assert found == ",\t1\n</s>\t1\n<s>\t1\nyes\t2\n"
    assert "\\x20 y e\t1\n" in rnnlm("count", "raw.txt", "--tokenizer", "char").out


def test_a_models_tokenizer_can_be_used(rnnlm, models, here):
    (here / "text").write_text("the zyzzyva the\n")
    found = rnnlm("count", "text", "-m", models.unigram, "--order", 1).out
    assert found == "</s>\t1\n<s>\t1\n<unk>\t1\nthe\t2\n"


def test_long_work_says_how_far_it_is(rnnlm, text, monkeypatch):
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 0.0)
    counted = rnnlm("count", text, "--order", 2)
    assert counted.out == COUNTS
    expected = ["2 lines read", "order 1: 6 n-grams", "order 2: 7 n-grams", "13 n-grams written"]
    assert counted.err.splitlines()[-4:] == expected


@pytest.fixture
def texts(here):
    """Write two texts, of which the second has a word more."""
    (here / "a.txt").write_text("a b a c\n\nb b a\n")
    (here / "b.txt").write_text("c b\na b a d\n")
    return here


@pytest.fixture
def counts(rnnlm, texts):
    """Count both texts: the second with its own words, b, and with those of the first, known."""
    assert rnnlm("count", "a.txt", "-o", "a").code == 0
    assert rnnlm("count", "b.txt", "-o", "b").code == 0
    assert rnnlm("count", "b.txt", "-o", "known", "--tokenizer-from", "a").code == 0
    return texts


def test_a_folder_prints_what_the_text_prints(rnnlm, counts):
    assert rnnlm("count", "a").out == rnnlm("count", "a.txt").out
    assert rnnlm("count", "a", "-o", "a.tsv.gz").code == 0
    expected = rnnlm("count", "a.txt", "--order", "2", "--only").out
    assert rnnlm("count", "a", "--order", "2", "--only").out == expected
    limited = rnnlm("count", "a", "--min-count", "2").out
    assert limited == rnnlm("count", "a.txt", "--min-count", "2").out


def test_the_share_of_unknown_words_is_printed(rnnlm, counts):
    counted = rnnlm("count", "b.txt", "-o", "again", "--tokenizer-from", "a")
    assert counted.err == "16.67% of the words are not in the vocabulary of a: 1 of 6 are <unk>\n"
    assert "a <unk> </s>\t1\n" in rnnlm("count", "again").out


def test_folders_of_different_words_add_up_and_train(rnnlm, counts):
    assert rnnlm("count", "a", "b", "-o", "both", "--memory", "2G").code == 0
    assert rnnlm("count", "a.txt", "b.txt", "-o", "whole").code == 0
    whole = rnnlm("count", "a.txt", "b.txt").out
    for printed in (["both"], ["whole"], ["a", "b"], ["b", "a"]):
        assert rnnlm("count", *printed).out == whole
    for name in ("both", "whole"):
        asked = ("train", "--counts", name, "--model", "ngram", "-o", f"of-{name}")
        assert rnnlm(*asked).code == 0
    files = ["weights-*.safetensors", "vocab.txt"]
    for pattern in files:
        [found], [expected] = ((counts / f"of-{name}").glob(pattern) for name in ("both", "whole"))
        assert found.read_bytes() == expected.read_bytes()


def test_folders_of_the_same_words_keep_them(rnnlm, counts):
    whole = rnnlm("count", "a.txt", "b.txt", "--tokenizer-from", "a").out
    assert rnnlm("count", "a", "known").out == rnnlm("count", "known", "a").out == whole
    found = rnnlm("count", "known", "a", "a", "--order", "1", "--min-count", "7").out
    assert found == "a\t8\nb\t8\n"


def test_a_memory_limit_counts_the_same(rnnlm, counts):
    asked = ("count", "a.txt", "-o", "limited", "--memory", "2G", "--temp", "work")
    ended = rnnlm(*asked)
    assert ended.code == 0
    # The limit is about private memory; pages of files are stated apart.
    size = r"[0-9.,]+ [MG]B"
    stated = rf"memory: at most {size} private \(limit 2\.0 GB\)"
    assert re.fullmatch(rf"{stated}(; {size} of mapped files)?", ended.err.splitlines()[-1])
    assert rnnlm("count", "limited").out == rnnlm("count", "a").out
    assert not (counts / "work").exists()
    assert rnnlm("count", "a", "b", "-o", "ab", "--temp", "work").code == 0
    assert not list((counts / "work").iterdir())


def test_prepared_texts_bring_their_tokenizer(rnnlm, counts):
    assert rnnlm("prepare", "a.txt", "-o", "ready").code == 0
    assert rnnlm("count", "ready", "-o", "of-ready").code == 0
    assert rnnlm("count", "of-ready").out == rnnlm("count", "a").out
    assert rnnlm("count", "ready", "-o", "again", "--tokenizer-from", "of-ready").code == 0
    ended = rnnlm("count", "ready", "-o", "x", "--lowercase")
    checked_error(ended, 2, "ready was prepared with another tokenizer")


def test_a_name_with_a_suffix_is_a_file_unless_it_is_a_folder(rnnlm, counts):
    assert rnnlm("count", "a.txt", "-o", "a.counts").code == 0
    assert (counts / "a.counts").read_text() == rnnlm("count", "a").out
    (counts / "a.1").mkdir()
    assert rnnlm("count", "a.txt", "-o", "a.1").code == 0
    assert rnnlm("count", "a.1").out == rnnlm("count", "a").out
    (counts / "file").write_text("mine\n")
    checked_error(rnnlm("count", "a.txt", "-o", "file"), 1, "file already exists")


def test_counts_are_replaced_only_where_asked(rnnlm, counts):
    checked_error(rnnlm("count", "b.txt", "-o", "a"), 1, "a already holds another result")
    assert rnnlm("count", "b.txt", "-o", "a", "--overwrite").code == 0
    assert rnnlm("count", "a").out == rnnlm("count", "b.txt").out


@pytest.mark.parametrize(("arguments", "what"), [
    (["a", "-o", "c"], "copy it, or name several folders to add them up"),
    (["a", "a.txt"], "cannot be combined with a.txt"),
    (["a.txt", "a", "-o", "c"], "cannot be combined with a.txt"),
    (["a", "b", "-o", "a", "--overwrite"], "a is also an input"),
    (["a", "--memory", "1G"], "--memory, --temp, --workers and --dask have no effect"),
    (["a", "b", "--workers", "2"], "leave out --workers and --dask"),
    (["a", "--lowercase"], "options for reading and tokenizing text have no effect"),
    (["a", "b", "--tokenizer-from", "a"], "options for reading and tokenizing text have no effect"),
    (["a.txt", "--memory", "1G"], "--memory, --temp, --workers and --dask need a folder"),
    (["a.txt", "-o", "x", "--temp", "t"], "--temp needs --memory"),
    (["a.txt", "-o", "x", "--min-count", "2"], "a folder holds all counts"),
    (["a", "b", "-o", "x", "--only"], "a folder holds all counts"),
    (["a.txt", "-m", "demo", "--tokenizer-from", "a"], "both name a tokenizer"),
    (["a.txt", "--lowercase", "--tokenizer-from", "a"], "determines the tokenizer"),
    (["a.txt", "-m", "x", "--lowercase"], "-m MODEL determines the tokenizer"),
    (["a.txt", "--tokenizer", "byte", "--lowercase"],
     "lowercase cannot be combined with the byte tokenizer"),
])  # fmt: skip
def test_what_cannot_be_combined_is_wrong_usage(rnnlm, counts, arguments, what):
    [first, *_] = checked_error(rnnlm("count", *arguments), 2, "")
    assert what in first


@pytest.mark.parametrize(("other", "code", "what"), [
    ("short", 2, "a and short have different orders"),
    ("lower", 2, "a and lower have different tokenizers"),
    ("letters", 2, "a and letters have different tokenizers"),
    ("blank", 2, "the texts of a and blank were read differently"),
    ("empty", 1, "no counts in empty"), ("missing", 1, "no counts in missing"),
    ("damaged", 1, "the counts in damaged are damaged"),
])  # fmt: skip
def test_what_cannot_be_added_is_an_error(rnnlm, counts, other, code, what):
    made = {
        "short": ["--order", "2"], "lower": ["--lowercase"], "letters": ["--tokenizer", "char"],
        "blank": ["--blank-lines", "keep"], "damaged": [],
    }  # fmt: skip
    if other in made:
        assert rnnlm("count", "b.txt", "-o", other, *made[other]).code == 0
    (counts / "empty").mkdir()
    if other == "damaged":
        piece = next((counts / "damaged").glob("*order-1*"))
        piece.write_bytes(piece.read_bytes()[:-1])
    for folders in (["a", other], ["a", "b", other]):
        checked_error(rnnlm("count", *folders, "-o", "x"), code, what)
    assert not (counts / "x").exists()


def test_a_missing_folder_is_named_as_missing(rnnlm, counts):
    _, why, _ = checked_error(rnnlm("count", "missing", "a", "b"), 1, "no counts in missing")
    assert why == "  why: there is no such folder"


@pytest.fixture(scope="module")
def counted(place):
    """Count two texts into folders, a and b, and their sum; make a model of each text, of which
    of-a has the tokenizer of the counts."""
    for name, lines in {"a": LINES[::2], "b": LINES[1::2], "valid": LINES[::3]}.items():
        (place / f"{name}.txt").write_text("\n".join(lines) + "\n")
    with contextlib.chdir(place):
        for line in (
            "count a.txt -o a --order 4", "count b.txt -o b --order 4 --tokenizer-from a",
            "count a b -o both", "train a.txt --model ngram --holdout 0 -o of-a",
            "train b.txt --model ngram --holdout 0 -o other",
        ):  # fmt: skip
            assert run(line.split()) == 0
    return place


@pytest.fixture
def two_counts(counted, here):
    return shutil.copytree(counted, here, dirs_exist_ok=True)


def arrays_of(folder) -> dict[str, np.ndarray]:
    [path] = folder.glob("weights-*.safetensors")
    return tensors.mapped(path)


def assert_same_model(one, other) -> None:
    expected, found = arrays_of(one), arrays_of(other)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert array.dtype == found[name].dtype and array.tobytes() == found[name].tobytes(), name


@pytest.mark.parametrize("options", [
    ["--smoothing", "jelinek-mercer"], ["--prune", "0,0,1"], ["--order", "2"], ["--memory", "2G"],
    *(pytest.param(["--smoothing", name], marks=pytest.mark.soak)
      for name in ESTIMATORS if name != "jelinek-mercer"),
], ids=" ".join)  # fmt: skip
def test_merged_counts_make_the_model_of_the_texts(rnnlm, two_counts, options):
    asked = ("--model", "ngram", "--valid", "valid.txt", *options)
    order = () if "--order" in options else ("--order", "4")
    plain = [option for option in options if option not in ("--memory", "2G")]
    of_texts = ("train", "a.txt", "b.txt", "--tokenizer-from", "of-a", "--valid", "valid.txt")
    assert rnnlm(*of_texts, "--model", "ngram", *order, *plain, "-o", "expected").code == 0
    trained = rnnlm("train", "--counts", "both", *asked, "-o", "found")
    assert trained.code == 0, trained.err
    assert_same_model(two_counts / "expected", two_counts / "found")
    manifest = library.load(two_counts / "found", "cpu")
    assert manifest.tokenizer.fingerprint == library.load("of-a", "cpu").tokenizer.fingerprint


def test_python_takes_counts_without_a_text(rnnlm, two_counts):
    library.train(counts="both", model="ngram", output="python").wait(progress=None)
    rnnlm("train", "--counts", "both", "--model", "ngram", "-o", "expected")
    assert_same_model(two_counts / "expected", two_counts / "python")


def test_validation_is_read_as_the_text_was(rnnlm, here):
    (here / "a.txt").write_text("a b\n\nb a\n")
    (here / "valid.txt").write_text("a\n\nb\n")
    assert rnnlm("count", "a.txt", "-o", "a", "--blank-lines", "keep").code == 0
    asked = ("train", "--counts", "a", "--model", "ngram", "--valid", "valid.txt", "-o", "m")
    assert rnnlm(*asked).code == 0
    result = rnnlm("info", "m", "--json").json["results"]["valid"]
    assert result["tokens"] == 5


@pytest.mark.needs("tasks/labelling")
@pytest.mark.parametrize(("options", "what"), [
    (["--discounts", "lmplz"], "discounts = lmplz cannot be combined with --counts"),
    (["--order", "5"], "order = 5 is higher than the order of both"),
    (["--set", "holdout=0.1"], "nothing can be held out of the counts in both"),
    (["--lowercase"], "both was counted with lowercase = False"),
    (["--blank-lines", "keep"], "both was counted with blank_lines = skip"),
    (["--column", "x"], "both is a folder of counts: column has no effect"),
    (["--tokenizer-from", "other"], "--tokenizer-from names another tokenizer than both"),
    (["a.txt"], "--counts and a text cannot be combined"),
    (["--smoothing", "jelinek-mercer"], "smoothing jelinek-mercer needs held-out text"),
    (["--task", "tagging"], "--counts needs --task language-model"),
])  # fmt: skip
def test_what_counts_do_not_allow_is_refused(rnnlm, two_counts, options, what):
    model = [] if "--task" in options else ["--model", "ngram"]
    checked_error(rnnlm("train", "--counts", "both", *model, *options, "-o", "m"), 2, what)


def test_other_kinds_of_models_need_the_text(rnnlm, two_counts):
    for model in ("lstm", "unigram"):
        ended = rnnlm("train", "--counts", "both", "--model", model, "-o", "m")
        checked_error(ended, 2, f"--counts cannot be used with models of kind {model}")
    checked_error(rnnlm("train", "both", "-o", "m"), 1, "both is a folder of counts, not a text")
    checked_error(rnnlm("train", "--counts", "no", "--model", "ngram"), 1, "no counts in no")


def test_python_counts_and_adds_up(counts):
    events = list(library.count("a.txt", order=2, min_count=2))
    assert [dict(event.counts) for event in events[:-1]] == [
        {"</s>": 2, "<s>": 2, "a": 3, "b": 3, "b a": 2}
    ]
    first = list(library.count("b.txt", "mine", tokenizer=library.load_tokenizer("a")))
    assert [type(event).__name__ for event in first] == ["Counted"] * 3 + ["CountsFinished"]
    assert (first[-1].words, first[-1].new_words, first[-1].was_there) == (6, 1, False)
    with pytest.warns(RnnlmWarning, match="mine is finished"):
        *_, again = library.count("b.txt", "mine", tokenizer=library.load_tokenizer("a"))
    assert again.was_there and again.order == 3
    *_, summed = library.count(["a", "mine"], "sum")
    assert (summed.folder, summed.words, summed.order) == ("sum", 13, 3)
    for given, what in (
        ({"text": []}, "there is no text to count"), ({"min_count": 0}, "min_count = 0"),
        ({"order": 0}, "order = 0"), ({"memory": "1G"}, "need a folder"),
        ({"output": "x", "only": True}, "a folder holds all counts"),
        ({"text": "a", "lowercase": True}, "have no effect"),
    ):  # fmt: skip
        with pytest.raises(RnnlmError, match=what):
            next(library.count(**{"text": "a.txt", **given}))
