"""Arguments of public functions: of a wrong type, they are named at once; models and texts may be
given by name."""

import dataclasses
import inspect
import pickle
import re
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

import rnnlm
from rnnlm import arguments
from rnnlm.arguments import checked, hints_of
from rnnlm.models.registry import LabelModel
from support.tiny_models import LINES, fit, save

FUNCTIONS = {
    name: getattr(rnnlm, name) for name in rnnlm.__all__ if inspect.isfunction(getattr(rnnlm, name))
}


class Odd:
    """Nothing that any function takes."""


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


def example(hint, model):
    """Something of the type of an annotation."""
    kind, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return arguments[0]
    if arguments and not (isinstance(kind, type) and issubclass(kind, Iterable)):  # of a union
        return example(arguments[0], model)
    if getattr(kind, "__name__", "") in ("LanguageModel", "LabelModel"):
        return model
    if dataclasses.is_dataclass(kind):
        hints = hints_of(kind)
        return kind(*(example(hints[field.name], model) for field in dataclasses.fields(kind)))
    if kind in (str, int, float, bool, Path):
        return kind("1")
    if kind is np.ndarray:
        return np.zeros((1, 1), dtype=np.float32)
    return {} if isinstance(kind, type) and issubclass(kind, Mapping) else ()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_type_error_names_argument_expected_and_given(name, folder):
    function, model = FUNCTIONS[name], rnnlm.load(folder / "trigrams")
    hints = hints_of(function)
    parameters = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind is not each.VAR_KEYWORD
    ]
    needed = {
        each.name: example(hints[each.name], model)
        for each in parameters
        if each.default is each.empty
    }
    for parameter in [each.name for each in parameters if hints[each.name] is not typing.Any]:
        with pytest.raises(TypeError) as raised:
            function(**needed | {parameter: Odd()})
        assert isinstance(raised.value, rnnlm.RnnlmError)
        assert re.fullmatch(rf"{name}: {parameter} must be .+, not an Odd", str(raised.value))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda model: rnnlm.score_sentences(model, [None]),
         "score_sentences: sentences[0] must be a str, not None"),
        (lambda model: rnnlm.score_sentences(model, iter(["a", 3.0])),
         "score_sentences: sentences[1] must be a str, not a float"),
        (lambda model: rnnlm.score_sentences(model, ["a", b"b"]),
         "sentences[1] must be a str, not a bytes; decode the bytes first"),
        (lambda model: rnnlm.score_sentences(model, "one"),
         "sentences must be a list of str, not a str; put it in a list"),
        (lambda model: rnnlm.score_sentences(model, {"one": 1}),
         "sentences must be a list of str, not a dict"),
        (lambda model: rnnlm.score_sentences(model, Frame()),
         "sentences must be a list of str, not a Frame"),
        (lambda model: rnnlm.score_sentences(model, ["a"], given=[None]),
         "given[0] must be a str, not None"),
        (lambda model: next(rnnlm.score_chunks(model, iter(["a"]))),
         "sentences[0] must be a Sentence, not a str"),
        (lambda model: rnnlm.evaluate([model], "x"),
         "evaluate: model must be a language model or its name, not a list"),
        (lambda model: rnnlm.evaluate(rnnlm.LanguageModel, "x"),
         "model must be a language model or its name, not the class LanguageModel"),
        (lambda model: rnnlm.evaluate(model, [3]),
         "evaluate: text[0] must be a name or path, not an int"),
        (lambda model: rnnlm.evaluate(model, "x", context=3),
         "context must be one of 'carry', 'reset' or None, not an int"),
        (lambda model: rnnlm.load(model), "load: name must be a name or path, not a NgramModel"),
        (lambda model: rnnlm.load(None), "load: name must be a name or path, not None"),
        (lambda model: rnnlm.generate(model, ban="the"),
         "ban must be a list of str, not a str; put it in a list"),
        (lambda model: rnnlm.generate(model, settings=rnnlm.SamplingSettings(top_k="3")),
         "settings.top_k must be an int or None, not a"),
        (lambda model: rnnlm.generate(model, settings=rnnlm.BeamSettings()),
         "settings must be a SamplingSettings, not a BeamSettings"),
        (lambda model: rnnlm.adapt(model, "unigram", rnnlm.BeamSettings()),
         "adapt: settings must be a UnigramCacheSettings, not a Beam"),
        (lambda model: rnnlm.compare([model, 3], "x"),
         "compare: models[1] must be a language model or its name, not an int"),
        (lambda model: rnnlm.rescore([], {"a": 3}, {}),
         "rescore: models['a'] must be a language model or its name, not an int"),
        (lambda model: rnnlm.tune_weights([], model),
         "must be a dict of language models or their names or a list of names or paths, not"),
        (lambda model: rnnlm.mix("demo"),
         "mix: names must be a list of language models or their names, not a str; put it in"),
        (lambda model: rnnlm.mix(["a", "b"], weights=["1", "2"]),
         "mix: weights[0] must be a number, not a str"),
        (lambda model: rnnlm.scorer(model).extend(None, "a"),
         "the state must be a WordPrefix, not None; begin with begin()"),
        (lambda model: (scorer := rnnlm.scorer(model)).extend(scorer.begin(), 3),
         "the word must be a str, not an int"),
        (lambda model: rnnlm.pair_accuracies([3]),
         "pair_accuracies: scores[0] must be a Judged, not an int"),
    ],
)  # fmt: skip
def test_message_names_the_wrong_part_of_an_argument(call, message, folder):
    with pytest.raises(TypeError) as raised:
        call(rnnlm.load(folder / "trigrams"))
    assert message in str(raised.value)


