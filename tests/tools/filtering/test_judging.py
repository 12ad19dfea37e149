"""Perplexities of documents by hand, the groups that they put them in, languages."""

import math

import numpy as np
import pytest

from rnnlm.errors import SettingsError, UsageError
from rnnlm.tools.filtering.judging import CHARACTERS, Documents, Judge
from rnnlm.tools.filtering.run import borders_of
from rnnlm.tools.filtering.settings import FilterSettings, rule_of
from support.tiny_models import fit, halves_model

# Under `halves_model`: </s> 1/4, a 1/2, b 1/8; so "a b" has (1/2 * 1/8 * 1/4)^(-1/3) = 4.
WORKED = {
    "a b": 4.0, "a": 8 ** (1 / 2), "a\na b": 512 ** (1 / 5), "a\r\n \n\na b\r\n": 512 ** (1 / 5),
    "b b": 256 ** (1 / 3), "never": math.inf,
}  # fmt: skip


def judged(models, rule, texts):
    verdicts = Judge(models, rule)(Documents.of_texts(texts, "replace"))
    groups = [*rule.groups, "outside", "empty"]
    return [groups[group] for group in verdicts.group_D], verdicts


def test_perplexities_and_words_of_documents():
    rule = rule_of(FilterSettings(min_perplexity=2, max_perplexity=4))
    groups, verdicts = judged({"": halves_model()}, rule, [*WORKED, "", None, " \n\t"])
    assert verdicts.perplexity_D.tolist()[:6] == pytest.approx(list(WORKED.values()))
    assert np.isnan(verdicts.perplexity_D[6:]).all()
    assert verdicts.words_D.tolist() == [2, 1, 3, 3, 2, 1, 0, 0, 0]
    kept = ["kept"] * 4 + ["outside"] * 2
    assert groups == [*kept, *["empty"] * 3]


def test_buckets_of_a_worked_example():
    # Of 11 perplexities 1, 2, ..., 11, the quantiles 0.3 and 0.6 are the fourth and the seventh.
    assert borders_of(np.arange(1.0, 12.0), (0.3, 0.6), []) == (4.0, 7.0)
    # Between neighbours, in proportion: 0.3 * 3 = 0.9 of the way from 1 to 2.
    assert borders_of(np.array([4.0, 1.0, 3.0, 2.0]), (0.3, 0.5), []) == pytest.approx((1.9, 2.5))
    settings = FilterSettings(cutoffs=(4.0, 6.0), min_perplexity=2.9)
    groups, _ = judged({"": halves_model()}, rule_of(settings, (), True), WORKED)
    # "a b" is at the border, not below it.
    assert groups == ["middle", "outside", "head", "head", "tail", "tail"]


@pytest.mark.parametrize(("model", "texts"), [
    (halves_model(), ["a <s> b", "a <unk> b"]),
    (fit("ngram", ["ab", "ba"], order=2, tokenizer="char"), ["ab\r\nba\r\n", "ab\nba"]),
], ids=["reserved words are unknown", "line ends of Windows are dropped"])  # fmt: skip
def test_texts_that_are_read_alike(model, texts):
    _, verdicts = judged({"": model}, rule_of(FilterSettings(max_perplexity=1e9)), texts)
    assert verdicts.perplexity_D[0] == verdicts.perplexity_D[1]


# ---- Languages.

TEXTS = {
    "English": "the rain fell on the old roof all night|she wrote a letter to her brother|we "
    "walked along the river in the morning|there was nothing left to eat in the house|he asked "
    "whether the train had already gone|the children were playing behind the school|it is better "
    "to wait until the weather changes|my neighbour sells bread and cheese|nobody knew where the "
    "key had been hidden|they thought about the question for a while",
    "German": "der Regen fiel die ganze Nacht auf das alte Dach|sie schrieb ihrem Bruder einen "
    "Brief|wir gingen am Morgen den Fluss entlang|im Haus war nichts mehr zu essen|er fragte, ob "
    "der Zug schon abgefahren sei|die Kinder spielten hinter der Schule|es ist besser zu warten, "
    "bis sich das Wetter ändert|mein Nachbar verkauft Brot und Käse|niemand wusste, wo der "
    "Schlüssel versteckt war|sie dachten eine Weile über die Frage nach",
    "Finnish": "sade putosi koko yön vanhalle katolle|hän kirjoitti kirjeen veljelleen|kävelimme "
    "aamulla joen vartta pitkin|talossa ei ollut enää mitään syötävää|hän kysyi, oliko juna jo "
    "lähtenyt|lapset leikkivät koulun takana|on parempi odottaa, kunnes sää muuttuu|naapurini myy "
    "leipää ja juustoa|kukaan ei tiennyt, minne avain oli piilotettu|he miettivät kysymystä hetken",
}
UNSEEN = {
    "English": ["the old bridge was closed in the winter", "who left the lamp on the table"],
    "German": ["die alte Brücke war im Winter gesperrt", "wer hat die Lampe hier gelassen"],
    "Finnish": ["vanha silta oli talvella suljettu", "kuka jätti lampun pöydälle"],
}


