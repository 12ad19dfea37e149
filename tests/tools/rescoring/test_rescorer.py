import dataclasses
import math
import operator
import random

import jiwer
import numpy as np
import pytest

import rnnlm
from rnnlm.errors import ModelError, OutputError, RnnlmWarning, TextError, UsageError
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.tools.rescoring.features import Tuned, Weights, read_weights, save_weights
from rnnlm.tools.rescoring.files import read_nbest, save_best, save_nbest
from rnnlm.tools.rescoring.nbest import Hypothesis, Utterance
from rnnlm.tools.rescoring.rescorer import gain_over, rescore, tune_and_rescore, tune_weights
from rnnlm.tools.rescoring.settings import RescoreSettings, TextMapping
from support.failures import notices_of
from support.tiny_models import LINES, fit, make_tokenizer

PLAIN = RescoreSettings(words=False, oov=False)
ONE = Weights({"lm:m": 1.0}, {"m": "1a"})


@pytest.fixture(scope="module")
def likes():
    """Return a model that finds `a` likely, `b` less likely, and unknown words least likely."""
    return model({"</s>": 1 / 4, "<unk>": 1 / 64, "a": 1 / 2, "b": 15 / 64}, "1a")


def model(p: dict[str, float], fingerprint: str | None) -> UnigramModel:
    tokenizer = make_tokenizer([" ".join(p.keys() - {"</s>", "<unk>"})])
    made = UnigramModel(np.log([p[symbol] for symbol in tokenizer.symbols()]), tokenizer)
    made.fingerprint = fingerprint
    return made


def said(utt: str, reference: str | None, *texts: str, fall: float = 1.0) -> Utterance:
    hypotheses = []
    for rank, text in enumerate(texts):
        hypotheses.append(Hypothesis(text, -fall * rank, f"list, {utt}"))
    return Utterance(utt, tuple(hypotheses), reference, f"list, {utt}")


def misheard(count: int) -> list[Utterance]:
    """Return utterances in which the first pass takes a for b; every third is right."""
    utterances = []
    for n in range(count):
        reference, fall = ("b a", 9.0) if n % 3 == 0 else ("a a", 1.0)
        utterances.append(said(f"u{n}", reference, "b a", "a a", fall=fall))
    return utterances


def test_weights_are_those_that_make_the_fewest_errors(likes):
    weights = tune_weights(misheard(12), {"m": likes}, PLAIN)
    # the weight at which the second hypothesis overtakes a lead of 1; 9 times that one of 9
    swap = 1 / math.log((1 / 2) / (15 / 64))
    assert weights.weights == {"lm:m": pytest.approx((swap + 9 * swap) / 2)}
    assert weights.models == {"m": "1a"}
    assert (weights.tuned.errors_before, weights.tuned.errors_after) == (8, 0)
    rescored = rescore(misheard(6), {"m": likes}, weights)
    assert [u.hypotheses[0].text for u in rescored.utterances] == ["b a", "a a", "a a"] * 2
    assert [u.hypotheses[0].rank for u in rescored.utterances] == [1, 2, 2] * 2
    rates = rescored.rates
    assert (rates.first.errors, rates.rescored.errors, rates.oracle.errors) == (4, 0, 0)
    assert rates.gain.interval.estimate == pytest.approx(4 / 12)
    assert rates.gain.p_value == pytest.approx(2 / 2**4)


def test_scores_are_the_weighted_sums_of_the_features(likes):
    weights = Weights({"lm:m": 0.5, "words": -2.0, "oov:m": 3.0}, {"m": "1a"})
    (found,) = rescore([said("u", None, "a b", "a x y", "")], {"m": likes}, weights).utterances
    for hypothesis in found.hypotheses:
        (score,) = rnnlm.Model(likes).score_sentences([hypothesis.text])
        nats, unknown = score.logprob_nats, len(score.oov)
        features = {"lm:m": pytest.approx(nats), "words": score.words, "oov:m": unknown}
        assert hypothesis.features == features
        total = 1 - hypothesis.rank + 0.5 * nats - 2 * score.words + 3 * unknown
        assert hypothesis.score == pytest.approx(total)
    scores = [hypothesis.score for hypothesis in found.hypotheses]
    assert scores == sorted(scores, reverse=True)


