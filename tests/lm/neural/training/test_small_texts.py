"""A page of text is learned: a small text gets the recipe of its size."""

import random

import pytest

import rnnlm
import rnnlm.corpora as corpora
from rnnlm import registry
from rnnlm.choices import THE_TIME
from rnnlm.config import SettingsLayer, resolve
from rnnlm.errors import RnnlmWarning
from rnnlm.lm.neural.training import choosing, fitting
from rnnlm.registry import kinds_of
from rnnlm.training.plan import TrainingRequest, plan

pytestmark = pytest.mark.long

FOUR = """\
our neighbour keeps three brown goats behind the mill
nobody saw where the ferry went last night
please bring me a cup of black tea
seven lamps were burning in that empty hall
"""
TAGGED = (
    "Ada PER\nlives O\nin O\nTurin LOC\n\nthe O\nRhine LOC\nis O\nwide O\n\n"
    "Karl PER\nmet O\nInes PER\nyesterday O\n\nit O\nrains O\n"
)
NETWORKS = ("lstm", "gru", "rnn", "qrnn", "jordan", "ffnn")
WANTED = {4: 3, 20: 5, 60: 20, 200: 60}  # perplexity by lines
ON_CPU = {"device": "cpu", "threads": 1}
NARROW = {"hidden_size": 64, "embedding_size": 64}  # a quarter of the time of the usual widths


def trained(path, folder, **request):
    """Train on a text and validate on it; return the results and the warnings of the run."""
    *_, finished = rnnlm.train(path, valid=path, output=folder, **ON_CPU, **request)
    return finished.results["valid"]


def accuracy(results):
    return results["columns"][0]["accuracy"]


def settled(path, **request):
    """Return the settings and their origins of a run that validates on its own text."""
    resolved = plan(TrainingRequest(text=(str(path),), valid=(str(path),), **request)).resolved
    return resolved.values, resolved.origins


def sizes_in(origins):
    """Return the recipes of sizes among the origins of settings."""
    return {f"recipe {name}" for name in choosing.small_text_recipes()} & set(origins.values())


