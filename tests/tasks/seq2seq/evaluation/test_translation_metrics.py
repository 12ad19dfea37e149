import json
import random
import subprocess
import sys

import jiwer
import pytest

from rnnlm.errors import ArgumentTypeError, UsageError
from rnnlm.tasks.seq2seq.evaluation.translation import (
    Translations,
    TranslationSettings,
    measure,
    measures,
    tell_phrases,
)
from support.failures import notices_of

WORDS = "The a House house cat, sat sat. on mat über! I'm 3.5 isn't".split()


def random_text(rng: random.Random, shortest: int = 0) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(shortest, 12)))


def random_translations(seed: int, sentences: int = 60, most: int = 1, **settings) -> Translations:
    """Draw hypotheses that share about two thirds of their words with their first reference."""
    rng = random.Random(seed)
    references = [
        [random_text(rng, 1) for _ in range(rng.randint(1, most))] for _ in range(sentences)
    ]
    kept = [[word for word in row[0].split() if rng.random() < 0.95] for row in references]
    hypotheses = [
        " ".join(word if rng.random() < 0.7 else rng.choice(WORDS) for word in words)
        for words in kept
    ]
    return Translations(hypotheses, references, TranslationSettings(**settings))


def metrics_of(hypotheses: list[str], references: list[list[str]], **settings):
    return measure(Translations(hypotheses, references, TranslationSettings(**settings)))


def test_bleu_and_chrf_match_the_sacrebleu_command(tmp_path):
    rng, first = random.Random(1), random_translations(2, lowercase=True, bleu_tokenizer="intl")
    references = [(row[0], random_text(rng)) for row in first.references]
    texts = [first.hypotheses, *zip(*references, strict=True)]
    for name, lines in zip(("hypotheses", "0", "1"), texts, strict=True):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    options = "0 1 -i hypotheses -m bleu chrf -w 8 --tokenize intl --lowercase --chrf-lowercase"
    command = [sys.executable, "-m", "sacrebleu", *options.split()]
    printed = subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.PIPE).stdout
    bleu, chrf = json.loads(printed)
    found = measure(Translations(first.hypotheses, references, first.settings))
    assert found.bleu == pytest.approx(bleu["score"], abs=1e-8)
    assert found.chrf == pytest.approx(chrf["score"], abs=1e-8)
    assert (found.bleu_signature, found.chrf_signature) == (bleu["signature"], chrf["signature"])
    assert "case:lc" in found.bleu_signature and "nrefs:2" in found.chrf_signature
    assert found.references == 120


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("lowercase", [False, True])
def test_sentence_contributions_sum_to_the_text_metrics(most, lowercase):
    translations = random_translations(3, most=most, lowercase=lowercase)
    figures = measure(translations)
    assert ("nrefs:var" if most > 1 else "nrefs:1") in figures.bleu_signature
    for name, its in measures(translations).items():
        assert its.value == pytest.approx(getattr(figures, name), rel=1e-12), name


def test_error_rates_are_those_of_jiwer():
    translations = random_translations(4)
    found, references = measure(translations), [row[0] for row in translations.references]
    expected = pytest.approx(jiwer.wer(references, list(translations.hypotheses)))
    assert found.word_error_rate == expected
    expected = pytest.approx(jiwer.cer(references, list(translations.hypotheses)))
    assert found.symbol_error_rate == expected


def test_exact_match_and_error_rates_by_hand():
    """The second sentence is its second reference; in the first, a word of three is wrong by one
    character of eleven."""
    references = [["the cat sat"], ["be it so", "so  be it"], ["a"]]
    found = metrics_of(["the cat sit", "so be it", ""], references)
    assert found.exact_match == 1 / 3
    assert found.word_error_rate == (1 + 0 + 1) / (3 + 3 + 1)
    assert found.symbol_error_rate == (1 + 0 + 1) / (11 + 8 + 1)