def test_rates_are_those_of_jiwer_over_all_utterances(likes):
    lists = [said("u1", "a b", "a", "a b"), said("u2", "", "b", "")]
    lists += [said("u3", "a a", "", "a b b"), said("u4", None, "a")]
    with pytest.warns(RnnlmWarning, match="1 utterances have no reference: the WER is over .*3"):
        rates = rescore(lists, {"m": likes}, Weights({"lm:m": 0.0}, {"m": "1a"})).rates
    texts = {"first": ["a", "b", ""], "rescored": ["a", "b", ""], "oracle": ["a b", "", ""]}
    for name, chosen in texts.items():
        ours, theirs = getattr(rates, name), jiwer.process_words(["a b", "", "a a"], chosen)
        assert ours.wer == pytest.approx(theirs.wer)
        for edits in ("substitutions", "deletions", "insertions"):
            assert getattr(ours, edits) == getattr(theirs, edits)
    assert rates.gain.interval.estimate == 0 and rates.gain.p_value == 1


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("oov", [False, True])
def test_features_are_left_out_where_asked(likes, words, oov):
    settings = RescoreSettings(words=words, oov=oov)
    names = tune_weights(misheard(3), {"m": likes}, settings).weights.keys()
    assert names == {"lm:m", *["words"] * words, *["oov:m"] * oov}


def heard(seed: int, **scores: str) -> list[Utterance]:
    """Return utterances with hypotheses of noisy scores: am and lm fall with the errors, noise does
    not. scores: which of them are which of a hypothesis's scores."""
    rng = random.Random(seed)
    utterances = []
    for n in range(40):
        reference = rng.choices("abcd", k=5)
        hypotheses = []
        for _ in range(4):
            words = [word if rng.random() < 0.7 else rng.choice("abcd") for word in reference]
            errors = sum(map(operator.ne, words, reference))
            value = {"am": -8 * errors + rng.gauss(0, 12), "lm": -1.5 * errors + rng.gauss(0, 4),
                     "noise": rng.gauss(0, 5)}  # fmt: skip
            further = {name: value[kind] for name, kind in scores.items()}
            base = further.pop("base", None)
            hypotheses.append(Hypothesis(" ".join(words), base, scores=further))
        utterances.append(Utterance(f"u{n}", tuple(hypotheses), " ".join(reference)))
    return utterances


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("other", ["lm", "noise"])
def test_two_scores_are_at_least_as_good_as_the_better_one(likes, seed, other):
    def errors(**scores: str) -> int:
        return tune_weights(heard(seed, **scores), {"m": likes}).tuned.errors_after

    alone = min(errors(base="am"), errors(base=other))
    assert errors(x="am", y=other) <= alone
    assert errors(base="am", y=other) <= alone and errors(base=other, x="am") <= alone


def test_further_scores_are_features_that_saved_weights_name(likes, tmp_path):
    models, settings = {"m": likes}, RescoreSettings(words=False, oov=False)
    weights = tune_weights(heard(1, base="am", lm="lm"), models, settings)
    assert weights.weights.keys() == {"lm:m", "score:lm"}
    save_weights(weights, tmp_path / "w.json")
    read = read_weights(tmp_path / "w.json")
    assert read == weights and read.scores == ("score", "score:lm")
    assert read.signature == "wer|words:blanks|form:nfc|case:kept|punctuation:kept"
    best = rescore(heard(2, base="am", lm="lm"), models, read).utterances[0].hypotheses[0]
    total = sum(weights.weights[name] * value for name, value in best.features.items())
    assert best.score == pytest.approx(best.first_pass + total)
    for scores, why in (
        ({"base": "am"}, "it lacks 'score:lm'"), ({"lm": "lm"}, "it lacks 'score'"),
        ({"base": "am", "lm": "lm", "x": "am"}, "it has 'score:x'"),
    ):  # fmt: skip
        with pytest.raises(TextError, match=f"those that the weights are for; {why}"):
            rescore(heard(2, **scores), models, read)
        with pytest.raises(TextError, match=why):
            tune_and_rescore(heard(1, base="am", lm="lm"), heard(2, **scores), models)
    mixed = [heard(1, base="am")[0], heard(1, base="am", lm="lm")[1]]
    with pytest.raises(TextError, match="those of the other hypotheses; it has 'score:lm'"):
        tune_weights(mixed, models)


