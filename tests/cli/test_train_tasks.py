"""`rnnlm train --task`: what it makes, and what it refuses, typed and from Python."""

import pytest

import rnnlm as library
from rnnlm.errors import RnnlmError
from rnnlm.events import never
from rnnlm.storage import model_folder
from rnnlm.tasks.labelling import texts
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request
from support.tiny_tasks import TRAIN, VALID, columns, table

pytestmark = pytest.mark.needs("tasks/labelling", "tools/inspection")

NOTHING = ("--budget", "1steps")


@pytest.fixture
def data(here):
    """Write train.conll and valid.conll of spans, and train.tsv of texts."""
    for name, content in {
        "train.conll": columns(TRAIN),
        "valid.conll": columns(VALID),
        "train.tsv": table(TRAIN),
        "empty": "",
    }.items():
        (here / name).write_text(content, encoding="utf-8")
    return here


def test_models_of_tasks_say_what_they_have_learned(tagger, classifier, slot_tagger):
    for each, task, figures in (
        (tagger, "tagging", 1), (classifier, "classification", 1), (slot_tagger, "tagging", 2),
    ):  # fmt: skip
        manifest = model_folder.read_manifest(each.folder)
        valid = manifest.results["valid"]
        assert (manifest.settings["task"], valid["sentences"]) == (task, len(VALID))
        assert len(valid["columns"]) == figures
        assert all(column[column["main"]] >= 0.9 for column in valid["columns"])
        assert f"step {manifest.step}" in each.err


def test_a_tagger_is_trained_then_tags(rnnlm, data):
    """Beside a language model, which is newer."""
    trained = rnnlm("train", "train.conll", "--task", "tagging", *NOTHING)
    tags = 'rnnlm tag -m train-tagging-lstm "a sentence"'
    assert trained.err.splitlines()[-1] == f"next: {tags}"
    rnnlm("train train.tsv --model unigram")
    for command, name in (
        ("tag 'a word'", "train-tagging-lstm"),
        ("inspect gates 'a word'", "train-tagging-lstm"),
        ("score 'a word'", "train-unigram"),
    ):
        assert rnnlm(command).err.startswith(f"model: checkpoints/{name}, ")


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_held_out_examples_have_all_labels(data, task):
    """They often stand label by label in a file: the last ones would have one label."""
    rows = [(str(number // 25), f"word{number}") for number in range(100)]
    form = "label\ttext\n{}" if task == "classification" else "{}"
    lines = [
        f"{label}\t{word}\n" if task == "classification" else f"{word} {label}\n\n"
        for label, word in rows
    ]
    (data / "sorted").write_text(form.format("".join(lines)), encoding="utf-8")
    found = [
        texts.open_texts(request, resolved, kind, never)
        for request in [TrainingRequest(text=("sorted",), task=task, flags={"holdout": 0.2})] * 2
        for _, kind, resolved in [resolve_request(request)]
    ]
    train, valid = found[0].data.train.examples, found[0].data.valid.examples
    of_words = {row[0] for each in valid for row in each.word_labels}
    labels = of_words.union(*(each.text_labels for each in valid))
    assert (
        (len(train), len(valid)) == (80, 20) and labels == set("0123") and not {*train} & {*valid}
    )
    assert found[1].data.valid.examples == valid


REFUSED = [
    (["--set", "bidirectional=true"], "a language model has no setting 'bidirectional'",
     "the words it has to predict", "--task"),
    (["--set", "label_column=2"], "a language model has no setting 'label_column'",
     "tagging and classification", "use --task tagging"),
    (["--contextual", "lm"], "--contextual needs --task tagging or classification",
     "the task is language-model", "use --task tagging"),
    (["--model", "bag"], "--model bag is not for language-model", "it reads a whole text at once",
     "--task classification"),
    (["--model", "cnn"], "--model cnn is not for language-model", "it reads a whole text at once",
     "--task classification"),
    (["--task", "tagging", "--set", "tied=true"], "a tagger has no setting 'tied'",
     "it belongs to models for language-model", "leave"),
    (["--task", "tagging", "--set", "filter_widths=3"], "has no setting 'filter_widths'",
     "models for classification", "--task classif"),
    (["--task", "tagging", "--multi-label"], "--multi-label is not for tagging",
     "one label per column", "--task classif"),
    (["--task", "classification", "--align"], "align is not for classification",
     "the letters of a word", "--task tagging"),
    (["--task", "tagging", "--model", "jordan"], "--model jordan is not for tagging",
     "it is for language-model", "--model rnn, gru, lstm, qrnn, hmm; or --task language-model"),
    (["--task", "tagging", "--model", "bag"], "--model bag is not for tagging",
     "it is for classification", "rnn, gru, lstm, qrnn, hmm; or --task classification"),
    (["--task", "classification", "--model", "ngram"], "--model ngram is not for classification",
     "it is for language-model", "cnn, recursive; or --task language-model"),
    (["--task", "taging"], "unknown task 'taging'", "", "did you mean 'tagging'"),
    (["--task", "tagging", "--set", "tokenizer=char"], "the char tokenizer has no words to spell",
     "", "leave characters out"),
    (["--task", "tagging", "--set", "loss_weights=1,2"], "loss_weights = 1,2 has 2 weights",
     "1 label column is learned", ""),
    (["--task", "tagging", "--set", "loss_weights=x"], "loss_weights = 'x' is not valid",
     "it must be a list of numbers or none", "for instance 1,0.5"),
    (["--task", "tagging", "--valid", "empty"], "no sentences in empty", "", ""),
]  # fmt: skip


@pytest.mark.parametrize("options, what, why, hint", REFUSED)
def test_nonsensical_options_are_refused_with_the_reason(data, rnnlm, options, what, why, hint):
    ended = rnnlm("train", "train.conll", *options, *NOTHING, "-o", "m")
    assert ended.code in (1, 2) and not (data / "m").exists()
    said = " ".join(ended.errors)
    assert what in said and why in said and hint in said


@pytest.mark.parametrize("given, what", [
    ({"bidirectional": True}, "a language model has no setting 'bidirectional'"),
    ({"contextual": "lm"}, "`contextual` needs `task` tagging or classification"),
    ({"task": "tagging", "model": "jordan"}, "`model` jordan is not for tagging"),
    ({"model": "bag"}, "`model` bag is not for language-model"),
    ({"task": "poetry"}, "unknown task 'poetry'"),
])  # fmt: skip
def test_python_refuses_the_same_in_its_own_terms(data, given, what):
    with pytest.raises(RnnlmError, match=what):
        list(library.train("train.conll", output="m", budget="1steps", **given))


def test_a_corpus_with_validation_data_keeps_all(rnnlm, here):
    shown = rnnlm("train travel --task tagging --holdout 10% --dry-run")
    note = "note: without effect: holdout = 0.1; validation is on bundled corpus travel"
    assert note in shown.err
    assert "without effect" not in rnnlm("train travel --task tagging --dry-run").err
