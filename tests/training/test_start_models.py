"""From a request to a plan: recipe, settings and origins, texts, models to start from."""

import shutil
from importlib import resources
from pathlib import Path

import pytest

import rnnlm
from rnnlm import corpora
from rnnlm.errors import OutputError, RnnlmWarning, SettingsError, UsageError
from rnnlm.lm.base import stored_model
from rnnlm.lm.neural.settings import kinds, structure
from rnnlm.runs import train
from rnnlm.storage import model_folder
from rnnlm.text.corpus import Corpus
from rnnlm.training.plan import TrainingRequest, plan, resolve_request
from rnnlm.training.run import run
from support.failures import notices_of
from support.networks import network_settings
from support.small_runs import SMALL, assert_equal, numbers, write
from support.tiny_models import english_lines

pytestmark = pytest.mark.long

ONE = {**SMALL, "budget": "1steps"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train a network `a` and a unigram model `u` on the text of these tests."""
    folder = tmp_path_factory.mktemp("trained")
    text = write(folder / "text.txt", "".join(f"{line}\n" for line in english_lines(100)))
    list(train(text, output=folder / "u", model="unigram", min_count=2))
    list(train(text, output=folder / "a", **ONE))
    return folder


@pytest.fixture
def models(text, trained):
    """Copy these models into the working directory."""
    for name in ("a", "u"):
        shutil.copytree(trained / name, name)


def planned(**given):
    """Plan a run on the text that starts from the model `a`."""
    names = TrainingRequest.__dataclass_fields__
    request = {"init_from": "a", **{name: value for name, value in given.items() if name in names}}
    flags = {name: value for name, value in given.items() if name not in names}
    return plan(TrainingRequest(text=("text.txt",), flags=flags, **request))


def test_training_continues_from_another_models_weights(text):
    list(train(text, output="a", **SMALL))
    still = {**SMALL, "budget": "1steps", "optimizer": "sgd", "learning_rate": 1e-30}
    list(train(text, output="b", init_from="a", **still))
    assert_equal(numbers("a"), numbers("b"))
    assert model_folder.read_manifest(Path("b")).training["init_from"] == "a"

    # A deeper network takes the layers of a shallower one.
    still = {**SMALL, "layers": 3, "connections": "highway", "budget": "1steps"}
    still |= {"learning_rate": 1e-30, "weight_decay": 0.0}
    with pytest.warns(RnnlmWarning, match="above its 1, which are new: .*layers.1.*layers.2"):
        list(train(text, output="c", init_from="a", **still))
    first, second = numbers("a"), numbers("c")
    assert_equal(first, {name: second[name] for name in first})
    assert {name.split(".")[-3] for name in second.keys() - first} == {"layers", "highways"}
    with pytest.raises(UsageError, match="its weights do not fit"):
        list(train(text, output="d", init_from="c", layers=1, **SMALL))


def test_kind_sizes_and_tokenizer_need_not_be_named(text):
    """How to train is the recipe's choice."""
    first = {"model": "gru", "embedding_size": 5, "hidden_size": 7, "lowercase": True}
    list(train(text, output="a", budget="1steps", reset_gate="before", dropout_output=0.9, **first))
    text.write_text(text.read_text() * 60)  # enough for the usual recipe
    made = planned()
    assert made.recipe == made.resolved.values["model"] == "gru"
    first |= {"reset_gate": "before"}
    assert {name: made.resolved.values[name] for name in first} == first
    assert made.resolved.values["dropout_output"] != 0.9
    assert made.resolved.origins["learning_rate"] == "the length of the run"
    assert made.data.tokenizer.fingerprint == rnnlm.load("a").tokenizer.fingerprint


@pytest.mark.parametrize("first, given", [
    ({}, {"tied": True}), ({}, {"layers": 2, "connections": "residual"}), ({}, SMALL),
    ({"layers": 2, "layer_sizes": "9,8"}, {"hidden_size": 5}),
    ({"characters": "cnn"}, {"embedding_size": 5}),
    ({"loss": "nce", "samples": 8}, {"loss": "sampled", "samples": 9}),
    *(pytest.param(*each, marks=pytest.mark.soak) for each in [
        ({"output_layer": "mos", "characters": "cnn"}, {}), ({"output_layer": "adaptive"}, {}),
        ({"model": "jordan"}, {}), ({"model": "ffnn", "layers": 2}, {"layers": 2}),
        ({"loss": "full"}, {"loss": "sampled", "samples": 8}),
        ({"loss": "sampled", "samples": 8}, {"loss": "full"}),
    ]),
], ids=str)  # fmt: skip
@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_weights_fit_where_they_mean_the_same(text, models, first, given):
    if first:
        list(train(text, output="a", overwrite=True, **{**ONE, **first}))
    planned(**given)


@pytest.mark.needs("tasks/labelling")
@pytest.mark.parametrize("first, given, why", [
    ({}, {"hidden_size": 9}, "hidden_size = 9 does not fit `init_from`; it is 8 in the language"),
    ({}, {"lowercase": True}, "lowercase = true does not fit `init_from`; it is false in the"),
    ({}, {"tied": False}, "tied = false does not fit `init_from`; it is true in the language"),
    ({}, {"model": "gru"}, "weights do not fit; it is of kind lstm, not gru; leave `model` and"),
    ({}, {"recipe": "gru"}, "weights do not fit; it is of kind lstm, not gru"),
    ({}, {"model": "ngram"}, "weights do not fit; it is of kind lstm, not ngram"),
    ({}, {"layers": 2, "connections": "dense"}, "weights do not fit; .* has the shape"),
    ({}, {"layers": 2, "layer_sizes": "9,8"}, "weights do not fit; .* has the shape"),
    ({"layers": 2}, {"layers": 1}, "weights do not fit; .* has the shape .* is missing here"),
    ({"layers": 2}, {"connections": "residual"}, "connections = residual does not fit `init_from`"),
    ({}, {"tokenizer_from": "u"}, "weights do not fit; its tokenizer differs; leave out `tokeni"),
    ({}, {"init_from": "u"}, "`init_from` u: a model of kind unigram has no weights to start from"),
    ({"task": "tagging"}, {}, "`init_from` a: it is not a language model; it is a tagger; name a"),
], ids=str)  # fmt: skip
@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_weights_that_do_not_fit_are_refused(text, models, first, given, why):
    tagged = write(text.with_name("tagged.txt"), "the D\ndog N\n\n" * 9)
    if "task" in first:
        list(train(tagged, output="a", overwrite=True, budget="1steps", **first))
    elif first:
        list(train(text, output="a", overwrite=True, **{**ONE, **first}))
    with pytest.raises(UsageError, match=why):
        planned(**given)
    assert not Path("checkpoints").exists()


@pytest.mark.needs("tools/prepared")
def test_a_text_prepared_with_another_tokenizer_is_refused(text, models):
    list(rnnlm.prepare(text, output="prepared", min_count=2))
    with pytest.raises(UsageError, match="`init_from` names another tokenizer than prepared") as e:
        plan(TrainingRequest(text=("prepared",), init_from="a"))
    assert e.value.hint == "rnnlm prepare TEXT --tokenizer-from a"


def test_what_replaces_a_recipe_or_a_vocabulary_is_told(text, models):
    told = "\n".join(notices_of(lambda: planned(recipe="zaremba-small")))
    assert "without effect: layers = 2, embedding_size = 200, hidden_size = 200, tied" in told
    assert "in recipe zaremba-small; the settings of the language model a count" in told
    text.write_text("zebras quag unicorns\n" * 99)
    told = "\n".join(notices_of(planned))
    assert "75% of the tokens of the training text are unknown to a: without `init_from`" in told
    told = "\n".join(notices_of(lambda: planned(tokenizer_from="a")))
    assert "unknown to a" not in told


def test_paths_name_models(text, models):
    list(train(text, output="b", init_from=Path("a"), tokenizer_from=Path("a"), **ONE))
    assert model_folder.read_manifest(Path("b")).training["init_from"] == "a"


def test_only_settings_of_training_may_differ():
    """A new setting of a network has to be of one of the two kinds."""
    left_out = {
        "cell", "locked_dropout", "weight_drop", "activation_penalty", "temporal_penalty", "loss",
        "samples", "dropout_embedding", "dropout_input", "dropout_between", "dropout_output",
        "dropout_latent", "init_embedding", "init_input", "init_recurrent", "init_output",
        "init_range", "init_gain", "init_output_bias",
    }  # fmt: skip
    for kind in kinds():
        settings = network_settings(kind)
        assert {*vars(settings)} - {*structure(settings)} <= left_out
        assert not left_out & {*structure(settings)}


def settled(*, flags=None, **request):
    _, _, resolved = resolve_request(TrainingRequest(flags=flags or {}, **request))
    return {name: (value, resolved.origins[name]) for name, value in resolved.values.items()}


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.parametrize("request_, expected", [
    ({}, ("demo", "lstm")), ({"text": ("x",)}, ("lstm", "lstm")),
    ({"model": "gru"}, ("gru", "gru")),
    ({"text": ("x",), "assignments": {"model": "rnn"}}, ("rnn", "rnn")),
    ({"recipe": "gru"}, ("gru", "gru")),
    ({"recipe": "lstm", "assignments": {"model": "gru"}}, ("lstm", "gru")),
    ({"recipe": "lesson-memory", "model": "lstm"}, ("lesson-memory", "lstm")),
    ({"recipe": "unigram"}, ("unigram", "unigram")),
])  # fmt: skip
def test_recipe_and_kind_follow_from_the_request(request_, expected):
    recipe, kind, resolved = resolve_request(TrainingRequest(**request_))
    assert (recipe, kind.name) == expected
    assert resolved.values["model"] == kind.name


@pytest.mark.parametrize("name, value, dropped", [
    ("loss", "full", {"samples": 1024}), ("loss", "nce", {}),
    ("output_layer", "mos", {"loss": "full", "samples": 1024}),
])  # fmt: skip
def test_what_belongs_to_a_recipes_choice_goes_with_it(name, value, dropped):
    settings = settled(assignments={name: value})
    assert settings[name] == (value, "user")
    from_recipe = {"loss": "sampled", "samples": 512}
    for other in from_recipe.keys() - {name}:
        default = (dropped[other], "default") if other in dropped else None
        assert settings[other] == (default or (from_recipe[other], "recipe demo"))


@pytest.mark.needs("tasks/labelling")
@pytest.mark.parametrize("given", [{"flags": {"characters": None}},
                                   {"assignments": {"characters": "none"}}])  # fmt: skip
def test_none_is_a_choice_too(given):
    settings = settled(recipe="ner-conll2003", **given)
    assert settings["characters"] == (None, "user")
    assert settings["character_filters"][1] == "default"


@pytest.mark.needs("tasks/labelling")
@pytest.mark.parametrize("request_, what, why, hint", [
    ({}, "a language model has no setting 'bidirectional'",
     "it would see the words it has to predict", '`task="tagging"`'),
    ({"task": "tagging", "model": "lstm"}, "a tagger has no setting 'temporal_penalty'",
     "belongs to models for language-model", "leave it out"),
    ({"task": "classification", "model": "gru"}, "kind gru has no setting 'filter_widths'",
     "belongs to: cnn", '`model="cnn"`'),
    ({"task": "tagging", "model": "gru"}, "a tagger has no setting 'filter_widths'",
     "it belongs to models for classif", '`task="classif'),
])  # fmt: skip
def test_a_setting_of_another_task_is_refused(request_, what, why, hint):
    name = what.split("'")[1]
    with pytest.raises(SettingsError, match=what) as caught:
        assignments = {name: "3,4" if name == "filter_widths" else "1"}
        resolve_request(TrainingRequest(**request_, assignments=assignments))
    assert why in caught.value.why and hint in caught.value.hint


@pytest.mark.needs("tasks/labelling")
def test_recipes_of_language_models_say_nothing_of_tasks():
    recipe, kind, resolved = resolve_request(TrainingRequest(model="lstm", task="tagging"))
    assert (recipe, kind.task, resolved.origins["hidden_size"]) == (None, "tagging", "default")


def test_output_and_output_layer_are_distinct_in_python(text):
    *_, finished = train(text, output="m", output_layer="class", classes=3, **SMALL)
    assert finished.folder == "m"
    assert model_folder.read_manifest(Path("m")).settings["output_layer"] == "class"


@pytest.mark.parametrize("content", ['model = "gru"\n', 'recipe = "gru"\n'])
def test_a_recipe_file_may_name_the_model_or_a_recipe(tmp_path, content):
    file = write(tmp_path / "mine.toml", f"{content}hidden_size = 7\n")
    recipe, kind, resolved = resolve_request(TrainingRequest(recipe=str(file)))
    assert (recipe, kind.name) == ("gru", "gru")
    assert resolved.values["hidden_size"] == 7 and resolved.origins["hidden_size"] == str(file)


def test_a_recipe_file_is_a_copy_of_a_recipe_or_names_one_that_exists(tmp_path):
    bundled = resources.files("rnnlm.training.recipes") / "lstm.toml"
    file = write(tmp_path / "mine.toml", bundled.read_text(encoding="utf-8"))
    request = TrainingRequest(text=("x",), recipe=str(file))
    assert request.recipe is None
    assert request.from_file.values["hidden_size"] == 512
    file = write(tmp_path / "mine.toml", 'recipe = "gruu"\n')
    with pytest.raises(SettingsError, match="unknown recipe 'gruu'.*did you mean 'gru'"):
        TrainingRequest(recipe=str(file))


@pytest.mark.parametrize("request_, message", [
    ({"recipe": "lstn"}, "unknown recipe 'lstn'; did you mean 'lstm'"),
    ({"model": "grru"}, "unknown model 'grru'; did you mean 'gru'"),
    ({"assignments": {"hiden_size": "3"}},
     "unknown setting 'hiden_size'; did you mean 'hidden_size'"),
    ({"flags": {"learning_rat": 1.0}},
     "unknown setting 'learning_rat'; did you mean 'learning_rate'"),
    ({"assignments": {"hidden_size": "1000000000"}},
     "hidden_size = '1000000000'.*at most 1,048,576"),
    ({"assignments": {"optimizer": "magic"}}, "optimizer = 'magic'"),
    ({"assignments": {"holdout": "1"}}, "holdout = '1'"),
    ({"flags": {"hidden_size": float("nan")}}, "hidden_size = nan"),
    ({"flags": {"seed": -1}}, "seed = -1"),
])  # fmt: skip
def test_settings_that_are_not_valid_are_wrong_usage(request_, message):
    with pytest.raises(SettingsError, match=message) as caught:
        resolve_request(TrainingRequest(**request_))
    assert caught.value.exit_code == 2


def test_useless_general_flags_are_ignored_with_a_notice():
    match = "ignored, without effect on a model of kind unigram: `budget`"
    with pytest.warns(RnnlmWarning, match=match):
        values = settled(model="unigram", flags={"budget": "3m"})
    assert "budget" not in values


def test_a_plan_knows_its_models_size(text):
    made = plan(TrainingRequest(text=(str(text),), flags=SMALL))
    *_, finished = run(made)
    assert made.parameters() == sum(array.size for array in numbers(finished.folder).values())


def test_a_width_overridden_by_layer_sizes_is_reported(text):
    asked = {"recipe": "awd-lstm-fast", "assignments": {"hidden_size": "32"}}
    match = "without effect: hidden_size = 32 needs layer_sizes = none .it is 1150,1150,400"
    with pytest.warns(RnnlmWarning, match=match):
        plan(TrainingRequest(text=(str(text),), **asked))


def test_the_last_lines_are_held_out_by_default(text, lines):
    made = plan(TrainingRequest(text=(str(text),), flags={**SMALL, "holdout": 0.1}))
    assert (made.data.train.sentences, made.data.valid.sentences) == (90, 10)
    assert made.valid_is == "the last 10% of the training text, held out"
    expected = lines[89].split()
    assert made.data.tokenizer.decode(made.data.train.ids).split("\n")[-1].split() == expected


def test_a_vocabulary_comes_from_training_text_alone(here):
    path = write(here / "t.txt", "a b\n" * 9 + "held out\n")
    made = plan(TrainingRequest(text=(str(path),), flags={**SMALL, "holdout": 0.1}))
    assert set(made.data.tokenizer.symbols()) == {"</s>", "<unk>", "a", "b"}
    assert made.data.valid.oov_words == 2


def test_nothing_is_held_out_if_unwanted_or_useless(text):
    for asked in ({"flags": SMALL}, {"model": "unigram", "flags": {}}):
        asked["flags"] = {**asked["flags"], "holdout": 0.0}
        assert plan(TrainingRequest(text=(str(text),), **asked)).data.valid is None
    named = TrainingRequest(text=(str(text),), model="unigram", valid=(str(text),))
    assert plan(named).holds_out is False


def test_a_text_of_one_line_trains_with_notice(here):
    path = write(here / "one.txt", "a single line of text and nothing else")
    with pytest.warns(RnnlmWarning, match="single line: nothing is held out"):
        *events, finished = train(path, output="m", **SMALL)
    assert finished.results == {} and finished.step == 6
    stored_model.load(Path("m"), "cpu")


def test_without_text_the_bundled_corpus_is_read(here):
    made = plan(TrainingRequest(model="unigram"))
    assert made.data.train.words > 200_000
    assert made.valid_is == "bundled corpus english, valid.txt"
    test = Corpus((str(corpora.part("english", "test")),))
    assert made.test.lines_hash == test.encode(made.data.tokenizer).lines_hash
    assert made.output == Path("checkpoints/english-unigram")


def test_a_default_folder_that_is_a_file_is_refused(text):
    Path("checkpoints").mkdir()
    write(Path("checkpoints/text-unigram"), "a file")
    with pytest.raises(OutputError, match="cannot write to checkpoints/text-unigram; it is a file"):
        plan(TrainingRequest(text=(str(text),), model="unigram"))