def test_pythons_own_errors_keep_their_wording():
    with pytest.raises(
        TypeError, match=r"score_sentences\(\) missing 1 required positional argument: 'sentences'"
    ):
        rnnlm.score_sentences("demo")


def test_values_equivalent_to_the_annotation_are_accepted():
    def function(
        count: int, share: float, place: Path, several: typing.Sequence[str], is_so: bool = False
    ) -> tuple:
        return count, share, place, several, is_so

    taken = checked(function, "function")(
        np.int64(3), np.float32(0.5), Path("x"), (str(n) for n in range(2)), is_so=np.bool_(True)
    )
    assert taken == (3, 0.5, Path("x"), ["0", "1"], True)


def test_notice_points_to_the_calling_line(folder):
    pair = rnnlm.Pair("end", "the cat sat", "the cat saw")
    with pytest.warns(rnnlm.RnnlmWarning, match="nothing follows the part that differs") as told:
        rnnlm.score_pairs(folder / "trigrams", [pair], scoring="partial")
    with pytest.warns(rnnlm.RnnlmWarning, match="default settings") as told_deeper:
        rnnlm.load(f"{folder / 'trigrams'}+unigram")
    assert [each.filename for each in (*told, *told_deeper)] == [__file__] * 2


def test_annotations_only_for_type_checkers_are_not_checked():
    def function(count: int, figure: "Figure | None" = None) -> "Figure | None":  # noqa: F821
        return figure

    assert checked(function, "function")(1, figure="anything") == "anything"
    with pytest.raises(TypeError, match="function: count must be an int, not a str"):
        checked(function, "function")("1")


def test_any_union_order_accepts_another_tasks_model():
    class Tagger:
        task = "tagging"

    for hint in (
        rnnlm.LanguageModel | LabelModel | str,
        LabelModel | rnnlm.LanguageModel | str,
        rnnlm.LanguageModel | str,  # the function says what it is, and what takes it
    ):
        arguments._alternatives.cache_clear()
        assert arguments._mismatch(Tagger(), hint, "model") is None


