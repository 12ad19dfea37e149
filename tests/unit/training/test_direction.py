"""Models that read each line from its end: equal, to the last digit, to models of a text whose
lines are turned round by hand."""

import json
import warnings

import numpy as np
import pytest

import rnnlm
from rnnlm.combinations.mixture import Mixture
from rnnlm.errors import RnnlmWarning, SettingsError, UsageError
from rnnlm.evaluation.comparison.comparison import compare
from rnnlm.evaluation.comparison.tables import units_of
from rnnlm.evaluation.perplexity import evaluate
from rnnlm.inference.span_scoring import score_spans, whole_text
from rnnlm.models import loading, model_folder
from rnnlm.models.info import summary
from rnnlm.ngram.arpa.writing import export_arpa, import_arpa
from rnnlm.runs import train
from rnnlm.tasks.labels.texts import TaskTokenizerSettings
from rnnlm.text.lines import TextSettings
from support.killed_runs import cut_off_after
from support.tiny_models import Lines

LINES = [
    "the cat sat on the mat", "", "a dog saw the cat", "the dog sat",
    "it is hard to recognize speech", "", "the <unk> sat on a cat", "go",
    "speech is hard to recognize", "a dog sat on the mat", "", "a cat saw it",
    "the dog saw the dog", "it sat", "hard speech",
]  # fmt: skip
TEST = ["the zebra sat on the mat", "it is hard", "", "go", "a dog saw speech"]
NETWORK = {"model": "lstm", "hidden_size": 8, "embedding_size": 8, "batch_rows": 2,
           "bptt_tokens": 4, "budget": "8steps",
           "precision": "fp32", "device": "cpu", "threads": 1, "save_every": "3steps",
           "dropout_output": 0.2}  # fmt: skip
NGRAM = {"model": "ngram", "order": 3}
FIGURES = (
    "tokens",
    "words",
    "oov_words",
    "characters",
    "logprob_nats",
    "ppl_token",
    "ppl_word_no_oov",
    "bits_per_byte",
)