def test_the_log_of_zero_in_a_further_score_excludes_a_hypothesis(likes):
    scores = [{"am": -1.0}, {"am": -math.inf}, {"am": -1e10}]
    hypotheses = tuple(map(Hypothesis, "bab", [None] * 3, "uuu", scores))
    weights = Weights({"lm:m": 1.0, "score:am": 1e-9}, {"m": "1a"}, scores=("score:am",))
    with pytest.warns(RnnlmWarning, match="^2 hypotheses, the first in utterance 'u', are ex"):
        [rescored] = rescore([Utterance("u", hypotheses)], {"m": likes}, weights).utterances
    assert [one.score is None for one in rescored.hypotheses] == [False, True, True]


def test_each_added_models_gain_is_over_those_before(likes):
    models = {"m": likes, "other": fit("unigram")}
    dev, test = misheard(8), misheard(5)
    first, both = tune_and_rescore(dev, test, models)
    assert (first.models, both.models) == (("m",), ("m", "other"))
    assert first.weights == tune_weights(dev, {"m": likes})
    assert both.weights == tune_weights(dev, models)
    assert first.gain == first.rescored.rates.gain
    assert both.gain == gain_over(first.rescored, both.rescored)
    assert both.rescored == rescore(test, models, both.weights)
    with pytest.raises(UsageError, match="same list"):
        gain_over(first.rescored, rescore(dev, {"m": likes}, first.weights))


def test_texts_are_mapped_only_for_models_by_default(likes):
    lists = [said("u", "A, B", "A B", "X")]
    mapping = TextMapping(lowercase=True, remove_punctuation=True)
    for each, errors in ((mapping, 1), (dataclasses.replace(mapping, normalise_wer=True), 0)):
        weights = Weights({"lm:m": 1.0}, {"m": "1a"}, each)
        assert rescore(lists, {"m": likes}, weights).rates.rescored.errors == errors
        assert tune_weights(lists, {"m": likes}, RescoreSettings(each)).mapping == each


@pytest.mark.parametrize(("reference", "hypothesis", "errors", "told"), [
    ("un bébé né", "un be\u0301be\u0301 ne\u0301", 0, None),  # composed, decomposed
    ("un be\u0301be\u0301 ne\u0301", "un bébé né", 0, None),
    ("the old man", "THE OLD MAN", 3, "differ in case (`lowercase=True`); with `normalise_wer=True`"),
    ("the, old, man,", "THE OLD MAN", 3,
     "differ in case (`lowercase=True`), punctuation (`remove_punctuation=True`); with"),
    ("ａｂ ｃｄ", "ab cd", 2, "differ in forms of letters (full width, ligatures); with"),
    ("他 今天 很 好 我们", "他今天很好我们去", 5, "differ in blanks between words; with"),
    ("one two", "three four", 2, "have few words in common; with"),
    ("one two three", "one two 3", 1, None),
])  # fmt: skip
def test_the_same_text_in_other_characters_is_no_error_or_is_told(
    likes, reference, hypothesis, errors, told
):
    lists = [said("u", reference, hypothesis)]
    assert rescore(lists, {"m": likes}, ONE).rates.oracle.errors == errors
    found = notices_of(lambda: rescore(lists, {"m": likes}, ONE))
    found = [note for note in found if note.startswith("even the oracle's WER is ")]
    assert len(found) == bool(told) and (not told or told in found[0])


def test_impossible_hypotheses_are_never_chosen(tmp_path):
    never = model({"</s>": 1 / 2, "<unk>": 1e-9, "a": 1 / 2, "b": 1e-300}, "0")
    with np.errstate(divide="ignore"):
        never.logprob_V[never.tokenizer.symbols().index("b")] = -np.inf
    lists = [said("u1", "b", "b", "a"), said("u2", "b", "b b", "b")]
    with pytest.warns(RnnlmWarning, match="3 hypotheses have probability zero"):
        rescored = rescore(lists, {"m": never}, Weights({"lm:m": 0.0}, {"m": "0"}))
    assert [[(h.text, h.score is None) for h in u.hypotheses] for u in rescored.utterances] == [
        [("a", False), ("b", True)], [("b b", False), ("b", True)]
    ]  # fmt: skip
    save_nbest(rescored, tmp_path / "out.tsv")
    assert [len(u.hypotheses) for u in read_nbest(str(tmp_path / "out.tsv"))] == [1, 1]


