"""`rnnlm train --counts`: models of counts are those of the texts."""

import numpy as np
import pytest

import rnnlm as library
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from rnnlm.storage.files import tensors
from support.failures import checked_error
from support.tiny_models import LINES


@pytest.fixture
def counts(rnnlm, here):
    """Count two texts into folders, a and b, and their sum."""
    (here / "a.txt").write_text("\n".join(LINES[::2]) + "\n")
    (here / "b.txt").write_text("\n".join(LINES[1::2]) + "\n")
    (here / "valid.txt").write_text("\n".join(LINES[::3]) + "\n")
    assert rnnlm("count", "a.txt", "-o", "a", "--order", "4").code == 0
    assert rnnlm("count", "b.txt", "-o", "b", "--order", "4", "--tokenizer-from", "a").code == 0
    assert rnnlm("count", "a", "b", "-o", "both").code == 0
    # A model with the tokenizer that the counts have.
    assert rnnlm("train", "a.txt", "--model", "ngram", "--holdout", "0", "-o", "of-a").code == 0
    return here


def arrays_of(folder) -> dict[str, np.ndarray]:
    [path] = folder.glob("weights-*.safetensors")
    return tensors.mapped(path)


def assert_same_model(one, other) -> None:
    expected, found = arrays_of(one), arrays_of(other)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert array.dtype == found[name].dtype and array.tobytes() == found[name].tobytes(), name


@pytest.mark.parametrize("options", [
    *(["--smoothing", name] for name in ESTIMATORS),
    ["--prune", "0,0,1"],
    ["--order", "2"],
    ["--memory", "2G"],
], ids=" ".join)  # fmt: skip
def test_merged_counts_make_the_model_of_the_texts(rnnlm, counts, options):
    asked = ("--model", "ngram", "--valid", "valid.txt", *options)
    order = () if "--order" in options else ("--order", "4")
    plain = [option for option in options if option not in ("--memory", "2G")]
    of_texts = ("train", "a.txt", "b.txt", "--tokenizer-from", "of-a", "--valid", "valid.txt")
    assert rnnlm(*of_texts, "--model", "ngram", *order, *plain, "-o", "expected").code == 0
    trained = rnnlm("train", "--counts", "both", *asked, "-o", "found")
    assert trained.code == 0, trained.err
    assert_same_model(counts / "expected", counts / "found")
    manifest = library.load(counts / "found", "cpu")
    assert manifest.tokenizer.fingerprint == library.load("of-a", "cpu").tokenizer.fingerprint


def test_python_takes_counts_without_a_text(rnnlm, counts):
    library.train(counts="both", model="ngram", output="python").wait(progress=None)
    rnnlm("train", "--counts", "both", "--model", "ngram", "-o", "expected")
    assert_same_model(counts / "expected", counts / "python")


def test_validation_is_read_as_the_text_was(rnnlm, here):
    (here / "a.txt").write_text("a b\n\nb a\n")
    (here / "valid.txt").write_text("a\n\nb\n")
    assert rnnlm("count", "a.txt", "-o", "a", "--blank-lines", "keep").code == 0
    asked = ("train", "--counts", "a", "--model", "ngram", "--valid", "valid.txt", "-o", "m")
    assert rnnlm(*asked).code == 0
    result = rnnlm("info", "m", "--json").json["results"]["valid"]
    assert result["tokens"] == 5


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
def test_what_counts_do_not_allow_is_refused(rnnlm, counts, options, what):
    rnnlm("train", "b.txt", "--model", "ngram", "-o", "other")
    model = [] if "--task" in options else ["--model", "ngram"]
    checked_error(rnnlm("train", "--counts", "both", *model, *options, "-o", "m"), 2, what)


def test_other_kinds_of_models_need_the_text(rnnlm, counts):
    for model in ("lstm", "unigram"):
        ended = rnnlm("train", "--counts", "both", "--model", model, "-o", "m")
        checked_error(ended, 2, f"--counts cannot be used with models of kind {model}")
    checked_error(rnnlm("train", "both", "-o", "m"), 1, "both is a folder of counts, not a text")
    checked_error(rnnlm("train", "--counts", "no", "--model", "ngram"), 1, "no counts in no")
