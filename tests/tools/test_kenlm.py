import copy
import functools
import gzip
import itertools
import math
import pickle
import random
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

import rnnlm
import rnnlm.tools.kenlm as ours
from rnnlm.errors import ModelError, RnnlmWarning, TextError, UsageError
from rnnlm.lm.ngram.arpa import writing
from rnnlm.tools.mixtures.adaptation import adapt
from support.arpa_files import GOLDEN, SMALL, random_arpa
from support.tiny_models import LINES, fit, save

pytestmark = pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
NOT_HERE = "kenlm is not installed; it is compiled from PyPI"


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.arpa").write_text(SMALL)
    return ours.Model(str(tmp_path / "small.arpa"))


@pytest.fixture(scope="module")
def arpas(tmp_path_factory):
    """Write ARPA files of lmplz, ours and random ones, all with `<unk>`, as KenLM needs."""
    folder = tmp_path_factory.mktemp("arpas")
    paths = [GOLDEN / "g6-order2.arpa", GOLDEN / "g5-tiny-order3-fallback.arpa"]
    for name in ("g1-order5", "g3-order4-prune"):
        paths.append(folder / f"{name}.arpa")
        paths[-1].write_bytes(gzip.decompress((GOLDEN / f"{name}.arpa.gz").read_bytes()))
    writing.export_arpa(fit("ngram", order=4), folder / "ours.arpa")
    for seed in (0, 2, 4):
        paths.append(folder / f"random{seed}.arpa")
        paths[-1].write_text(random_arpa(seed, 2 + seed // 2, 0))
    return [*paths, folder / "ours.arpa"]


@pytest.fixture(scope="module")
def both(arpas):
    """Return (KenLM's model, ours) of each file."""
    theirs = pytest.importorskip("kenlm", reason=NOT_HERE)

    def quiet(package):
        config = package.Config()
        config.arpa_complain, config.show_progress = package.ARPALoadComplain.NONE, False
        return config

    return [
        (theirs.Model(str(path), quiet(theirs)), ours.Model(str(path), quiet(ours)))
        for path in arpas
    ]


def vocabulary(model):
    """Return the model's words, with some frequent ones repeated, unknown ones, and the end."""
    words = [word for word in model.model.tokenizer.symbols() if word not in ("</s>", "<unk>")]
    return [*words, *words[:8] * 40, "unheard", "<unk>", "", "two words"]


def sentences(model, seed, count):
    chance = random.Random(seed)
    words = [word for word in vocabulary(model) if word and " " not in word]
    return ["", *(" ".join(chance.choices(words, k=chance.randint(1, 12))) for _ in range(count))]


class TestByHand:
    def test_scores_are_log10_of_sentence_and_end(self, small):
        assert small.score("a b") == pytest.approx(-0.95, abs=1e-6)
        assert small.score("z") == pytest.approx(-0.5 - 1 - 0.7, abs=1e-6)
        assert small.score("a b", bos=False, eos=False) == pytest.approx(-0.7, abs=1e-6)
        assert small.score("a b </s>", eos=False) == small.score("a b") == small.score(b" a\tb\n")
        assert small.perplexity("a b") == pytest.approx(10 ** (0.95 / 3), abs=1e-5)

    def test_full_scores_tell_length_and_unknown_words(self, small):
        assert list(small.full_scores("a z")) == [
            (pytest.approx(-0.2), 2, False), (pytest.approx(0.05 - 0.3 - 1), 1, True),
            (pytest.approx(-0.7), 1, False)
        ]  # fmt: skip

    def test_states_go_from_word_to_word(self, small):
        state, after = ours.State(), ours.State()
        small.BeginSentenceWrite(state)
        assert small.BaseScore(state, "a", after) == pytest.approx(-0.2)
        told = small.BaseFullScore(after, "b", state)
        assert (told.log_prob, told.ngram_length, told.oov) == (pytest.approx(-0.05), 3, False)
        small.NullContextWrite(state)
        assert small.BaseScore(state, "a", state) == pytest.approx(-0.6)
        assert small.BaseScore(state, "b", state) == pytest.approx(-0.1)

    def test_words_of_the_model(self, small):
        known = [word for word in ("a", "z", "<unk>", "</s>", "<s>", b"b") if word in small]
        assert known == ["a", "</s>", "<s>", b"b"]
        assert small.order == 3 and small.path.endswith(b"/small.arpa")


def rounded(scores):
    return [(pytest.approx(p, abs=1e-5), length, oov) for p, length, oov in scores]


class TestBesideKenlm:
    def test_scores_agree(self, both):
        for theirs, mine in both:
            assert (mine.order, mine.path) == (theirs.order, theirs.path)
            both_ways = (True, False)
            for sentence, bos, eos in itertools.product(
                sentences(mine, 2, 30), both_ways, both_ways
            ):
                expected = rounded(theirs.full_scores(sentence, bos, eos))
                assert list(mine.full_scores(sentence, bos, eos)) == expected
                total = theirs.score(sentence, bos, eos)
                tolerance = 1e-5 * (len(sentence.split()) + 1)
                assert mine.score(sentence, bos, eos) == pytest.approx(total, abs=tolerance)
                perplexity = theirs.perplexity(sentence)
                assert mine.perplexity(sentence) == pytest.approx(perplexity, rel=1e-4)

    def test_states_agree_in_continuations_and_equality(self, both):
        kenlm = pytest.importorskip("kenlm", reason=NOT_HERE)
        for (theirs, mine), seed in zip(both, itertools.count()):
            chance, words = random.Random(seed), vocabulary(mine)
            pairs = []
            for number in range(80):
                one, other = kenlm.State(), ours.State()
                for model, state in ((theirs, one), (mine, other)):
                    (model.BeginSentenceWrite if number % 2 else model.NullContextWrite)(state)
                for word in chance.choices([*words[-60:], "</s>"], k=chance.randint(0, 5)):
                    one_after, other_after = kenlm.State(), ours.State()
                    told = mine.BaseFullScore(other, word, other_after)
                    expected = theirs.BaseFullScore(one, word, one_after)
                    assert told.log_prob == pytest.approx(expected.log_prob, abs=1e-5)
                    assert (told.ngram_length, told.oov) == (expected.ngram_length, expected.oov)
                    one, other = one_after, other_after
                pairs.append((one, other))
            for (one, mine_one), (other, mine_other) in itertools.combinations(pairs, 2):
                assert (one == other) == (mine_one == mine_other)
                if mine_one == mine_other:
                    assert hash(mine_one) == hash(mine_other)

    def test_membership_agrees(self, both):
        for theirs, mine in both:
            for word in (*vocabulary(mine), "<s>", "</s>"):
                assert (word in mine) == (word in theirs), word

    @given(
        st.lists(
            st.sampled_from("w0 w1 w2 w3 w8 unheard \u00e9 a\u00a0b </s>".split(" ")), max_size=9
        ),
        st.booleans(),
    )
    def test_any_sentence_agrees(self, words, bos):
        theirs, mine = _random_models()
        sentence = " ".join(words)
        assert list(mine.full_scores(sentence, bos)) == rounded(theirs.full_scores(sentence, bos))

    def test_the_names_are_the_same(self):
        theirs = pytest.importorskip("kenlm", reason=NOT_HERE)
        for name in ("Model", "State", "Config", "FullScoreReturn"):
            public = {each for each in dir(getattr(theirs, name)) if not each.startswith("_")}
            own = ours.Config() if name == "Config" else getattr(ours, name)
            assert public - set(dir(own)) <= {"path"}
        assert {name for name in dir(theirs) if name[0].isupper()} <= set(dir(ours))


@functools.cache
def _random_models():
    """Return a random file without `<unk>`, opened by KenLM and by us."""
    theirs = pytest.importorskip("kenlm", reason=NOT_HERE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.arpa"
        path.write_text(random_arpa(7, 4, 0))
        config = theirs.Config()
        config.arpa_complain, config.show_progress = theirs.ARPALoadComplain.NONE, False
        return theirs.Model(str(path), config), ours.Model(path)


class TestStates:
    def test_are_values(self, small):
        state = ours.State()
        small.BeginSentenceWrite(state)
        copied, deep = copy.copy(state), copy.deepcopy(state)
        small.BaseScore(state, "a", state)
        assert copied == deep != state and hash(copied) == hash(deep)
        assert {copied: 1}[deep] == 1
        assert min([state, copied]) == copied and (state > copied) != (state <= copied)

    def test_unwritten_or_foreign_states_are_errors(self, small, tmp_path):
        (tmp_path / "other.arpa").write_text(SMALL)
        other, state = ours.Model(tmp_path / "other.arpa"), ours.State()
        with pytest.raises(UsageError, match="it was written by no model"):
            small.BaseScore(ours.State(), "a", state)
        other.BeginSentenceWrite(state)
        with pytest.raises(UsageError, match="another model"):
            small.BaseScore(state, "a", state)


@pytest.mark.parametrize(("name", "settings"), [
    ("unigram", {}), ("ngram", {}), ("lstm", {}), ("ngram", {"tokenizer": "char"}),
    ("lstm", {"tokenizer": "byte"}),
                          ("gru", {"lowercase": True, "split_punctuation": True}),
])  # fmt: skip
def test_any_model_answers_as_score_sentences_does(name, settings):
    model = fit(name, **settings)
    door = ours.Model.of(model)
    for text in (*LINES, "", "the zebra sat", "speech"):
        expected = rnnlm.Model(model).score_sentences([text])[0].logprob_nats / math.log(10)
        assert door.score(text) == pytest.approx(expected, abs=1e-5)
        assert sum(p for p, _, _ in door.full_scores(text)) == pytest.approx(expected, abs=1e-5)
        state, total = ours.State(), 0.0
        door.BeginSentenceWrite(state)
        for word in [*text.split(), "</s>"]:
            total += door.BaseScore(state, word, state)
        assert total == pytest.approx(expected, abs=1e-5)


def test_adaptive_models_adapt_within_the_sentence():
    adapted = adapt(fit("lstm"), "unigram")
    door = ours.Model.of(adapted)
    for text in ("cat cat cat", "the cat", "cat cat cat"):
        expected = rnnlm.Model(adapted).score_sentences([text])[0].logprob_nats / math.log(10)
        assert door.score(text) == pytest.approx(expected, abs=1e-5)
        state = ours.State()
        door.BeginSentenceWrite(state)
        found = sum(door.BaseScore(state, word, state) for word in [*text.split(), "</s>"])
        assert found == pytest.approx(expected, abs=1e-5)


def test_networks_say_that_they_know_no_empty_context():
    model = ours.Model.of(fit("lstm"))
    with pytest.warns(RnnlmWarning, match="start of a line"):
        assert model.score("the cat", bos=False) == pytest.approx(model.score("the cat"))
    assert [length for _, length, _ in model.full_scores("the cat")] == [2, 3, 4]


def test_rnnlm_model_is_opened_and_pickled_by_folder(tmp_path):
    save(tmp_path / "lstm", fit("lstm"), "lstm")
    model = ours.LanguageModel(str(tmp_path / "lstm"))
    assert model.path == bytes(tmp_path / "lstm")
    again = pickle.loads(pickle.dumps(model))
    assert again.score("the cat sat") == model.score("the cat sat")
    assert isinstance(again, ours.LanguageModel)
    with pytest.raises(UsageError, match="pickled"):
        pickle.dumps(ours.Model.of(fit("unigram")))


def test_config_silences_arpa_loading_messages(tmp_path):
    (tmp_path / "m.arpa").write_text(SMALL.replace("-1\t<unk>\n", "").replace("1=5", "1=4"))
    config = ours.Config()
    config.arpa_complain, config.show_progress = ours.ARPALoadComplain.NONE, False
    config.load_method = ours.LoadMethod.LAZY
    with warnings.catch_warnings(action="error"):
        ours.Model(tmp_path / "m.arpa", config)
    with pytest.warns(RnnlmWarning, match="<unk>"):
        ours.Model(tmp_path / "m.arpa")


def test_a_zero_probability_is_minus_infinity():
    model = ours.Model.of(fit("ngram", smoothing="mle", order=2))
    assert model.score("cat mat") == -math.inf and model.perplexity("cat mat") == math.inf


def test_a_wrong_type_is_told(small):
    full_scores = lambda text: list(small.full_scores(text))  # noqa: E731
    for ask in (small.score, small.perplexity, full_scores, small.__contains__):
        for text, named in ((None, "None"), (3, "an int"), (["a"], "a list")):
            with pytest.raises(TypeError, match=f"a sentence or word must be a str, not {named}"):
                ask(text)
    with pytest.raises(TypeError, match="in_state must be a State, not None"):
        small.BaseScore(None, "a", ours.State())


def test_bad_input_is_told(small, tmp_path):
    with pytest.raises(TextError, match="only a context"):
        small.score("<s> a")
    with pytest.raises(TextError, match="UTF-8"):
        small.score(b"a \xff")
    with pytest.raises(ModelError, match="no model"):
        ours.Model("nothing-there")
    (tmp_path / "junk.bin").write_bytes(np.random.default_rng(0).bytes(1000))
    with pytest.raises(ModelError, match="not an ARPA file"):
        ours.Model(str(tmp_path / "junk.bin"))
