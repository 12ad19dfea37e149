"""What users give: wrong types are named; models and texts may be given by name."""

import inspect
import pickle
import re

import numpy as np
import pytest

import rnnlm
from rnnlm.cli.main import run
from rnnlm.errors import ArgumentTypeError
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.evaluation.soundness import audit
from rnnlm.scoring.generation.settings import BeamSettings, SamplingSettings
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.storage import model_folder
from rnnlm.tools.inspection.memory import inspect_memory
from rnnlm.tools.inspection.similarity import inspect_analogy, inspect_neighbours
from rnnlm.tools.mixtures.adaptation import adapt
from rnnlm.tools.mixtures.tuning import tune
from rnnlm.tools.pairs.scoring import score_pairs
from rnnlm.tools.vectors.word_vectors import word_vectors
from support.tiny_models import LINES, fit, save

FUNCTIONS = {
    name: getattr(rnnlm, name) for name in rnnlm.__all__ if inspect.isfunction(getattr(rnnlm, name))
}
ONE = "must be a list, not a str; put it in a list, even if it is the only one"
NO_MODEL = "a model must be a language model or its name, not "


class Frame:
    """A table as pandas has them: iterated, it gives the names of its columns."""

    columns = ("text",)

    def __iter__(self):
        return iter(self.columns)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    save(place / "trigrams", fit("ngram", order=3), "ngram", order=3)
    (place / "text.txt").write_text("\n".join(LINES) + "\n")
    return place


@pytest.mark.parametrize("call, message", [
    # One text where several are meant.
    (lambda model: model.score_sentences("one"), f"sentences {ONE}"),
    (lambda model: model.score_sentences({"one": 1}), "sentences must be a list, not a dict"),
    (lambda model: model.score_sentences(Frame()), "sentences must be a list, not a Frame"),
    (lambda model: rnnlm.load("demo").embed("one"), f"lines {ONE}"),
    (lambda model: inspect_neighbours("demo", "the"), f"words {ONE}"),
    (lambda model: inspect_analogy("demo", "the"), f"words {ONE}"),
    (lambda model: rnnlm.plot_curves("run", "curves.svg"), f"runs {ONE}"),
    # Items that are no text.
    (lambda model: model.score_sentences([None]),
     "sentences[0] must be a str or a Sentence, not None"),
    (lambda model: model.score_sentences(iter(["a", 3.0])),
     "sentences[1] must be a str or a Sentence, not a float"),
    (lambda model: model.score_sentences(["a", b"b"]),
     "sentences[1] must be a str or a Sentence, not a bytes; decode the bytes first"),
    (lambda model: model.score_sentences(["a"], given=[None]),
     "given texts[0] must be a str, not None"),
    (lambda model: rnnlm.load("demo").embed(["a", 3]), "lines[1] must be a str, not an int"),
    # What is no model, and one where several are meant.
    (lambda model: evaluate([model], "x"), f"{NO_MODEL}a list"),
    (lambda model: evaluate(3, "x"), f"{NO_MODEL}an int"),
    (lambda model: rnnlm.Model("demo"), "a model is needed here, not its name; call rnnlm.load"),
    (lambda model: evaluate(rnnlm.LanguageModel, "x"), f"{NO_MODEL}the class Language"),
    (lambda model: word_vectors(3), f"{NO_MODEL}an int"),
    (lambda model: rnnlm.load(model), "load: the name must be a str or a path, not a Model"),
    (lambda model: rnnlm.load(None), "load: the name must be a str or a path, not None"),
    (lambda model: rnnlm.compare("demo", "x"), f"models {ONE}"),
    (lambda model: rnnlm.compare([model, 3], "x"), f"{NO_MODEL}an int"),
    (lambda model: rnnlm.mix("demo"), f"names {ONE}"),
    (lambda model: inspect_memory("demo"), f"models {ONE}"),
    (lambda model: rnnlm.rescore([], {"a": 3}, {}), f"{NO_MODEL}an int"),
    (lambda model: rnnlm.tune_weights([utterance()], model), "models must be a list, not a Mo"),
    # Settings of something else, and items that are something else.
    (lambda model: adapt(model, "unigram", BeamSettings()),
     "adapt: settings must be a UnigramCacheSettings, not a BeamSettings"),
    (lambda model: rnnlm.train(["a.txt", 3]), "text[1] must be a str or a PathLike, not an int"),
    (lambda model: rnnlm.train("a.txt", valid=[3]),
     "valid[0] must be a str or a PathLike, not an int"),
    (lambda model: model.scorer().extend(None, "a"),
     "the state must be a WordPrefix, not None; begin with begin()"),
    (lambda model: (scorer := model.scorer()).extend(scorer.begin(), 3),
     "the word must be a str, not an int"),
])  # fmt: skip
def test_a_wrong_type_is_named(call, message, folder):
    with pytest.raises(ArgumentTypeError) as raised:
        call(rnnlm.load(folder / "trigrams"))
    assert str(raised.value).startswith(message)