def test_public_functions_can_be_pickled():
    assert [
        name
        for name, function in FUNCTIONS.items()
        if pickle.loads(pickle.dumps(function)) is not function
    ] == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: rnnlm.evaluate(model, "text.txt").signature,
        lambda model: rnnlm.evaluate(model, [Path("text.txt")]).ppl_token,
        lambda model: rnnlm.score_sentences(model, ["the cat sat"]),
        lambda model: [list(chunk) for chunk in rnnlm.score_chunks(model,
            [rnnlm.Sentence("a cat", 1)])],
        lambda model: rnnlm.score_pairs(model, [rnnlm.Pair("order", "the cat sat", "cat the sat")]),
        lambda model: list(rnnlm.generate(model, num=2)),
        lambda model: (scorer := rnnlm.scorer(model)).next(scorer.extend(scorer.begin(), "the")[1],
                                                           3),
        lambda model: rnnlm.likeliest(model, num=2,
                                      settings=rnnlm.BeamSettings(beam=2, max_tokens=4)),
        lambda model: rnnlm.next_words(model, "the "),
        lambda model: rnnlm.evaluate(rnnlm.adapt(model, "unigram"), "text.txt").ppl_token,
        lambda model: rnnlm.export_arpa(model, "out.arpa",
                                        overwrite=True) or Path("out.arpa").read_bytes(),
        lambda model: rnnlm.tune_weights([utterance()], {"trigrams": model}),
        lambda model: rnnlm.rescore([utterance()], {"trigrams": model},
                                    rnnlm.tune_weights([utterance()], ["trigrams"])),
    ],
)  # fmt: skip
def test_model_name_or_path_works_like_the_model(ask, folder, monkeypatch):
    monkeypatch.chdir(folder)
    itself = ask(rnnlm.load("trigrams"))
    assert ask("trigrams") == itself == ask(folder / "trigrams")


def utterance():
    return rnnlm.Utterance(
        "one",
        (rnnlm.Hypothesis("cat the sat", -1.0), rnnlm.Hypothesis("the cat sat", -1.5)),
        "the cat sat",
    )


def test_functions_taking_a_model_accept_its_name():
    taken = [
        (name, hint)
        for name, function in FUNCTIONS.items()
        for each, hint in hints_of(function).items()
        if each != "return"
    ]
    or_its_name = re.compile(
        r"LanguageModel( \| [\w.]+\.(LabelModel|WordVectors))* \| str \| pathlib.Path"
    )
    without = [
        name
        for name, hint in taken
        if "interface.LanguageModel" in str(hint) and not or_its_name.search(str(hint))
    ]
    assert without == [] and sum("LanguageModel" in str(hint) for _, hint in taken) >= 18


def test_loaded_model_stands_for_its_folder_where_needed(folder, monkeypatch):
    monkeypatch.chdir(folder)
    model = rnnlm.load("trigrams")
    assert [*rnnlm.audit(model)] == [*rnnlm.audit("trigrams")]
    mixed = rnnlm.mix([model, "trigrams"], "text.txt", "mixed")
    assert [part.name for part in mixed.parts] == [str(folder / "trigrams"), "trigrams"]
    with pytest.raises(
        rnnlm.RnnlmError,
        match="this model has no folder; it was made in memory, or adapts another one",
    ):
        next(rnnlm.tune(rnnlm.adapt(model, "unigram"), "unigram", "text.txt"))


def test_named_model_may_carry_an_adaptation(folder, monkeypatch):
    monkeypatch.chdir(folder)
    *_, tuned = rnnlm.tune("trigrams", "unigram", "text.txt")
    assert rnnlm.evaluate("trigrams+unigram", "text.txt").ppl_token == pytest.approx(
        tuned.ppl_after
    )


def test_bundled_corpus_model_defaults_to_the_test_part(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(rnnlm.RnnlmError, match="no text to evaluate on; name one"):
        rnnlm.evaluate(folder / "trigrams")
    from rnnlm import corpora

    save(tmp_path / "bundled", fit("ngram", order=3), "ngram", order=3)
    config = tmp_path / "bundled" / "config.json"
    config.write_text(
        config.read_text().replace(
            '"training": {}', '"training": {"text": ["bundled corpus english"]}'
        )
    )
    test = corpora.part("english", "test")
    assert rnnlm.evaluate("bundled").signature == rnnlm.evaluate("bundled", test).signature
    with pytest.raises(rnnlm.RnnlmError, match="no text to evaluate on"):
        rnnlm.evaluate(rnnlm.load("bundled"))
