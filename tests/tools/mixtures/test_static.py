"""Joining n-gram models on disk: close to the dynamic mixture, different words, ARPA."""

import json
import warnings

import numpy as np
import pytest

import rnnlm
from rnnlm import corpora, system
from rnnlm.cli.main import run
from rnnlm.errors import ModelError, OutputError, RnnlmWarning, SettingsError, UsageError
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.lm.ngram.joining import renumbered
from rnnlm.storage import model_folder
from rnnlm.tools.mixtures.mixture import Mixture, shared_tokenizer
from rnnlm.tools.mixtures.static import mix_static
from support.arpa_files import SMALL
from support.systems import need
from support.tiny_models import fit, make_tokenizer, save

OWN = ("--min-count", "2", "--keep-punctuation")  # as the words of foreign files are
MODELS = {"a": ["5"], "b": ["3"], "c": ["2", "--set", "smoothing=witten-bell"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train models on thirds of the corpus: with the words of all of it, and their own."""
    folder = tmp_path_factory.mktemp("static")
    lines = corpora.part("english", "train").read_text(encoding="utf-8").splitlines()[:2400]
    (folder / "all.txt").write_text("\n".join(lines) + "\n")
    assert train(folder / "all.txt", folder / "words", "--model", "unigram") == 0
    for number, (name, options) in enumerate(MODELS.items()):
        text = folder / f"{name}.txt"
        text.write_text("\n".join(lines[number::3]) + "\n")
        options = ["--model", "ngram", "--order", *options]
        assert train(text, folder / name, *options, "--tokenizer-from", folder / "words") == 0
        assert train(text, folder / f"own-{name}", *options, *OWN) == 0
    return folder


def train(text, folder, *options) -> int:
    return run(["train", str(text), "-o", str(folder), *map(str, options)])


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    need("links")
    for path in trained.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


VALID = corpora.part("english", "valid")


def quietly(*arguments, **options):
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return mix_static(*arguments, **options)


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c"]])
def test_joined_models_are_close_to_their_mixture(here, names):
    context = "carry" if len(names) == 2 else "reset"
    mixed = mix_static(names, VALID, "joined", context=context)
    dynamic = rnnlm.mix(names, VALID, "dynamic", context=context)
    assert mixed.evaluation.ppl_token == pytest.approx(dynamic.evaluation.ppl_token, rel=0.01)
    assert [part.weight for part in mixed.parts] == [part.weight for part in dynamic.parts]
    assert mixed.iterations == dynamic.iterations
    for one, other in zip(mixed.parts, dynamic.parts, strict=True):
        assert one.evaluation.ppl_token == pytest.approx(other.evaluation.ppl_token)
        assert one.fingerprint == other.fingerprint
    model = rnnlm.load("joined")
    assert model.normalised and model.order == 5
    again = evaluate(model, VALID, context=context)
    assert again.ppl_token == mixed.evaluation.ppl_token
    assert again.signature == mixed.evaluation.signature


@pytest.mark.parametrize("names", [["own-a", "own-b"], ["own-c", "own-b", "own-a"]])
def test_joined_models_may_know_different_words(here, names):
    mixed = quietly(names, VALID, "joined")
    joined = rnnlm.load("joined")
    models = [rnnlm.load(name) for name in names]
    words = {word for model in models for word in model.tokenizer.symbols()}
    assert set(joined.tokenizer.symbols()) == words
    assert len(words) > max(model.size for model in models)

    # The mixture itself, in which a word has probability zero where it is unknown.
    symbols = joined.tokenizer.symbols()
    parts = []
    for model in models:
        number_V = np.array([symbols.index(word) for word in model.tokenizer.symbols()])
        parts.append(renumbered(model, number_V, joined.tokenizer, Workspace()))
    weights = [part.weight for part in mixed.parts]
    dynamic = evaluate(Mixture(parts, weights), VALID)
    assert mixed.evaluation.ppl_token == pytest.approx(dynamic.ppl_token, rel=0.01)
    assert mixed.evaluation.oov_words == dynamic.oov_words
    assert mixed.parts[0].evaluation.zero_probability_tokens > 0
    logprob_11V, _ = joined.predict(np.zeros((1, 1), dtype=np.int64), joined.initial_state(1))
    assert np.exp(logprob_11V.astype(np.float64)).sum() == pytest.approx(1, abs=1e-5)


def test_arpa_files_hold_what_folders_do(here):
    folder = quietly(["own-a", "own-b"], output="joined", weights=[0.4, 0.6])
    file = quietly(["own-a", "own-b"], output="joined.arpa.gz", weights=[0.4, 0.6])
    assert (folder.kind, file.kind, file.folder) == ("static", "static", "joined.arpa.gz")
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        rnnlm.import_arpa("joined.arpa.gz", "again", tokenizer_from="joined")
    for one, other in zip(rnnlm.load("joined").values, rnnlm.load("again").values, strict=True):
        np.testing.assert_array_equal(one, other)


def test_limited_memory_gives_the_same_model(here):
    quietly(["own-a", "own-b"], output="whole", weights=[0.4, 0.6])
    quietly(["own-a", "own-b"], output="limited", weights=[0.4, 0.6], memory="4G", temp="temp")
    assert rnnlm.load("limited").fingerprint == rnnlm.load("whole").fingerprint
    assert not list((here / "temp").iterdir())
    with pytest.raises(SettingsError, match="memory = 1M is too little"):
        quietly(["a", "b"], output="small", weights=[0.4, 0.6], memory="1M")


def test_joined_models_keep_what_they_were_made_of(here):
    mix_static(["a", "b"], VALID, "joined")
    manifest = model_folder.read_manifest(model_folder.Path("joined"))
    assert (manifest.model, manifest.family, manifest.parts) == ("ngram", "ngram", [])
    entries = manifest.training["joined"]
    assert [entry["model"] for entry in entries] == ["a", "b"]
    for entry in entries:
        assert entry["fingerprint"] == rnnlm.load(entry["model"]).fingerprint
    card = model_folder.Path("joined/README.md").read_text()
    for piece in ("joined from n-gram models", "`a`, weight 0.", "tuned on", "order=5"):
        assert piece in card
    assert "smoothing" not in card and "## Settings" not in card
    # It is a model of its own: it can be joined, pruned and mixed again.
    again = mix_static(["joined", "c"], VALID, "again")
    assert again.evaluation.ppl_token < mix_static(["a", "c"], VALID, "two").evaluation.ppl_token


def test_weight_of_zero_leaves_a_model_out(here):
    mixed = mix_static(["a", "b"], output="joined", weights=[0.0, 1.0])
    model, own = rnnlm.load("joined"), rnnlm.load("b")
    assert [part.weight for part in mixed.parts] == [0.0, 1.0]
    assert list(map(len, model.values)) == list(map(len, own.values))
    evaluations = [evaluate(each, VALID).ppl_token for each in (model, own)]
    assert evaluations[0] == pytest.approx(evaluations[1], rel=1e-5)


def test_foreign_files_without_unknown_word_join(here):
    (here / "small.arpa").write_text(SMALL.replace("ngram 1=5", "ngram 1=4").replace(
        "-1\t<unk>\n", ""))  # fmt: skip
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        rnnlm.import_arpa("small.arpa", "small")
    quietly(["small", "own-a"], output="joined", weights=[0.5, 0.5])
    model = rnnlm.load("joined")
    assert model.normalised and not rnnlm.load("small").normalised
    assert model.tokenizer.symbols()[:4] == ["</s>", "<unk>", "b", "a"]
    for ids in ([0], [0, 3], [3], [0, 3, 2]):
        logprob_BTV, _ = model.predict(np.array([ids]), model.initial_state(1))
        sums_BT = np.exp(logprob_BTV.astype(np.float64)).sum(axis=-1)
        np.testing.assert_allclose(sums_BT, 1, atol=1e-5)


REFUSED = {  # settings of some models
    "stupid": {"smoothing": "stupid"}, "lower": {"lowercase": True},
    "chars": {"tokenizer": "char"}, "other chars": {"tokenizer": "char"},
}  # fmt: skip


@pytest.mark.parametrize(("names", "what", "why"), [
    (["a", "words"], "words cannot be merged", "it is of kind unigram"),
    (["a", "demo"], "demo cannot be merged", "it is of kind lstm"),
    (["a", "a+unigram"], "a+unigram cannot be merged", "a adapts to what it reads"),
    (["a", "stupid"], "stupid cannot be merged", "not probabilities"),
    (["a", "lower"], "lower and a have different tokenizers", "lowercase is True and False"),
    (["a", "chars"], "chars and a have different tokenizers", "char with V = "),
    (["chars", "other chars"], "other chars and chars have different", "char with V = 3 and char"),
    (["a"], "a mixture needs at least two models", ""),
])  # fmt: skip
def test_other_models_are_refused(here, names, what, why):
    for name in REFUSED.keys() & set(names):
        settings = {"order": 2, **REFUSED[name]}
        lines = ["x"] if name == "other chars" else ["a b"]
        save(here / name, fit("ngram", lines, **settings), "ngram", **settings)
    with pytest.raises(UsageError) as error:
        mix_static(names, output="out", weights=[1 / len(names)] * len(names))
    assert error.value.what.startswith(what) and why in error.value.why
    assert not (here / "out").exists()


def test_a_mixture_is_refused_with_its_parts_named(here):
    rnnlm.mix(["a", "b"], output="mixture", weights=[0.5, 0.5])
    with pytest.raises(UsageError, match="name the parts of mixture"):
        mix_static(["mixture", "c"], output="out", weights=[0.5, 0.5])


def test_what_is_there_is_not_replaced_unasked(here):
    (here / "joined.arpa").write_text("mine")
    with pytest.raises(OutputError, match="joined.arpa already exists"):
        mix_static(["a", "b"], output="joined.arpa", weights=[0.5, 0.5])
    with pytest.raises(OutputError, match="already holds a model"):
        mix_static(["a", "b"], output="c", weights=[0.5, 0.5])
    assert (here / "joined.arpa").read_text() == "mine"
    mix_static(["a", "b"], output="joined.arpa", weights=[0.5, 0.5], overwrite=True)
    assert (here / "joined.arpa").read_text().startswith("\\data\\")


def test_damaged_tables_are_named_before_work(here):
    folder = here / "broken"
    model = fit("ngram", order=2)
    model.keys[0][:] = model.keys[0][::-1].copy()
    save(folder, model, "ngram", order=2)
    with pytest.raises(ModelError, match="the tables of broken are damaged"):
        mix_static(["broken", "a"], output="out", weights=[0.5, 0.5])


def test_words_of_all_are_in_one_vocabulary():
    tokenizers = [make_tokenizer([line]) for line in ("a b b", "c b", "d")]
    with pytest.warns(RnnlmWarning, match="of 6 words in all, one lacks 2, two lacks 2, three l"):
        found = shared_tokenizer(tokenizers, ["one", "two", "three"])
    assert found.symbols() == ["</s>", "<unk>", "b", "a", "c", "d"]
    assert found.counts_V is None and json.dumps(found.to_settings())


def test_too_little_memory_is_refused_but_on_disk(here, monkeypatch):
    monkeypatch.setattr(system, "available_bytes", lambda: 1000)
    with pytest.raises(UsageError, match="too little memory for mixing") as caught:
        mix_static(["a", "b"], output="mixed", weights=[0.5, 0.5])
    assert "memory" in caught.value.hint
    mix_static(["a", "b"], output="mixed", weights=[0.5, 0.5], memory="500M")
