"""What is wrong in what a person gives: exit code, a line each for what, why and the way out."""

import pytest
import torch

from rnnlm import corpora
from rnnlm.storage.files.reading import LONGEST_LINE
from support.failures import checked_error, fingerprint

TINY = ("--set", "hidden_size=8", "--set", "embedding_size=8", "--precision", "fp32")
SHORT = (*TINY, "--budget", "2steps")


def test_a_mistyped_file_is_suggested_unless_only_its_suffix_is_alike(rnnlm, models, here):
    (here / "train.txt").write_text("the man\n")
    found = checked_error(rnnlm("train", "trian.txt"), 1, "no such file: trian.txt")[-1]
    assert found == "  try: did you mean 'train.txt'?"
    (here / "my.txt").write_text("the man\n")
    error = checked_error(rnnlm("train", "empty.txt"), 1, "no such file: empty.txt")
    assert not any("did you mean" in line for line in error)


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq", "tools/counting")
def test_unsuitable_bundled_corpus_names_its_task(rnnlm, here):
    for name, advice in (
        ("travel", "has labels: add --task tagging or classification"),
        ("dates", "has pairs: add --task seq2seq"),
    ):
        hint = checked_error(rnnlm("train", name), 1, f"no such file: {name}")[-1]
        assert hint == f"  try: the bundled corpus {name} {advice} to rnnlm train"
    for name in ("english", "corpora/english/train.txt"):
        hint = checked_error(rnnlm("count", name), 1, f"no such file: {name}")[-1]
        assert hint == f"  try: the bundled text is {corpora.part('english', 'train')}"


def test_nothing_to_score(rnnlm, models):
    checked_error(rnnlm("score", "-m", models.unigram), 1, "nothing to score")
    assert rnnlm("score", "-m", models.unigram, "--json").code == 0  # no line, no record


UNSCORABLE = {
    "Latin-1": ("table.csv", "text\ndéjà vu\nça va\n".encode("latin-1"), "not UTF-8"),
    "no JSON": ("broken.jsonl", b'{"text": "the\n{"text\n', "not JSON"),
    "binary": ("binary", bytes(range(128, 256)) + b"\n\n" + bytes(range(200, 256)), "not UTF-8"),
}


@pytest.mark.parametrize("name, data, reason", UNSCORABLE.values(), ids=UNSCORABLE)
def test_score_fails_without_any_score(rnnlm, models, here, name, data, reason):
    (here / name).write_bytes(data)
    for asked in (["--json"], ["-o", "s.csv"], []):
        shown = rnnlm("score", "-m", models.unigram, "--input", name, *asked)
        assert shown.code == 1 and shown.errors[0] == "error: no line could be scored"
        assert reason in shown.errors[1]


def test_names_of_no_model_say_why(rnnlm, here):
    (here / "x.arpa.gz").write_bytes(b"")
    hint = checked_error(rnnlm("score", "-m", "x.arpa.gz", "a"), 1, "x.arpa.gz is an ARPA file")[-1]
    assert hint == "  try: import it: rnnlm import x.arpa.gz -o x"


def test_of_two_usual_columns_one_is_named(rnnlm, models, here):
    (here / "t.csv").write_text("text,sentence\nthe man,the dog\nthe man,a dog\n")
    shown = rnnlm("score", "-m", models.unigram, "--input", "t.csv", "--json")
    assert shown.err.count("the column text is read; --column sentence reads the other one") == 1
    shown = rnnlm("train", "t.csv", "--column", "sentence", "--model", "unigram", "-o", "made")
    assert "reads the other one" not in shown.err