LOG_ZERO = [-1e10, float(np.finfo(np.float32).min), -1e38, -math.inf]


def with_excluded(utterances: list[Utterance], score: float) -> list[Utterance]:
    """Add a hypothesis with the score to every second utterance, the words that were said."""
    lists = list(utterances)
    for at in range(0, len(lists), 2):
        extra = Hypothesis(lists[at].reference or "", score)
        lists[at] = dataclasses.replace(lists[at], hypotheses=(*lists[at].hypotheses, extra))
    return lists


@pytest.mark.parametrize("score", LOG_ZERO)
def test_excluded_hypotheses_change_no_weight_and_are_never_chosen(likes, tmp_path, score):
    plain, lists = misheard(12), with_excluded(misheard(12), score)
    expected, weights = tune_weights(plain, {"m": likes}), tune_weights(lists, {"m": likes})
    assert weights.weights == expected.weights
    assert weights.tuned.errors_after == expected.tuned.errors_after
    never = Weights({"lm:m": 0.0, "words": 1e9}, {"m": "1a"})
    for weighed in (weights, never):
        with pytest.warns(RnnlmWarning, match="^6 hypotheses, the first in utterance 'u0', are ex"):
            rescored = rescore(lists, {"m": likes}, weighed)
        best = [one.hypotheses[0] for one in rescore(plain, {"m": likes}, weighed).utterances]
        assert [one.hypotheses[0] for one in rescored.utterances] == best
        assert [one.hypotheses[-1].score for one in rescored.utterances[::2]] == [None] * 6

    # The list reads back; TSV leaves them out.
    for name, counts in (("list.tsv", {2}), ("list.jsonl", {2, 3})):
        save_nbest(rescored, tmp_path / name)
        assert {len(one.hypotheses) for one in read_nbest(tmp_path / name)} == counts
        assert rescore(read_nbest(tmp_path / name), {"m": likes}, never).rates == rescored.rates


@pytest.mark.parametrize("score", LOG_ZERO)
def test_an_utterance_of_excluded_hypotheses_keeps_its_best(likes, score):
    low = Utterance("low", (Hypothesis("b", score), Hypothesis("a", score)), "a")
    weights = Weights({"lm:m": 100.0}, {"m": "1a"})
    with pytest.warns(RnnlmWarning, match="^2 hypotheses, .* 1 utterances with no other .* best"):
        [rescored] = rescore([low], {"m": likes}, weights).utterances
    assert [(one.text, one.score is None) for one in rescored.hypotheses] == [
        ("b", False), ("a", True)
    ]  # fmt: skip
    tuned = tune_weights([*misheard(12), low], {"m": likes})
    assert tuned.weights == pytest.approx(tune_weights(misheard(12), {"m": likes}).weights)


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, "1"])
def test_weights_that_are_not_finite_are_refused(weight):
    with pytest.raises(UsageError, match=f"weight of 'lm:m' is '?{weight}'?; .* finite numbers"):
        Weights({"lm:m": weight}, {"m": "1a"})