def test_settings_take_no_text_for_true():
    for wrong, message in (
        ({"running": "no"}, "setting running = 'no' is not valid; it must be true or false"),
        ({"top_k": "3"}, "setting top_k = '3' is not valid; it must be a whole number"),
    ):
        with pytest.raises(rnnlm.RnnlmError, match=message):
            SamplingSettings(**wrong)
    with pytest.raises(
        rnnlm.RnnlmError, match="measures = 'entropy' is not valid; it must be a list"
    ):
        ScoringSettings(measures="entropy")
    assert SamplingSettings(running=np.bool_(True)).running


def test_iterators_are_taken_like_lists(folder):
    model = rnnlm.load(folder / "trigrams")
    whole = model.score_sentences(LINES)
    assert model.score_sentences(iter(LINES)) == whole
    assert model.score_sentences(np.array(LINES)) == whole
    text = folder / "text.txt"
    whole_ppl = evaluate(model, [text]).ppl_token
    assert evaluate(model, iter([text])).ppl_token == whole_ppl
    pairs = [rnnlm.Pair("order", "the cat sat", "cat the sat")]
    assert score_pairs(model, iter(pairs)) == score_pairs(model, pairs)


def test_notice_points_to_the_calling_line(folder):
    pair = rnnlm.Pair("end", "the cat sat", "the cat saw")
    with pytest.warns(rnnlm.RnnlmWarning, match="nothing follows the part that differs") as told:
        score_pairs(folder / "trigrams", [pair], scoring="partial")
    with pytest.warns(rnnlm.RnnlmWarning, match="default settings") as told_deeper:
        rnnlm.load(f"{folder / 'trigrams'}+unigram")
    assert [each.filename for each in (*told, *told_deeper)] == [__file__] * 2


def test_public_functions_can_be_pickled():
    for name, function in FUNCTIONS.items():
        assert pickle.loads(pickle.dumps(function)) is function, name


@pytest.mark.parametrize("ask", [
    lambda model: rnnlm.compare([model, "trigrams"], "text.txt", names=["a", "b"]).differences,
    lambda model: rnnlm.tune_weights([utterance()], {"trigrams": model}),
    lambda model: rnnlm.rescore([utterance()], {"trigrams": model},
                                rnnlm.tune_weights([utterance()], ["trigrams"])),
])  # fmt: skip
def test_model_name_or_path_works_like_the_model(ask, folder, monkeypatch):
    monkeypatch.chdir(folder)
    itself = ask(rnnlm.load("trigrams"))
    assert ask("trigrams") == itself == ask(folder / "trigrams")


def utterance():
    texts = {"cat the sat": -1.0, "the cat sat": -1.5}
    hypotheses = tuple(rnnlm.Hypothesis(text, score) for text, score in texts.items())
    return rnnlm.Utterance("one", hypotheses, "the cat sat")


def test_functions_taking_a_model_accept_its_name():
    taken = {}
    for name, function in FUNCTIONS.items():
        for parameter in inspect.signature(function).parameters.values():
            if "interface.LanguageModel" in str(parameter.annotation):
                taken[name] = str(parameter.annotation)
    others = r"( \| [\w.]+\.(LabelModel|WordVectors))*"
    or_its_name = re.compile(rf"LanguageModel{others} \| str \| pathlib.Path")
    assert [name for name, hint in taken.items() if not or_its_name.search(hint)] == []
    assert len(taken) >= 6


def test_loaded_model_stands_for_its_folder_where_needed(folder, monkeypatch):
    monkeypatch.chdir(folder)
    model = rnnlm.load("trigrams")
    assert [*audit(model)] == [*audit("trigrams")]
    mixed = rnnlm.mix([model, "trigrams"], "text.txt", "mixed")
    assert [part.name for part in mixed.parts] == [str(folder / "trigrams"), "trigrams"]
    with pytest.raises(rnnlm.RnnlmError, match="this model has no folder; it was made in memory"):
        next(tune(adapt(model, "unigram"), "unigram", "text.txt"))


def test_bundled_corpus_model_defaults_to_the_test_part(folder, here):
    with pytest.raises(rnnlm.RnnlmError, match="no data to evaluate on; name a file"):
        evaluate(folder / "trigrams")
    manifest = save(here / "bundled", fit("ngram", order=3), "ngram", order=3)
    trained_on = {"text": ["bundled corpus english"]}
    model_folder.save_results(here / "bundled", manifest, {}, trained_on)
    model = rnnlm.load("bundled")
    signature = evaluate("bundled", rnnlm.corpora.part("english", "test")).signature
    for evaluation in (evaluate("bundled"), model.evaluate(), evaluate("bundled", "english")):
        assert evaluation.signature == signature
    compared = rnnlm.compare([model, folder / "trigrams"], "english")
    assert [each.name for each in compared.models] == ["bundled", "trigrams"]
    assert run(["eval", "-m", "bundled", "english"]) == 0
    with pytest.raises(rnnlm.RnnlmError, match="no data to evaluate on"):
        model.adapt("unigram").evaluate()