def test_words_and_characters_choose_their_own_nearest_reference():
    """Of `a bcd`, the first reference is two words away from it and three characters, the second
    one word and five characters."""
    found = metrics_of(["a bcd"], [["abxd", "a vwxyz"]])
    assert (found.word_error_rate, found.symbol_error_rate) == (1 / 2, 2 / 4)
    for references in (["b", "a b"], ["a b", "b"]):
        assert metrics_of(["a"], [references]).word_error_rate == 1 / 2


def test_spelled_texts_are_scored_by_line_and_symbol():
    references = [["T AH M", "R IY D S"], ["K AE T"], ["HH AY"]]
    found = metrics_of(["R IY D S", "K AH T", ""], references, spelled=True)
    assert found.word_error_rate == 2 / 3
    assert found.symbol_error_rate == 3 / 9
    assert found.exact_match == 1 / 3


def test_lowercasing_affects_all_metrics_and_both_signatures():
    hypotheses, references = ["THE cat sat on the Mat"], [["the Cat sat on the mat"]]
    kept = metrics_of(hypotheses, references)
    lower = metrics_of(hypotheses, references, lowercase=True)
    assert max(kept.bleu, kept.chrf) < 90 and kept.exact_match == 0
    assert min(kept.word_error_rate, kept.symbol_error_rate) > 0
    assert (lower.bleu, lower.chrf) == pytest.approx((100, 100))
    assert lower.is_perfect and lower.exact_match == 1
    assert lower.word_error_rate == lower.symbol_error_rate == 0
    assert "case:lc" in lower.bleu_signature and "case:lc" in lower.chrf_signature


def test_one_word_or_empty_texts_have_metrics():
    found = metrics_of(["cold"], [["cold"]])
    assert found.bleu == 0 and found.chrf == 100 and found.is_perfect
    found = metrics_of(["", "a"], [[""], [""]])
    assert (found.bleu, found.chrf, found.exact_match) == (0, 0, 0.5)
    assert found.word_error_rate is found.symbol_error_rate is None
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(("hypotheses", "references", "message"), [
    (["a"], [["a"], ["b"]], "1 hypotheses and references for 2 sentences"),
    ([], [], "nothing to measure"), (["a", "b"], [["a"], []], "sentence 2 has no reference"),
])  # fmt: skip
def test_sentences_without_hypothesis_or_reference_are_an_error(hypotheses, references, message):
    with pytest.raises(UsageError, match=message):
        Translations(hypotheses, references)


def test_references_that_are_not_lists_are_errors():
    what = "references of sentence 1 must be a list of strings, not a str"
    with pytest.raises(ArgumentTypeError, match=what):
        Translations(["ab"], ["ab"])
    with pytest.raises(ArgumentTypeError, match="hypothesis 1 must be a string, not None"):
        Translations([None], [["ab"]])


def test_unavailable_bleu_tokenizer_is_an_error_with_advice(monkeypatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    with pytest.raises(UsageError, match="ja-mecab is not installed") as failure:
        metrics_of(["猫"], [["猫"]], bleu_tokenizer="ja-mecab")
    assert "sacrebleu[ja]" in failure.value.hint
    with pytest.raises(UsageError, match="unknown BLEU tokenizer 'mecab'"):
        metrics_of(["猫"], [["猫"]], bleu_tokenizer="mecab")
    expected = pytest.approx(100)
    assert metrics_of(["猫がいました"], [["猫がいました"]], bleu_tokenizer="char").bleu == expected


@pytest.mark.parametrize(("reference", "tokenizer", "told"), [
    ("他今天很好我们去学校", "13a", True), ("他今天很好我们去学校", "char", False), ("we go", "13a", False),
])  # fmt: skip
def test_bleu_of_scripts_without_blanks_has_a_note(reference, tokenizer, told):
    texts = Translations(["x"], [[reference]], TranslationSettings(bleu_tokenizer=tokenizer))
    found = notices_of(lambda: tell_phrases(texts))
    assert ["BLEU and word_error_rate count phrases" in note for note in found] == [True] * told