class TestWeightsFile:
    def test_holds_what_was_tuned(self, likes, tmp_path):
        settings = RescoreSettings(TextMapping(lowercase=True))
        weights = tune_weights(misheard(6), {"m": likes}, settings)
        save_weights(weights, tmp_path / "w.json")
        assert read_weights(tmp_path / "w.json") == weights
        with pytest.raises(OutputError):
            save_weights(weights, tmp_path / "no" / "w.json")

    def test_is_refused_for_other_models_whatever_their_names(self, likes):
        weights = tune_weights(misheard(6), {"m": likes}, PLAIN)
        other = model({"</s>": 1 / 4, "<unk>": 1 / 4, "a": 1 / 4, "b": 1 / 4}, "2b")
        with pytest.raises(ModelError, match=r"other models; for m \(1a\); given: m \(2b\)"):
            rescore(misheard(2), {"m": other}, weights)
        with pytest.raises(ModelError, match="there is none for other"):
            rescore(misheard(2), {"m": likes, "other": other}, weights)
        expected = rescore(misheard(2), {"m": likes}, weights)
        assert rescore(misheard(2), {"moved": likes}, weights) == expected

    def test_weights_of_untunable_features_are_an_error(self, likes):
        twin = model({"</s>": 1 / 4, "<unk>": 1 / 4, "a": 1 / 4, "b": 1 / 4}, "2b")
        twin.tokenizer = likes.tokenizer
        weights = Weights({"lm:m": 1.0, "lm:t": 1.0, "oov:t": 2.0}, {"m": "1a", "t": "2b"})
        with pytest.raises(ModelError, match="no feature 'oov:t'"):
            rescore(misheard(2), {"m": likes, "t": twin}, weights)

    def test_of_models_never_saved_goes_by_name(self):
        unsaved = fit("unigram")
        unsaved.fingerprint = None
        lists = [said("u", LINES[0], LINES[0], LINES[1])]
        weights = tune_weights(lists, {"m": unsaved})
        assert rescore(lists, {"m": unsaved}, weights).rates.rescored.errors == 0
        with pytest.raises(ModelError, match="other models"):
            rescore(lists, {"n": unsaved}, weights)

    def test_does_not_mind_the_order_of_models(self, likes):
        other = model({"</s>": 1 / 4, "<unk>": 1 / 4, "a": 1 / 4, "b": 1 / 4}, "2b")
        weights = tune_weights(misheard(6), {"m": likes, "o": other})
        expected = rescore(misheard(4), {"m": likes, "o": other}, weights)
        assert rescore(misheard(4), {"o": other, "m": likes}, weights) == expected

    @pytest.mark.parametrize(("text", "message"), [
        ("", "holds no weights"), ("[1]", "holds no weights"), ("\x00", "holds no weights"),
        ('{"weights": {"lm:m": NaN}, "models": {"m": "1a"}}', "holds no weights"),
        ('{"weights": {"lm:m": 1e999}, "models": {"m": "1a"}}', "holds no weights.*1e999 is out"),
        ('{"weights": {"lm:m": 1}, "models": {"m": "1a"}, "format_version": 2}',
         "holds no weights"),
        ('{"weights": {"lm:m": 1}, "models": {"m": "1a"}, "mapping": {"special_symbols": "maybe"}}',
         "holds no weights"),
        ('{"weights": {"lm:n": 1, "lm:m": 1}, "models": {"m": "1a"}}',
         "'lm:n' is a feature of no model"),
        ('{"weights": {"words": 1}, "models": {"m": "1a"}}', "the weight of 'lm:m' is missing"),
        ('{"weights": {"lm:m": 1}, "models": {"m": "1a"}, "scores": ["score:am"]}',
         "the weight of 'score:am' is missing"),
    ])  # fmt: skip
    def test_that_is_damaged_is_an_error(self, tmp_path, text, message):
        (tmp_path / "w.json").write_text(text)
        with pytest.raises(TextError, match=message):
            read_weights(tmp_path / "w.json")


def test_fields_of_weights_that_are_not_read_are_named(tmp_path):
    content = '{"weights": {"lm:m": 1}, "models": {"m": "a"}, "mapping": {"lower": true}, "lm": 2}'
    (tmp_path / "w.json").write_text(content)
    [told] = notices_of(lambda: read_weights(tmp_path / "w.json"))
    assert "w.json: 2 fields are not read: 'lm', 'lower' (did you mean 'lowercase'?)" in told


