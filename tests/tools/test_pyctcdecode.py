import logging
import math
import subprocess
import sys

import numpy as np
import pytest

from rnnlm.errors import ModelError, RnnlmWarning, SettingsError, UsageError
from rnnlm.lm.ngram.arpa import writing
from support.arpa_files import SMALL
from support.tiny_models import LINES, fit, save

pyctcdecode = pytest.importorskip(
    "pyctcdecode", reason="pyctcdecode is not installed; it asks for numpy < 2: see the README"
)
pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")

from rnnlm.tools.pyctcdecode import LanguageModel  # noqa: E402

LABELS = ["", " ", *"abcdefghijklmnopqrstuvwxyz"]
WORDS = sorted({word for line in LINES for word in line.split() if word.isalpha()})


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def arpa(tmp_path_factory):
    path = tmp_path_factory.mktemp("arpa") / "model.arpa"
    writing.export_arpa(fit("ngram", order=3), path)
    return path


def decoder_of(language_model):
    alphabet = pyctcdecode.Alphabet.build_alphabet(LABELS)
    return pyctcdecode.BeamSearchDecoderCTC(alphabet, language_model)


def log_probs(text, noise, seed=0):
    """Return log-probabilities (frames, labels) that an acoustic model could give for `text`."""
    spoken = [LABELS.index(label) for letter in text for label in (letter, "")]
    logits = np.random.default_rng(seed).normal(0, noise, (len(spoken), len(LABELS)))
    logits[np.arange(len(spoken)), spoken] += 4
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def beams(language_model, text, noise, seed=0, **options):
    frames = log_probs(text, noise, seed)
    return decoder_of(language_model).decode_beams(frames, beam_width=30, **options)


@pytest.mark.parametrize("score_boundary", [True, False])
def test_arpa_file_gives_the_same_beams_as_kenlm(arpa, score_boundary):
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed; it is compiled from PyPI")
    settings = {"alpha": 0.7, "beta": 1.1, "unk_score_offset": -7.0}
    settings["score_boundary"] = score_boundary
    theirs = pyctcdecode.LanguageModel(kenlm.Model(str(arpa)), WORDS, **settings)
    ours = LanguageModel(arpa, WORDS, **settings)
    spoken = [("the cat sat on the mat", 0.5), ("a dog saw the cat ", 1.5), ("zebra sat", 1)]
    for seed, (text, noise) in enumerate([*spoken, ("speech", 2.5)]):
        expected = beams(theirs, text, noise, seed)
        found = beams(ours, text, noise, seed)
        assert [beam[0] for beam in found] == [beam[0] for beam in expected]
        for one, other in zip(found, expected, strict=True):
            assert one[-2:] == pytest.approx(other[-2:], abs=1e-4)


@pytest.mark.parametrize(("name", "settings"), [
    ("lstm", {}), ("ngram", {"tokenizer": "char"}), ("gru", {"tokenizer": "byte"}),
])  # fmt: skip
def test_beam_scores_like_its_text_under_any_model(name, settings):
    model = LanguageModel(fit(name, **settings), alpha=1.0, beta=0.0, unk_score_offset=0.0)
    for text, *_, logit_score, score in beams(model, "the cat sat", 1.0)[:5]:
        expected = model.model.score(text) * math.log(10)
        assert score - logit_score == pytest.approx(expected, abs=1e-3)


def test_the_model_decides_where_the_sounds_do_not():
    """b and c sound alike here; the n-gram knows what sat."""
    frames = log_probs("the cat sat", 0.0) * 3
    frames[8, LABELS.index("b")] = frames[8, LABELS.index("c")]
    assert decoder_of(LanguageModel(fit("ngram", order=3))).decode(frames) == "the cat sat"


def test_network_is_asked_once_per_beam_position():
    model = fit("lstm")
    asked, predict = [], model.predict
    model.predict = lambda *given: asked.append(1) or predict(*given)
    door = LanguageModel(model)
    beams(door, "the cat sat on the mat", 1.5)
    assert len(asked) == len(door.model._steps._kept)


def test_partial_words_are_penalised_if_no_word_fits(arpa):
    door = LanguageModel(arpa, unk_score_offset=-10.0)
    for part, penalty in {"sp": 0, "speech": 0, "spe": 0, "xy": -10, "x" * 12: -20}.items():
        assert door.score_partial_token(part) == penalty
    assert LanguageModel(fit("lstm", tokenizer="char")).score_partial_token("xy") == 0


def test_unknown_words_cost_the_offset(arpa):
    door = LanguageModel(arpa, ["cat"], alpha=1.0, beta=0.5, unk_score_offset=-3.0)
    start, score = door.get_start_state(), door.model.score
    dog, cat = score("dog", eos=False) - 3, score("cat", eos=False)
    assert door.score(start, "dog")[0] == pytest.approx(dog * math.log(10) + 0.5)
    assert door.score(start, "cat")[0] == pytest.approx(cat * math.log(10) + 0.5)
    with_end, state = door.score(start, "cat", is_last_word=True)
    assert with_end == pytest.approx(score("cat") * math.log(10) + 0.5)
    assert state == door.score(start, "cat")[1]


def test_parameters_can_be_reset_and_must_be_numbers(arpa):
    door = LanguageModel(arpa)
    decoder_of(door).reset_params(alpha=0.25, lm_score_boundary=False)
    assert (door.alpha, door.beta, door.score_boundary) == (0.25, 1.5, False)
    with pytest.raises(SettingsError, match="alpha"):
        door.reset_params(alpha="much")


def test_networks_without_boundaries_say_what_they_do():
    with pytest.warns(RnnlmWarning, match="start of a line"):
        LanguageModel(fit("lstm"), score_boundary=False).get_start_state()


def test_n_gram_model_is_saved_in_pyctcdecode_format(arpa, tmp_path):
    pytest.importorskip("kenlm", reason="kenlm is not installed; it is compiled from PyPI")
    door = LanguageModel(arpa, alpha=0.3)
    door.save_to_dir(str(tmp_path))
    expected = [beam[0] for beam in beams(door, "the cat sat", 1.0)]
    for package in (LanguageModel, pyctcdecode.LanguageModel):
        again = package.load_from_dir(str(tmp_path))
        assert (again.alpha, again.beta) == (0.3, 1.5)
        assert [beam[0] for beam in beams(again, "the cat sat", 1.0)] == expected
    with pytest.raises(UsageError, match="n-grams"):
        LanguageModel(fit("lstm")).save_to_dir(str(tmp_path))


def test_damaged_folders_are_an_error(tmp_path):
    with pytest.raises(ModelError, match="no language model at"):
        LanguageModel.load_from_dir(str(tmp_path / "nothing"))
    (tmp_path / "attrs.json").write_text("{")
    (tmp_path / "unigrams.txt").write_text("a\n")
    (tmp_path / "model.arpa").write_text(SMALL)
    with pytest.raises(ModelError, match="no language model at"):
        LanguageModel.load_from_dir(str(tmp_path))


def test_a_model_is_given_by_name(here):
    save(here / "checkpoints" / "mine", fit("gru"), "gru")
    assert LanguageModel("mine").model.score("the cat") < 0


def test_importing_the_library_imports_no_decoder():
    code = (
        "import sys, rnnlm, rnnlm.tools.kenlm; print(*{'torch', 'pyctcdecode', 'kenlm', "
        "'lm_eval'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.stdout.split(), ended.returncode) == ([], 0)
