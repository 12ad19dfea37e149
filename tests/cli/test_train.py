import contextlib
import os
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import rnnlm as library
from rnnlm.amounts import plural
from rnnlm.system import processors, quoted
from rnnlm.text.tokenizers.word import split_punctuation
from support import commands
from support.failures import checked_error
from support.saved_models import edit_config

TINY = (*commands.TINY, "--precision", "fp32")
SHORT = (*TINY, "--budget", "3steps")


def test_stdout_has_the_results_and_stderr_the_progress(models):
    columns, valid, test, *signatures = models.training_out.splitlines()
    expected = "text tokens oov_words ppl_token ppl_token_no_oov ppl_word".split()
    assert columns.split("\t") == expected
    for part, row, signature in zip(("valid", "test"), (valid, test), signatures, strict=True):
        assert row.startswith(f"{part}\t")
        assert signature.startswith(f"{part} signature: rnnlm:0.1|data:")
    assert f"training: lstm, recipe lstm, on {models.text}\n" in models.training_err
    assert "the model will be saved in" not in models.training_err  # which -o has named
    assert f"validation on {models.valid}" in models.training_err
    assert f"saved in {models.lstm}, step " in models.training_err


def test_dry_run_shows_setting_origins_and_trains_nothing(rnnlm, models, here):
    (here / "mine.toml").write_text(
        'recipe = "gru"\nlayers = 2\nhidden_size = 7\ndropout_input = 0.3\n'
    )
    shown = rnnlm(
        f"train {models.text} --recipe mine.toml --set hidden_size=9 --set seed=4 --seed 5"
        " --dry-run --json -o made"
    )
    plan = shown.json
    settings = {name: tuple(setting.values()) for name, setting in plan["settings"].items()}
    assert settings["model"] == ("gru", "recipe gru")
    assert settings["layers"] == (2, "mine.toml")
    assert settings["hidden_size"] == (9, "user")
    assert settings["seed"] == (5, "user")
    assert settings["bptt_tokens"] == (35, "default")
    assert plan["parameters"] > 1000 and plan["train_tokens"] > 1000 and plan["output"] == "made"
    assert not (here / "made" / "config.json").exists()


def test_dry_run_without_json_is_table_and_sizes(rnnlm, models):
    lines = rnnlm("train", models.text, *SHORT, "--dry-run").out.splitlines()
    assert lines[0].split("\t") == ["setting", "value", "instead of", "origin", "description"]
    assert "hidden_size\t8\t\tuser\twidth of the hidden layers" in lines
    [device] = [line for line in lines if line.startswith("device\t")]
    assert device.split("\t")[1:4] == [
        "cpu", "auto", f"the machine: {plural(processors(), 'processor')}",
    ]  # fmt: skip
    assert any(line.startswith("train_tokens: ") for line in lines)


def test_bundled_corpus_and_demo_recipe_are_default(rnnlm):
    plan = rnnlm("train", "--dry-run", "--json").json
    assert plan["settings"]["model"]["origin"] == "recipe demo"
    assert plan["output"] == os.path.join("checkpoints", "english-lstm")
    assert 250_000 < plan["train_tokens"] < 350_000


def test_tokenizer_and_weights_can_come_from_another_model(rnnlm, models):
    given = ("--tokenizer-from", models.lstm, "--init-from", models.lstm)
    settings = (*SHORT, "--set", "coupled_gates=false")
    shown = rnnlm("train", models.valid, "--valid", models.valid, *settings, *given, "-o", "made")
    assert shown.code == 0, shown.err
    made, first = library.load("made"), library.load(models.lstm)
    assert made.tokenizer.fingerprint == first.tokenizer.fingerprint