@pytest.fixture(scope="module")
def languages():
    settings = {"order": 4, "tokenizer": "char"}
    return {name: fit("ngram", text.split("|"), **settings) for name, text in TEXTS.items()}


def test_three_languages_are_told_apart(languages):
    texts = [text for several in UNSEEN.values() for text in several]
    expected = [name for name, several in UNSEEN.items() for _ in several]
    groups, verdicts = judged(languages, rule_of(FilterSettings(), tuple(languages)), texts)
    assert groups == expected
    # By another way: each text's probability by each model, as `rnnlm score` has it, and what each
    # character costs that the model does not know.
    for text, name, perplexity in zip(texts, groups, verdicts.perplexity_D, strict=True):
        logprob = {}
        for other, model in languages.items():
            encoded = model.tokenizer.encode([text])
            inputs = np.concatenate([[model.tokenizer.boundary_id], encoded.ids[:-1]])
            scores, _ = model.score(inputs[None], encoded.ids[None], model.initial_state(1))
            unseen = len(set(text) - set(model.tokenizer.symbols()))
            assert unseen <= len(encoded.oov)
            each = math.log(CHARACTERS - model.tokenizer.size)
            logprob[other] = scores.sum() - len(encoded.oov) * each
        assert max(logprob, key=logprob.get) == name
        assert perplexity == pytest.approx(math.exp(-logprob[name] / (len(text) + 1)))


def test_texts_in_no_language_are_none(languages):
    rule = rule_of(FilterSettings(max_perplexity=60, min_probability=0.9), tuple(languages))
    strange = ["Πού είναι η γέφυρα;", "zzqx jjvw kkqq", "", "la la la la"]
    groups, verdicts = judged(languages, rule, strange)
    assert groups[:3] == ["none", "none", "empty"]
    # What is short may be of several languages: it is none where none of them is sure.
    sure = rule_of(FilterSettings(min_probability=0.0), tuple(languages))
    assert judged(languages, sure, ["la"])[0] != ["none"]
    assert judged(languages, rule, ["la"])[0] == ["none"]


def test_a_small_alphabet_does_not_win_other_scripts(languages):
    few = fit("ngram", ["aa ab ba bb abba baab"] * 3, order=2, tokenizer="char")
    models = {"few": few, "Finnish": languages["Finnish"]}
    rule = rule_of(FilterSettings(), ("few", "Finnish"))
    # To a model of two letters every other one is <unk>, which it has seen as often as any.
    assert judged(models, rule, ["vanha silta oli talvella suljettu"])[0] == ["Finnish"]


def test_models_that_cannot_tell_languages_are_refused(languages):
    words = fit("ngram", order=2)
    lower = fit("ngram", TEXTS["German"].split("|"), order=2, tokenizer="char", lowercase=True)
    rule = rule_of(FilterSettings(), ("one", "two"))
    with pytest.raises(UsageError, match="the model of two reads words"):
        Judge({"one": languages["English"], "two": words}, rule)
    with pytest.raises(UsageError, match="read text differently"):
        Judge({"one": languages["English"], "two": lower}, rule)


@pytest.mark.parametrize("settings", [
    {"cutoffs": (5.0,)}, {"cutoffs": (5.0, 4.0)}, {"quantiles": (0.3, 1.0)},
    {"quantiles": (0.1, 0.2, 0.3)},
    {"min_perplexity": 3.0, "max_perplexity": 2.0},
    {"min_perplexity": -1.0}, {"min_probability": 1.5}, {"bucket_column": ""},
])  # fmt: skip
def test_settings_out_of_range(settings):
    with pytest.raises(SettingsError):
        FilterSettings(**settings)
