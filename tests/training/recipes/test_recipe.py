"""Every shipped recipe resolves, and trains."""

import dataclasses
from pathlib import Path

import pytest

import rnnlm.corpora
from rnnlm import registry
from rnnlm.lm.base import stored_model
from rnnlm.runs import train
from rnnlm.storage import model_folder
from rnnlm.training.recipes import recipe as recipes
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request

# Narrower, where two steps at full width take long.
WIDTHS = {"hidden_size": 96, "embedding_size": 64}
NARROW = {
    **dict.fromkeys(("cpu-10m", "demo", "lstm", "gru", "rnn", "qrnn"), WIDTHS),
    "lstm-char": {"hidden_size": 96}, "lstm-sentencepiece": {**WIDTHS, "vocab_size": 1000},
    "char-cnn-lstm": {"hidden_size": 96},
    "mogrifier-ptb": {"hidden_size": 96, "embedding_size": 96, "mogrifier_rank": 8},
    "mos-ptb": {"layer_sizes": "96,96,62", "embedding_size": 28},
    "qrnn-ptb": {"layer_sizes": "155,155,155,40", "embedding_size": 40},
    "awd-lstm-ptb": {"layer_sizes": "115,115,40", "embedding_size": 40},
}  # fmt: skip


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "tiny.txt"
    lines = Path(rnnlm.corpora.part("english", "valid")).read_text(encoding="utf-8").split("\n")
    # it has unknown words, as the texts of most recipes: else half of its words are read as such
    path.write_text("\n".join([*lines[:60], "the <unk> sat"]), encoding="utf-8")
    return path


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_resolves_to_valid_settings_from_itself(name):
    recipe = recipes.load(name)
    values = recipe.settings
    assert recipe.summary and recipe.description
    assert recipe.source or not recipe.published
    assert recipe.learns_pairs == (values.get("task") == "seq2seq")
    both = {figure.on for figure in recipe.published} & {recipe.measured and recipe.measured.on}
    # the first one is shown beside ours
    assert not both or recipe.published[0].on == recipe.measured.on
    found, kind, resolved = resolve_request(TrainingRequest(recipe=name))
    assert (found, kind.name) == (name, values.get("model", registry.USUAL_MODEL))
    for key, value in values.items():
        assert (resolved.values[key], resolved.origins[key]) == (value, f"recipe {name}")


def test_results_and_times_in_words():
    record = recipes.load("awd-lstm-fast").to_dict()
    measured = "PTB valid 226.9 after 60 min on one core; 3.5 epochs; 279.4 at a rate of 0.001"
    assert record["published"] == "PTB valid 60.0, PTB test 57.3; after fine-tuning"
    assert record["measured"] == measured
    assert record["cpu_time"] == "estimated: 13 h on two cores for PTB"
    others = "(lowercase=true, split_punctuation=true); without unknown words"
    measured = f"bundled valid 71.4 after 1 s on two cores {others}"
    assert recipes.load("ngram-3").to_dict()["measured"] == measured
    assert recipes.load("zaremba-small").to_dict()["cpu_time"] == "30 min on one core for PTB"
    record = dataclasses.replace(recipes.load("rnn"), measured=None).to_dict()
    assert record["published"] == "none"
    assert record["measured"] == record["cpu_time"] == "not measured"
    times = {0.02: "1 s", 3.5: "3.5 min", 90: "90 min", 840: "14 h", 5000: "3.5 d", 30000: "21 d"}
    assert {minutes: recipes.time_of(minutes) for minutes in times} == times


def test_a_recipes_commands_name_its_results_text():
    demo = recipes.load("demo")
    assert demo.command() == demo.command_of_figure() == "rnnlm train --recipe demo"
    assert recipes.load("gru").command() == "rnnlm train my.txt --recipe gru"
    assert dataclasses.replace(recipes.load("rnn"), measured=None).command_of_figure() is None
    command = recipes.load("awd-lstm-wt2").command_of_figure()
    assert "--blank-lines keep --recipe awd-lstm-wt2" in command


TWO_STEPS = {"budget": "2steps", "device": "cpu"}


LABELLED = {  # data in a format of each task
    "pos-ewt": "1\twe\t_\tPRON" + "\t_" * 6 + "\n2\trun\t_\tVERB" + "\t_" * 6 + "\n\n",
    "ner-conll2003": "we O 0\nlove O 1\nRome I-LOC 0\n\ngo O 0\n",
    "g2p-cmudict": "letters\tsounds\nb o x\tB AA K S\nh o t\tHH AA T\n",
    "sst2": "1\tit works\n0\tit broke\n",
    "others": "intent\ttext\tslots\nx\tto rome\tO B-city\ny\tgo\tO\n",
}


# wide, or of the same kind as one of the others
SOAK = {
    "awd-lstm-char-ptb", "awd-lstm-fast", "awd-lstm-wt2", "zaremba-large", "zaremba-medium",
    "char-lstm-ptb", "cpu-1h", "demo-long", "cpu-10m", "mt-multi30k", "qrnn-ptb", "slots-snips",
    "lesson-wide", "lesson-cell", "lesson-likeness", "lesson-cliff", "lesson-chain",
    "lesson-brackets", "lesson-opinions", "lesson-recall", "irnn", "ngram-5", "lesson",
    "lesson-forward", "lesson-memory", "zaremba-small", "pos-ewt", "g2p-seq2seq",
}  # fmt: skip


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.soak if name in SOAK else ()) for name in recipes.names()
])  # fmt: skip
def test_a_recipe_trains_on_a_tiny_text(name, text, tmp_path):
    settings = recipes.load(name).settings
    task, output = settings.get("task"), tmp_path / "m"
    if task == "seq2seq":
        text = tmp_path / "pairs.tsv"
        rows = [f"{n} {word}s\t{word} {n}" for n in "123456789" for word in ("chat", "chien")]
        text.write_text("french\tenglish\n" + "\n".join(rows) + "\n", encoding="utf-8")
        fewer = {**TWO_STEPS, "hidden_size": 8, "vocab_size": 300}
        fewer |= {"column": "french", "target_column": "english"}
    elif task is not None:
        text = tmp_path / "data"
        kind = "sst2" if name.startswith("sst2") else name
        text.write_text(LABELLED.get(kind, LABELLED["others"]), encoding="utf-8")
        fewer = {**TWO_STEPS, "hidden_size": 8, "min_count": 1}
    else:
        fewer = {} if name == "unigram" else {**TWO_STEPS, **NARROW.get(name, {})}
    *_, finished = train(text, recipe=name, output=output, **fewer)
    manifest = model_folder.read_manifest(output)
    assert manifest.training["recipe"] == name and manifest.settings.get("task") == task
    if task is None:
        family = registry.kind_of(settings.get("model", registry.USUAL_MODEL)).family
        assert manifest.model == settings.get("model", registry.USUAL_MODEL)
        assert finished.stopped == ("complete" if family == "ngram" else "budget")
        model, _ = stored_model.load(output, "cpu")
        for result in finished.results.values():
            assert 1 < result["ppl_token"] < 10 * model.tokenizer.size