def test_on_a_terminal_there_is_a_live_display(rnnlm, models, monkeypatch):
    pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")
    screen, stderr = pty.openpty()
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    with ThreadPoolExecutor() as reader:
        reading = reader.submit(_all_shown, screen)
        with open(stderr, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            ended = rnnlm(
                "train", models.text, "--valid", models.valid, *TINY, "--budget", "40steps"
            )
        seen = reading.result(timeout=30)
    assert ended.code == 0, seen
    assert b"\x1b[" in seen and "━".encode() in seen and b"valid " in seen
    assert "\x1b" not in ended.out and ended.out.startswith("text\ttokens\t")


def _all_shown(screen: int) -> bytes:
    """Return what is written to a terminal until its other side is closed."""
    seen = b""
    with contextlib.suppress(OSError):  # Linux's way of saying that it is closed
        while chunk := os.read(screen, 4096):
            seen += chunk
    os.close(screen)
    return seen


@pytest.mark.parametrize("arguments", [
    ("my.txt", "--model", "ngram", "--memory", "10"), ("empty.txt",),
])  # fmt: skip
def test_train_names_no_folder_if_it_fails_before_training(rnnlm, here, arguments):
    (here / "my.txt").write_text("the man\n")
    (here / "empty.txt").write_text("")
    ended = rnnlm("train", *arguments)
    assert ended.code and "will be saved in" not in ended.err


def test_the_same_command_again_shows_the_model(rnnlm, models, here):
    usual = os.path.join("checkpoints", "text-lstm")
    command = ("train", models.text, "--valid", models.valid, *SHORT)
    first = rnnlm(*command)
    assert f"the model will be saved in {usual}" in first.err.splitlines()
    again = rnnlm(*command)
    assert (again.code, again.out) == (0, first.out)
    finished = f"{usual} is finished: its model is of kind lstm, step 3 of 3"
    assert again.err.splitlines() == [
        f"note: {finished}; --overwrite makes it again",
        'next: rnnlm score -m text-lstm "a sentence"',
    ]
    record = rnnlm(*command, "--json").json
    assert (record["folder"], record["steps"], set(record["results"])) == (usual, 3, {"valid"})

    # Another setting is another model, which is never trained over this one; a dry run shows it.
    other = (*command, "--set", "hidden_size=9")
    refused = rnnlm(*other)
    assert refused.code == 1 and refused.err.splitlines() == [
        f"error: {usual} already holds another result",
        "  why: `hidden_size` was 8 and is now 9",
        "  try: choose another -o, or replace it with --overwrite",
    ]
    assert rnnlm(*other, "--dry-run", "--json").json["settings"]["hidden_size"]["value"] == 9
    assert rnnlm(*command).out == first.out


def test_standard_input_is_never_the_same_text(rnnlm, models, here):
    command, text = ("train", "-", "--model", "unigram"), models.text.read_bytes()
    assert rnnlm(*command, stdin=text).code == 0
    refused = rnnlm(*command, stdin=text)
    assert refused.code == 1 and "text comes from standard input or a pipe, so" in refused.err
    assert rnnlm(*command, "--overwrite", stdin=text).code == 0


NGRAM = "--model ngram --order 2 --holdout 0"
SPLITS = "note: marks are split from words, as 17% of the words have marks"


@pytest.mark.needs("tools/counting", "tools/prepared")
@pytest.mark.system("proc")
@pytest.mark.parametrize("command", [
    f"train raw.txt {NGRAM}", f"train - {NGRAM}", f"train {{pipe}} {NGRAM}",
    f"train raw.txt {NGRAM} --memory 400M", f"train raw.txt {NGRAM} --workers 1",
    "prepare raw.txt", "prepare - --workers 1", "prepare {pipe} --workers 1", "count raw.txt",
    "count {pipe}", "count raw.txt --memory 400M",
])  # fmt: skip
def test_all_commands_split_marks_of_raw_text_alike(rnnlm, models, here, command):
    text = models.text.read_bytes()
    (here / "raw.txt").write_bytes(text)
    reader, writer = os.pipe()
    os.write(writer, text)
    os.close(writer)
    command = command.format(pipe=f"/dev/fd/{reader}").split()
    shown = rnnlm(*command, "-o", "made", stdin=text)
    os.close(reader)
    says = f"{SPLITS} (--keep-punctuation keeps"
    if command[0] == "train":
        says = "(17% of the words have marks): split_punctuation=true (not auto)"
    assert shown.code == 0 and says in shown.err
    made = library.load_tokenizer("made")
    assert made.fingerprint == library.load_tokenizer(models.unigram).fingerprint


def test_a_text_that_is_tokenized_stays_as_it_is(rnnlm, models, here):
    raw = models.text.read_text(encoding="utf-8")
    (here / "raw.txt").write_text(raw, encoding="utf-8")
    (here / "tokens.txt").write_bytes(split_punctuation(raw))
    for text, splits in (("raw.txt", True), ("tokens.txt", False)):
        command = ("train", text, *NGRAM.split(), "-o", text.removesuffix(".txt"))
        setting = rnnlm(*command, "--dry-run", "--json").json["settings"]["split_punctuation"]
        assert setting == {"value": splits, "origin": "the data"}
        assert ("split_punctuation=true (not auto)" in rnnlm(*command).err) == splits
        # The same command finds its model, and another wish is another model.
        for option in ((), ("--set", "split_punctuation=auto")):
            assert "is finished: its model is of kind ngram" in rnnlm(*command, *option).err
        # Who sets the value that was chosen asks for the same run.
        typed = rnnlm(*command, "--keep-punctuation")
        says = "--split-punctuation differs" if splits else "is finished: "
        assert says in typed.err
    kept = rnnlm("train", "raw.txt", *NGRAM.split(), "--keep-punctuation", "-o", "kept")
    assert kept.code == 0 and "marks" not in kept.err
    one, other = map(library.load_tokenizer, ("raw", "kept"))
    assert "," in one.symbols() and "," not in other.symbols()


def test_training_ends_with_the_next_command(rnnlm, models, here):
    for options, name in (("", "text-unigram"), ("-o 'a folder' --json", quoted("a folder"))):
        shown = rnnlm(f"train {models.text} --model unigram {options}")
        assert shown.err.splitlines()[-1] == f'next: rnnlm score -m {name} "a sentence"'


@pytest.mark.needs("tools/inspection")
def test_the_model_trained_last_answers(rnnlm, models, here, monkeypatch):
    rnnlm(f"train {models.text} --model unigram")
    last = rnnlm("score 'a word'")
    name = "model: checkpoints/text-unigram, trained "
    assert re.match(name + r"\d+ seconds? ago; use -m to choose another\n", last.err)
    assert rnnlm(f"eval {models.valid}").err.startswith(name)
    assert rnnlm("score -m text 'a word'").out == last.out
    gates = rnnlm("inspect gates 'a word'")  # a unigram has none
    shipped = "model: demo, the shipped model of plain English; use -m to choose another\n"
    assert gates.err.startswith(shipped)
    monkeypatch.setenv("RNNLM_MODEL", str(models.lstm))
    named = f"model: {models.lstm}, from $RNNLM_MODEL; use -m to choose another\n"
    assert rnnlm("score 'a word'").err.startswith(named)


@pytest.mark.parametrize("command", ["eval {}", "score 'a word'", "generate"])
def test_a_model_of_an_unfinished_run_is_noted(rnnlm, models, copied, command):
    edit_config(copied, lambda config: config["training"].update(stopped="request"))
    shown = rnnlm(f"{command.format(models.valid)} -m {copied}")
    assert f"the training run of {copied} was stopped before its end" in shown.err
    assert shown.code == 0


def test_a_signal_before_the_first_step_ends_it(rnnlm, models, monkeypatch):
    from rnnlm.lm.neural.training import fitting

    found, make_trainer = [], fitting.make_trainer

    def recording(*arguments):
        found.append(signal.getsignal(signal.SIGINT))
        return make_trainer(*arguments)

    monkeypatch.setattr(fitting, "make_trainer", recording)
    assert rnnlm("train", models.text, "--valid", models.valid, *SHORT, "-o", "made").code == 0
    assert found == [signal.default_int_handler]


@pytest.mark.parametrize(("options", "said"), [
    ("--model unigram", "; --holdout 0 trains on the whole text"),
    ("--model ngram", "; --holdout 0 counts every line, like lmplz"),
    ("--model gru --set hidden_size=4 --budget 1steps", "; --holdout 0 trains on the whole text"),
    ("--model ngram --holdout 5%", ""),
])  # fmt: skip
def test_a_note_says_which_lines_are_held_out(rnnlm, models, options, said):
    shown = rnnlm(f"train {models.text} {options} -o m")
    assert shown.code == 0
    validation = [line for line in shown.err.splitlines() if line.startswith("validation on")]
    assert validation == [f"validation on the last 5% of the training text, held out{said}"]
    # Models of all families end with the same table.
    assert shown.rows[0][:4] == ["text", "tokens", "oov_words", "ppl_token"]


@pytest.mark.parametrize("share", ["1", "100%", "-5%", "5 percent"])
def test_a_wrong_share_is_refused(rnnlm, models, share):
    shown = rnnlm("train", models.text, "--model", "unigram", f"--holdout={share}", "-o", "m")
    checked_error(shown, 2, "Invalid value for '--holdout'")