def turned(lines):
    return [" ".join(line.split()[::-1]) for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write texts, and train a model of each kind that reads from the end (NAME), and one of turned
    lines (NAME.turned)."""
    folder = tmp_path_factory.mktemp("direction")
    for name, lines in {"train": LINES, "test": TEST}.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{name}.turned").write_text("\n".join(turned(lines)) + "\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        for name, settings in {"ngram": NGRAM, "lstm": NETWORK}.items():
            for text, also in (("train", {"reversed": True}), ("train.turned", {})):
                make(folder, name + text.removeprefix("train"), text, **settings, **also)
        make(folder, "forward", "train", **NGRAM)
    return folder


pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")


def make(folder, name, text, **settings):
    return list(
        train(
            folder / text,
            valid=folder / text,
            output=folder / name,
            blank_lines="documents",
            **settings,
        )
    )


@pytest.mark.parametrize("name", ["ngram", "lstm"])
def test_a_model_equals_one_of_hand_reversed_lines(folder, name):
    model, other = (loading.load(str(folder / each), "cpu") for each in (name, f"{name}.turned"))
    arrays, others = model.to_arrays(), other.to_arrays()
    assert arrays.keys() == others.keys() and all(
        np.array_equal(arrays[each], others[each]) for each in arrays
    )
    for context in ("carry", "reset"):
        for blank_lines in ("skip", "documents", "keep"):
            settings = TextSettings(blank_lines=blank_lines)
            one, two = (
                evaluate(each, folder / text, context=context, text_settings=settings)
                for each, text in ((model, "test"), (other, "test.turned"))
            )
            assert [getattr(one, figure) for figure in FIGURES] == [
                getattr(two, figure) for figure in FIGURES
            ]
            assert (
                one.signature.endswith(f"|model:{model.fingerprint}|dir:reversed")
                and "dir:" not in two.signature
            )
            # the vocabulary is the same
            assert one.signature.split("|")[2] == two.signature.split("|")[2]
    assert model.fingerprint != other.fingerprint


def test_models_store_their_direction(folder):
    for name in ("ngram", "lstm"):
        stored = json.loads((folder / name / "config.json").read_text())
        assert stored["settings"]["reversed"] is stored["tokenizer"]["reversed"] is True
        turned = json.loads((folder / f"{name}.turned" / "config.json").read_text())
        assert turned["settings"]["reversed"] is turned["tokenizer"]["reversed"] is False
    told = summary(str(folder / "ngram"))
    assert ("direction", "reads each line from its end") in told and not any(
        "generate" in text for _, text in told
    )


def test_an_interrupted_run_keeps_its_direction(folder, tmp_path):
    run = {
        "valid": folder / "train",
        "blank_lines": "documents",
        "output": tmp_path / "m",
        "reversed": True,
        **NETWORK,
    }
    events = train(folder / "train", **run)
    cut_off_after(events, step=6)
    with pytest.raises(UsageError, match="reversed"):
        list(train(folder / "train", **{**run, "reversed": False, "resume": True}))
    list(train(folder / "train", output=tmp_path / "m", valid=folder / "train", resume=True))
    assert (
        model_folder.read_manifest(tmp_path / "m").fingerprint
        == model_folder.read_manifest(folder / "lstm").fingerprint
    )


def test_a_text_is_prepared_in_its_reading_direction(folder, tmp_path):
    for name, also in {"backward": {"reversed": True}, "forward": {}}.items():
        list(
            rnnlm.prepare(
                folder / "train", output=tmp_path / name, blank_lines="documents", workers=0, **also
            )
        )
    list(train(tmp_path / "backward", valid=folder / "train", output=tmp_path / "m", **NGRAM))
    assert (
        model_folder.read_manifest(tmp_path / "m").fingerprint
        == model_folder.read_manifest(folder / "ngram").fingerprint
    )
    with pytest.raises(
        UsageError, match="from the first to the last.*reversed = true was asked for"
    ):
        list(train(tmp_path / "forward", output=tmp_path / "n", reversed=True, **NGRAM))
    with pytest.raises(UsageError, match="another direction.*stored from their beginning"):
        evaluate(folder / "ngram", tmp_path / "forward")


def test_directions_may_share_a_vocabulary_but_not_weights(folder, tmp_path):
    taken = {
        "valid": folder / "train",
        "tokenizer_from": str(folder / "forward"),
        "blank_lines": "documents",
    }
    list(train(folder / "train", output=tmp_path / "m", reversed=True, **taken, **NGRAM))
    assert (
        model_folder.read_manifest(tmp_path / "m").fingerprint
        == model_folder.read_manifest(folder / "ngram").fingerprint
    )
    with pytest.raises(UsageError, match="it reads lines from their beginning: `reversed=False`"):
        begun = {
            "init_from": str(folder / "lstm.turned"),
            "tokenizer_from": str(folder / "lstm.turned"),
        }
        list(train(folder / "train", output=tmp_path / "n", reversed=True, **begun, **NETWORK))


def test_models_of_both_directions_compare_token_by_token(folder):
    found = compare([str(folder / "ngram"), str(folder / "forward")], folder / "test")
    assert found.figure == "ppl_token" and not found.refused and found.unit == "token"
    assert [each.evaluation.signature.endswith("|dir:reversed") for each in found.models] == [
        True,
        False,
    ]
    models = [loading.load(str(folder / name), "cpu") for name in ("ngram", "forward")]
    encoded = [Lines(TEST).encode(model.tokenizer) for model in models]
    scores = [
        score_spans(model, its.ids, whole_text(its.ids))
        for model, its in zip(models, encoded, strict=True)
    ]
    units = units_of(Lines(TEST), [model.tokenizer for model in models], encoded, scores)
    assert units.ids_U.tolist() == encoded[1].ids.tolist() and units.is_unknown_U.nonzero()[
        0
    ].tolist() == encoded[1].oov.tolist() == [1]
    shown = rnnlm.Model(models[0]).score_sentences(TEST, with_tokens=True)
    bits = [token.surprisal_bits for score in shown for token in score.token_scores]
    assert (units.logprob_KU[0] / -np.log(2)).tolist() == pytest.approx(bits)


def test_only_mixtures_of_both_directions_are_refused(folder):
    with pytest.raises(UsageError, match="reads each line from its beginning, .* from its end"):
        Mixture(
            [loading.load(str(folder / name), "cpu") for name in ("ngram", "forward")], [0.5, 0.5]
        )
    mixed = Mixture(
        [loading.load(str(folder / name), "cpu") for name in ("ngram", "lstm")], [0.5, 0.5]
    )
    turned = Mixture(
        [loading.load(str(folder / f"{name}.turned"), "cpu") for name in ("ngram", "lstm")],
        [0.5, 0.5],
    )
    assert (
        evaluate(mixed, folder / "test").logprob_nats
        == evaluate(turned, folder / "test.turned").logprob_nats
    )


def test_an_arpa_file_keeps_its_tokenizers_direction(folder, tmp_path):
    with pytest.warns(RnnlmWarning, match="from the last to the first"):
        export_arpa(folder / "ngram", tmp_path / "m.arpa")
    again = import_arpa(tmp_path / "m.arpa", tmp_path / "m", tokenizer_from=folder / "ngram")
    assert evaluate(again, folder / "test").logprob_nats == pytest.approx(
        evaluate(folder / "ngram", folder / "test").logprob_nats, rel=1e-6
    )


def test_taggers_and_classifiers_cannot_be_reversed():
    with pytest.raises(SettingsError, match="a setting of language models"):
        TaskTokenizerSettings(reversed=True)