class TestOutput:
    def test_a_list_reads_back_in_its_new_order(self, likes, tmp_path):
        rescored = rescore(misheard(4), {"m": likes}, tune_weights(misheard(6), {"m": likes}))
        for name in ("list.tsv", "list.jsonl", "list.tsv.gz"):
            save_nbest(rescored, tmp_path / name)
            notices = notices_of(lambda name=name: read_nbest(str(tmp_path / name)))
            is_told = ["was rescored before" in notice for notice in notices]
            assert is_told == ([True] if name == "list.jsonl" else [])
            again = read_nbest(str(tmp_path / name))
            for one, other in zip(again, rescored.utterances, strict=True):
                assert (one.utt, one.reference) == (other.utt, other.reference)
                for read, written in zip(one.hypotheses, other.hypotheses, strict=True):
                    assert (read.text, read.score) == (written.text, written.score)

    def test_of_the_best_is_one_line_an_utterance(self, likes, tmp_path):
        lists = [said("u1", None, "a  b"), said("u2", None, "")]
        save_best(rescore(lists, {"m": likes}, ONE), tmp_path / "best.txt")
        assert (tmp_path / "best.txt").read_text() == "u1 a b\nu2\n"

    @pytest.mark.parametrize("name", ["u 1", "u\t1", "u\n1", 'u"1', '"u1"'])
    @pytest.mark.filterwarnings("ignore:.*was rescored before")
    def test_odd_names_are_kept_or_refused(self, likes, tmp_path, name):
        rescored = rescore([said(name, 'a "b" a', "a", 'a "a" "b')], {"m": likes}, ONE)
        if name.split() != [name]:
            with pytest.raises(OutputError, match="holds white space"):
                save_best(rescored, tmp_path / "best")
        for file in ("list.tsv", "list.jsonl"):
            save_nbest(rescored, tmp_path / file)
            [read] = read_nbest(str(tmp_path / file))
            assert (read.utt, read.reference) == (name, 'a "b" a')
            assert sorted(each.text for each in read.hypotheses) == ["a", 'a "a" "b']


UNCERTAIN = "weights tuned on {} utterances, fewer than 500, are uncertain"


@pytest.mark.parametrize("make, error, message", [
    (lambda: Hypothesis(None, -1.0), TypeError, "Hypothesis: text must be a str, not None"),
    (lambda: Hypothesis("a", "-1"), TypeError, "Hypothesis: score must be a number, not a str"),
    (lambda: Hypothesis("a", math.nan), TextError, "a hypothesis: the score is nan"),
    (lambda: Hypothesis("a", -1.0, scores=[1]), TypeError,
     "Hypothesis: scores must be a Mapping, not a list"),
    (lambda: read_nbest(None), TypeError, "read_nbest: the list must be a str or a path, not None"),
    (lambda: Utterance("u", ("a", "b")), TypeError,
     "Utterance: hypotheses[0] must be a Hypothesis, not a str"),
    (lambda: Utterance("u", (Hypothesis("a", -1.0),), 3), TypeError,
     "Utterance: reference must be a str, not an int"),
    (lambda: Utterance("u", ()), TextError, "utterance 'u' has no hypotheses"),
])  # fmt: skip
def test_python_lists_are_checked_like_files(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert message in str(raised.value)
    assert Hypothesis("a", np.float32(-1)).score == -1


def test_few_tuning_utterances_are_reported_once_with_advice(likes):
    few, enough, models = misheard(499), misheard(500), {"m": likes, "n": likes}
    assert notices_of(lambda: tune_weights(few, {"m": likes}, PLAIN)) == [UNCERTAIN.format(499)]
    uncertain, _ = notices_of(lambda: tune_and_rescore(few, enough, models, PLAIN))
    assert uncertain == UNCERTAIN.format(499)
    assert notices_of(lambda: tune_weights(enough, {"m": likes}, PLAIN)) == []


def test_utterances_that_tuned_the_weights_are_named_where_they_are_applied(likes, tmp_path):
    dev, models = misheard(501), {"m": likes}
    other = [dataclasses.replace(utterance, utt=f"v{utterance.utt}") for utterance in dev[:3]]
    save_weights(tune_weights(dev, models, PLAIN), tmp_path / "w.json")
    weights = read_weights(tmp_path / "w.json")
    assert notices_of(lambda: rescore(other, models, weights)) == []
    says = "1 of 4 utterances has tuned the weights, which makes the WER too low: u7 (list, u7)"
    assert notices_of(lambda: rescore([*other, dev[7]], models, weights)) == [says]
    assert notices_of(lambda: tune_and_rescore(dev, [*other, dev[7]], models, PLAIN)) == [says]
    [same] = notices_of(lambda: rescore(dev, models, weights))
    assert same.startswith("the WER is measured on the list that the weights were tuned on")


def test_a_weights_file_reports_few_tuning_utterances(tmp_path):
    for count, notices in ((499, [UNCERTAIN.format(499)]), (500, [])):
        save_weights(dataclasses.replace(ONE, tuned=Tuned(count, 9, 3, 2, 1)), tmp_path / "w.json")
        assert notices_of(lambda: read_weights(tmp_path / "w.json")) == notices