def test_a_silent_hub_fails_at_once(rnnlm, here, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    why = checked_error(rnnlm("train", "hf:a/b"), 1, "cannot load data set hf:a/b")[1]
    assert "127.0.0.1 cannot be reached" in why


@pytest.mark.long
def test_a_line_of_many_megabytes(rnnlm, models, here):
    """As text8 is one line, of 100 megabytes."""
    assert LONGEST_LINE > 100_000_000
    (here / "text").write_bytes(b"alpha beta gamma delta " * 250_000)
    result = rnnlm("eval", "-m", models.unigram, "text", "--json").json
    assert (result["words"], result["bytes"], result["sentences"]) == (1_000_000, 5_750_001, 1)


def test_smaller_batch_is_reported_for_short_texts(rnnlm, models, here):
    (here / "text").write_text("the man\n")
    shown = rnnlm(
        "train", "text", "--valid", models.valid, *SHORT, "--set", "batch_rows=32", "-o", "made"
    )
    assert shown.code == 0
    note = "note: the text has only 3 tokens: 1 parallel streams"
    assert any(line.startswith(note) for line in shown.err.splitlines())


BAD_SETTINGS = {  # beside those of test_hostile_settings, for their hints
    "setting of another model": (["--model", "unigram", "--set", "layers=2"],
                                 "a model of kind unigram has no setting 'layers'",
        "add --model rnn"),
    "a typo of a choice": (["--set", "characters=cnnn"], "setting characters = 'cnnn' is not valid",
                           "it must be one of cnn, lstm or none"),
    "precision": (["--precision", "fp8"], "Invalid value for '--precision'", "--help"),
}  # fmt: skip


@pytest.mark.parametrize("flags, what, hint", BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_bad_settings_are_wrong_usage(rnnlm, models, copied, here, flags, what, hint):
    (here / "unknown.toml").write_bytes(b"hiddn_size = 8\n")
    before = fingerprint(copied)
    ended = rnnlm("train", models.text, *flags, "-o", copied, "--overwrite")
    assert hint in "\n".join(checked_error(ended, 2, what))
    assert fingerprint(copied) == before


def test_arguments_that_are_not_utf8(rnnlm, models, here):
    ended = rnnlm("score", "-m", models.unigram, "a\udcff")
    assert ended.code == 1 and "not UTF-8 (byte 2 is 0xff)" in ended.err
    checked_error(rnnlm("score", "-m", "mod\udcff", "fine"), 1, "no model named 'mod\\udcff'")
    checked_error(rnnlm("eval", "-m", models.unigram, "\udcff.txt"), 1, "no such file: \\udcff.txt")
    checked_error(rnnlm("train", "--recipe", "\udcff"), 2, "unknown recipe '\\udcff'")
    checked_error(rnnlm("train", models.text, "--set", "\udcff=1"), 2, "unknown setting '\\udcff'")


@pytest.mark.system("posix")  # Windows' names are UTF-16
def test_non_utf8_file_names_are_read_and_written(rnnlm, models, here):
    with open(b"\xff.txt", "w") as stream:
        stream.write("the man was here\n")
    assert rnnlm("eval", "-m", models.unigram, "\udcff.txt").code == 0
    assert rnnlm("train", "\udcff.txt", "--model", "unigram", "-o", "made").code == 0
    assert rnnlm("train", models.text, "--model", "unigram", "-o", "m\udcff").code == 0
    assert fingerprint("made") and fingerprint("m\udcff")


def test_non_utf8_bytes_from_a_real_shell(spawn, models):
    ended = spawn("score", "-m", models.unigram, b"a\xff".decode("utf-8", "surrogateescape"))
    assert ended.code == 1 and "not UTF-8 (byte 2 is 0xff)" in ended.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("command", ["train", "eval", "score", "generate"])
def test_cuda_without_a_cuda_device(rnnlm, models, copied, command):
    before = fingerprint(copied)
    arguments = {
        "train": ["train", models.text, *SHORT, "-o", copied, "--overwrite"],
        "eval": ["eval", "-m", models.lstm, models.valid],
        "score": ["score", "-m", models.lstm, "the man"],
        "generate": ["generate", "-m", models.lstm],
    }[command]
    lines = checked_error(rnnlm(*arguments, "--device", "cuda"), 1, "device cuda is not available")
    assert lines[-1] == "  try: use --device cpu or auto"
    assert fingerprint(copied) == before


@pytest.mark.parametrize("name, what, why", [
    ("nothere", "no model named 'nothere'", ""),
    ("no/where", "no model at no/where", "there is no such folder"),
    ("empty", "no model at empty", "holds no config.json"),
    ("a.txt", "no model at a.txt", "it is a file"),
])  # fmt: skip
@pytest.mark.parametrize("command", [
    ["score", "x"], ["info"], ["generate"], ["eval", "a.txt"],
    ["train", "a.txt", "--tokenizer-from"],
])  # fmt: skip
def test_models_that_are_none(rnnlm, here, name, what, why, command):
    (here / "empty").mkdir()
    (here / "a.txt").write_text("the man\n")
    named = [*command, name] if command[0] == "train" else [*command, "-m", name]
    assert why in checked_error(rnnlm(*named), 1, what)[1]