@pytest.fixture
def four(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "four.txt"
    path.write_text(FOUR, encoding="utf-8")
    return path


@pytest.mark.soak
def test_four_lines_are_learned(four, tmp_path):
    results = trained(four, tmp_path / "m", model="lstm", save_every="1000steps", **NARROW)
    assert results["ppl_token"] < WANTED[4]


@pytest.mark.soak
def test_four_sentences_are_tagged(tmp_path):
    path = tmp_path / "four.txt"
    path.write_text(TAGGED, encoding="utf-8")
    assert accuracy(trained(path, tmp_path / "m", task="tagging", **NARROW)) == 1


SIZES = [(1, "lines"), (10, "page"), (100, "pages"), (300, "chapter"), (700, None)]


@pytest.mark.parametrize("times, size", SIZES)
def test_a_small_text_gets_the_recipe_of_its_size(four, times, size):
    four.write_text(FOUR * times, encoding="utf-8")
    values, origins = settled(four)
    of_size = {name for name, origin in origins.items() if origin == f"recipe {size}"}
    expected = {"budget", "batch_rows", "warmup", "patience", "validate_every_steps",
                "dropout_input", "dropout_output", "unknown_words"}  # fmt: skip
    assert of_size >= (expected if size else set())
    if size:
        recipe = choosing.small_text_recipes()[size]
        assert values["batch_rows"] == recipe["at_most"]["batch_rows"]
        assert values["budget"] == recipe["budget"]
    else:
        assert "recipe chapter" not in origins.values() and values["batch_rows"] == 20


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
def test_every_recipe_of_a_size_has_valid_settings():
    """A name that no kind of model has, or a value out of range, would go unnoticed."""
    for size in choosing.small_text_recipes().values():
        names = size.keys() | size["at_most"].keys() | size["by_heart"].keys()
        for kind in registry.all_kinds():
            if kind.trains_in_steps:
                usual = resolve(kind.all_settings, []).values
                values = {name: value for name, value in size.items() if name in usual}
                for name in size["at_most"].keys() & usual.keys():
                    values[name] = min(size["at_most"][name], usual[name])
                resolve(kind.all_settings, [SettingsLayer("size", values)])
                names -= usual.keys()
        assert names <= {"batches", "at_most", "by_heart", "new_text", "language-model", "seq2seq"}


def test_a_larger_text_to_validate_on_is_read_less_often(four, tmp_path):
    valid = tmp_path / "valid.txt"
    valid.write_text(FOUR * 30, encoding="utf-8")
    request = TrainingRequest(text=(str(four),), valid=(str(valid),))
    assert plan(request).resolved.values["validate_every_steps"] == 30 * 25


def test_lines_held_out_are_read_with_unknown_words(four):
    """On 57 of 60 lines the perplexity of the others is half as high so."""
    values = plan(TrainingRequest(text=(str(four),))).resolved.values
    assert values["unknown_words"] == 0.5 and values["batch_rows"] == 1
    assert settled(four)[0]["unknown_words"] < 0.1


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.parametrize("size", choosing.SMALL_TEXTS)
def test_a_kind_that_learns_by_heart_has_its_own_settings(size, tmp_path, monkeypatch):
    """They go beyond the limits of the size."""
    monkeypatch.setattr(choosing, "recipe_for", lambda *_: size)
    path = tmp_path / "text.tsv"
    for task, by_kind in choosing.small_text_recipes()[size]["by_heart"].items():
        if not isinstance(by_kind, dict):
            continue
        is_pairs = task == "seq2seq"
        path.write_text(f"source\ttarget\n{ROWS}" if is_pairs else FOUR, encoding="utf-8")
        for model, own in by_kind.items():
            flags = {"model": model, "task": task if is_pairs else None}
            values, _ = settled(path, **flags)
            assert {name: values[name] for name in own} == own


@pytest.mark.parametrize("name", ["batch_rows", "bptt_tokens", "dropout_input", "patience"])
def test_what_somebody_sets_stays(four, tmp_path, name):
    value = {"batch_rows": 3, "bptt_tokens": 7, "dropout_input": 0.6, "patience": 2}[name]
    assert settled(four, assignments={name: str(value)})[0][name] == value
    config = tmp_path / "recipe mine.toml"  # called as bundled ones are in messages
    config.write_text(f"{name} = {value}\n", encoding="utf-8")
    assert settled(four, recipe=config.name)[0][name] == value


def test_a_time_chooses_dropout_for_a_small_text_and_leaves_its_widths(four, monkeypatch):
    monkeypatch.setattr(fitting, "tokens_per_second", lambda *_: 1000.0)
    four.write_text(FOUR * 10, encoding="utf-8")
    with pytest.warns(RnnlmWarning, match="3m is time for about 180,000 tokens"):
        made = plan(TrainingRequest((str(four),), flags={"budget": "3m", **ON_CPU})).resolved
    by = {choice.name: (choice.by, choice.value) for choice in made.choices}
    assert by["hidden_size"] == by["embedding_size"] == ("recipe page", 64)
    assert by["learning_rate"] == ("recipe page", 0.005)
    assert by["batch_rows"] == ("recipe page", 1)
    assert by["dropout_output"] == (THE_TIME, 0.6)
    assert by["weight_drop"] == (THE_TIME, 0.3)


@pytest.mark.parametrize("kind, width", [("lstm", 64), ("jordan", None), ("ffnn", None)])
def test_networks_for_small_texts_are_narrow_where_that_was_measured(four, kind, width):
    """Held-out lines are new text; a text that is learned by heart has the recipe's width."""
    four.write_text(FOUR * 10, encoding="utf-8")
    new = plan(TrainingRequest((str(four),), model=kind)).resolved
    assert new.values["hidden_size"] == (width or new.usual["hidden_size"])
    learned, _ = settled(four, model=kind)
    assert learned["hidden_size"] == new.usual["hidden_size"]


@pytest.mark.parametrize("budget", ["200epochs", "7steps", "9s"])
def test_a_budget_that_somebody_sets_stays(four, budget):
    values, _ = settled(four, flags={"budget": budget})
    assert values["budget"] == budget and values["batch_rows"] == 1
    # Patience ends no run in which so few lines go up and down.
    assert values["patience"] is None or values["patience"] >= 10


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.parametrize("task", [None, "tagging", "classification", "seq2seq"])
def test_nothing_follows_of_a_bundled_corpus(task, here):
    assert not sizes_in(plan(TrainingRequest(task=task)).resolved.origins)


@pytest.mark.needs("tasks/labelling")
def test_nothing_follows_of_a_bundled_file(here):
    file = corpora.part("opinions", "train")
    assert not sizes_in(settled(file, task="classification")[1])


ROWS = "a b\tx\nc d\ty\na c\tx\n"


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.parametrize("task, text", [
    (None, FOUR), ("tagging", TAGGED), ("classification", f"text\tlabel\n{ROWS}"),
    ("seq2seq", f"source\ttarget\n{ROWS}"),
])  # fmt: skip
def test_few_lines_held_out_are_told(task, text, here):
    path = here / "text.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.warns(RnnlmWarning, match="a single line is held out for validation"):
        made = plan(TrainingRequest(text=(str(path),), task=task))
    assert made.holds_out and made.data.valid.sentences == 1


# ---- Every network and every task, on texts of every size.


def words(count, chance):
    """Return so many different words."""
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = chance.choices(["ba", "ke", "li", "mo", "tu", "ran", "sel", "pir", "do"], k=3)
        found["".join(syllables[: chance.choice([1, 2, 3, 3])]) + chance.choice("aeiklmnst")] = None
    return list(found)


def lines(count, chance, least=4, most=11):
    """Return lines of words, some of which are frequent."""
    lexicon = words(60 + 2 * count, chance)
    weights = [1 / (rank + 3) for rank in range(len(lexicon))]
    return [chance.choices(lexicon, weights, k=chance.randint(least, most)) for _ in range(count)]


def language_text(shape, count, chance):
    least, most = {"usual": (4, 11), "long": (30, 50), "word": (1, 1), "twenty": (20, 20)}[shape]
    return "".join(" ".join(line) + "\n" for line in lines(count, chance, least, most))


def task_text(task, count, chance):
    """Return examples: tags and labels that follow from the words, and pairs of words."""
    found = lines(count, chance)
    tags = {word: chance.choice(["NOUN", "VERB", "ADJ"]) for line in found for word in line}
    other = {word: word[::-1] for word in tags}
    if task == "tagging":
        rows = ("".join(f"{word} {tags[word]}\n" for word in line) for line in found)
        return "\n".join(rows)
    if task == "classification":
        rows = (f"{' '.join(line)}\t{'even' if n % 2 else 'odd'}\n" for n, line in enumerate(found))
        return "text\tlabel\n" + "".join(rows)
    rows = (f"{' '.join(line)}\t{' '.join(map(other.get, line))}\n" for line in found)
    return "source\ttarget\n" + "".join(rows)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("count", WANTED)
@pytest.mark.parametrize("shape", ["usual", "long", "word", "twenty"])
@pytest.mark.parametrize("model", NETWORKS)
def test_every_network_learns_a_small_text(model, shape, count, seed, tmp_path):
    path = tmp_path / "text.txt"
    text = language_text(shape, count, random.Random(f"{shape} {count} {seed}"))
    path.write_text(text, encoding="utf-8")
    results = trained(path, tmp_path / "m", model=model, seed=seed)
    assert results["ppl_token"] < WANTED[count]


TASKS = ("tagging", "classification", "seq2seq")
TASK_KINDS = [(task, kind) for task in TASKS for kind in kinds_of(task)]


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("count", WANTED)
@pytest.mark.parametrize("task, model", TASK_KINDS)
def test_every_model_of_a_task_learns_a_small_text(task, model, count, seed, tmp_path):
    path, learns_pairs = tmp_path / "text.tsv", task == "seq2seq"
    chance = random.Random(f"{'pairs' if learns_pairs else task} {count} {seed}")
    path.write_text(task_text(task, count, chance))
    results = trained(path, tmp_path / "m", task=task, model=model, seed=seed)
    assert (results["exact_match"] if learns_pairs else accuracy(results)) > 0.95
