"""Marks of messy text are counted, and told of where forms are mixed or unseen."""

import functools
import gzip
import itertools
import random
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

import rnnlm
from rnnlm import corpora
from rnnlm.evaluation.perplexity import evaluate
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus, look_at
from rnnlm.text.line_forms import lacks_blanks, tell_form, wrapped_at
from rnnlm.text.lines import Block
from rnnlm.text.marks import (
    count_marks,
    count_odd_spaces,
    tell_odd_spaces,
    tell_unseen,
    watch_forms,
)
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.text.unknown_words import tell_glued
from support.failures import notices_of
from support.tiny_models import LINES, make_tokenizer

MESSY = [
    "it\u2019s \u201ca\u201d \u2013 b\u00a0c", "it\u2019s e\u0301 &amp; x\u0301",
    "it's - plain & &bogus; \u00e9",
]  # fmt: skip


def test_marks_are_counted_by_hand():
    once = dict.fromkeys(["\u201c", "\u201d", "\u2013", "\u00a0", "e\u0301", "&amp;"], 1)
    assert count_marks(MESSY) == {"\u2019": 2, **once}  # x with an accent has no other form
    assert count_marks(["it's -- plain", ""]) == {}


def mixed(lines: list[str], **settings) -> list[str]:
    blocks = [Block(lines, []), Block(lines, [])]
    return notices_of(lambda: list(watch_forms(blocks, TokenizerSettings(**settings))))


RAW = ["The hen, the dog.", "A dog and a hen."]


@pytest.mark.parametrize("lines, settings, splits", [
    (RAW, {}, True), (["The hen , the dog .", "A dog and a hen ."], {}, False),
    (["the dog's tail", "mr. dog"] + ["a dog"] * 20, {}, False),
    (["Smith et al. , Fig. 3 , e.g. , sec. 2 ."], {}, False),  # abbreviations between single marks
    (["le chien \u00ababoie\u00bb", "\u092f\u0939 \u0939\u0948\u0964"], {}, True),
    (["a\u2019 \u2018b"], {}, False),
    (["a dog"] * 900 + RAW * 300, {}, True),  # a third decides
    ([line.replace(",", " ,").replace(".", " .") for line in RAW] * 500 + RAW * 400, {}, True),
    (["the hen , a dog ."] * 2000 + ["mr. dog"] * 9, {}, False),
    ([], {}, False), (RAW, {"split_punctuation": False}, False),
    (RAW, {"remove_punctuation": True}, False), (RAW, {"tokenizer": "char"}, False),
])  # fmt: skip
def test_marks_are_split_where_the_text_or_a_part_of_it_has_them_as_parts_of_words(
    lines, settings, splits
):
    asked = NewTokenizerSettings(**settings)
    made = []
    sent = notices_of(lambda: made.append(tokenizers.decided(asked, lines)))
    assert made == [TokenizerSettings(**{**settings, "split_punctuation": splits})]
    assert len(sent) == splits
    assert all("`split_punctuation=False` keeps them" in text for text in sent)


@pytest.mark.needs("tools/prepared")
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_marks_behind_the_start_of_a_text_are_split_or_told_of(tmp_path, suffix):
    path = tmp_path / f"text.txt{suffix}"
    lines = ["a dog and a hen"] * 40_000 + RAW * 20_000  # the marks begin after 640 kB
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if suffix else data)
    told = notices_of(lambda: [
        list(rnnlm.train(path, output=tmp_path / "m", model="unigram")),
        list(rnnlm.prepare(path, tmp_path / "p", workers=0)),
    ])  # fmt: skip
    size = rnnlm.load(tmp_path / "m").tokenizer.size
    if suffix:  # reading cannot begin in the middle
        (note,) = [text for text in told if text.startswith("punctuation marks are parts of")]
        assert "15% of the words" in note and "`split_punctuation=True` separates them" in note
        assert size == len("</s> <unk> a dog and hen The hen, the dog. A hen.".split())
    else:
        assert size == len("</s> <unk> a dog and hen The , the . A".split())
        assert rnnlm.load_tokenizer(tmp_path / "p").size == size
        assert any("of the words have marks" in text for text in told)


@pytest.mark.needs("tools/prepared")
def test_a_given_tokenizer_tells_of_marks_in_raw_text(tmp_path):
    path, output = tmp_path / "raw.txt", tmp_path / "model"
    path.write_text("the man was here. the boy, too.\n" * 30)
    tokenized = tmp_path / "tokenized.txt"
    tokenized.write_text("the man was here . the boy , too .\n" * 30)
    list(rnnlm.train(tokenized, output=output, model="unigram"))
    for learn in (
        lambda: list(rnnlm.train(path, output=tmp_path / "m", model="unigram",
                                 tokenizer_from=str(output))),
        lambda: list(rnnlm.prepare(path, tmp_path / "p", workers=0,
                                   tokenizer=rnnlm.load_tokenizer(output))),
    ):  # fmt: skip
        told = [text for text in notices_of(learn) if "punctuation marks are parts" in text]
        assert len(told) == 1
        assert "it knows 'here', but not 'here.', and 2 more" in told[0]


# ---- Lines of hard-wrapped prose.

PROSE = [line for line in corpora.part("english", "train").read_text("utf-8").split("\n") if line]
PARAGRAPHS = [" ".join(PROSE[start : start + 5]) for start in range(0, 600, 5)]


def filled(paragraphs, width=72, between="\n\n", **how):
    return between.join(textwrap.fill(text, width, **how) for text in paragraphs).split("\n")


def justified(line, width):
    """Return the line with blanks between its words up to `width`, as manual pages are set."""
    words = line.split()
    while len(words) > 1 and sum(map(len, words)) + len(words) - 1 < width:
        place = random.Random(line).randrange(len(words) - 1)
        words[place] += " " * (width - sum(map(len, words)) - len(words) + 1)
    return "  " + " ".join(words)


DIALOGUE = [f'"{line}" said he. "Well, {line.lower()}"' for line in PROSE[:200]]
LICENCE = [f"{number}. {text}" for number, text in enumerate(PARAGRAPHS)]


@pytest.mark.parametrize("make, width", [
    *[(functools.partial(filled, PARAGRAPHS, width), width) for width in (60, 66, 72, 80, 100)],
    (lambda: filled(PARAGRAPHS, 70, "\n", initial_indent="    "), 70),
    (lambda: filled([" ".join(PARAGRAPHS)], 70), 70), (lambda: filled(PARAGRAPHS, 70, "\n"), 70),
    (lambda: filled(DIALOGUE, 65), 65), (lambda: filled(LICENCE, 76, subsequent_indent="   "), 76),
    (lambda: [justified(line, 70) for line in filled(PARAGRAPHS, 70)], 72),
    (lambda: filled(PARAGRAPHS, 72, break_long_words=False, break_on_hyphens=False), 72),
])  # fmt: skip
def test_wrapped_lines_are_recognised(make, width):
    lines = make()
    assert abs(wrapped_at(lines) - width) <= 2  # the 98th percentile of the lengths
    assert wrapped_at(filled(PARAGRAPHS[:3])) == 0  # too few lines


BARE = re.compile(r"[^\w\s]")
CSV_ROWS = [f"{number},{line[:30]},{number % 7}" for number, line in enumerate(PROSE[:300])]


@pytest.mark.parametrize("make", [
    lambda: PROSE, lambda: PARAGRAPHS * 2, lambda: [BARE.sub("", line).lower() for line in PROSE],
    lambda: [re.sub(r"([.,])", r" \1", line).lower() for line in PROSE],
    lambda: [f"A: {BARE.sub('', line)}" for line in PROSE],  # a transcript
    lambda: [line[: 25 + len(line) % 20] for line in PROSE],  # verse
    lambda: [" ".join(line.split()[: 2 + len(line) % 9]).lower() for line in PROSE],  # chat
    lambda: filled(PROSE[:300], 37), lambda: CSV_ROWS,  # subtitles; a table
    lambda: Path(textwrap.__file__).read_text("utf-8").split("\n"),  # code
    lambda: [word for line in PROSE for word in line.split()],  # a list
    lambda: [f"2024-01-{day % 28 + 10} INFO request=/a/b status=200 bytes={day}"
             for day in range(300)],
    lambda: ["- a well-known line that is the same as all of the others are"] * 300,
    *[lambda name=name: corpora.part(name, "train").read_text("utf-8").split("\n")
      for name in ("recall", "brackets", "likeness")], list,
])  # fmt: skip
def test_other_lines_are_not_taken_for_wrapped(make):
    assert wrapped_at(make()) == 0


# ---- Lines that hold more than the words of a sentence.

SPOKEN = [BARE.sub("", line).lower() for line in PROSE[:220]]
WORDLIST = list(map("".join, itertools.product("bdgklm", "aeiou", "nprst", "ao")))[:220]
NUMBERED = [(number, line, f"spk-{number:04}") for number, line in enumerate(SPOKEN)]
WORDS = [[*enumerate(line.split()), (0, "")] for line in SPOKEN]
FORMS = {
    "Kaldi": [f"{name} {line}" for _, line, name in NUMBERED],
    "tabs": [f"{name}\t{line}" for _, line, name in NUMBERED],
    "TRN": [f"{line} ({name})" for _, line, name in NUMBERED],
    "STM": [";; LABEL", *(f"x A y {at} {at + 0.5} <o,m> {line}" for at, line, _ in NUMBERED)],
    "CTM": [";; x", *(f"x A {9 * at + place / 10} 0.1 {word} 0.9" for at, words in enumerate(WORDS)
                      for place, word in words if word)],
    "HTML": ["<!DOCTYPE html>", *(f"<p>{line}" for line in SPOKEN)],
    "XML": [f"<p>{line}</p>" for line in SPOKEN],
    "CoNLL-2012": ["#begin document (bc/x); part 000", *(
        word and f"bc/x 0 {place} {word} NN *" for words in WORDS for place, word in words)],
    "CoNLL-U": [word and f"{place + 1}\t{word}\t_" for words in WORDS for place, word in words],
}  # fmt: skip


@pytest.mark.system("bash")
@pytest.mark.parametrize("form", FORMS)
def test_other_forms_are_told_with_the_command_that_leaves_the_words(tmp_path, form):
    path = tmp_path / "FILE"
    path.write_text("\n".join([*FORMS[form], ""]))
    [told] = notices_of(lambda: look_at(Corpus((str(path),)), TokenizerSettings()))
    command = told.partition("The words alone: ")[2]
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert [*filter(None, (tmp_path / "NEW").read_text().split("\n"))] == SPOKEN


THAI, CHINESE = "เขาไปตลาดวันนี้อากาศดี", "他今天很好我们去学校"


@pytest.mark.needs("tools/counting", "tools/vectors")
@pytest.mark.parametrize("lines, note, way", [
    (filled(PARAGRAPHS), "looks wrapped at 72 characters", "`unwrap=True` joins the lines"),
    (FORMS["CoNLL-U"], "a row a word, in column 2,", r"awk -F'\t' '$1 ~"),
    ([f"{THAI} {CHINESE}", THAI + CHINESE] * 60, "has no blanks between words",
     '`tokenizer="char"` reads'),
])  # fmt: skip
def test_every_command_that_learns_tells_of_lines_that_are_no_sentences(tmp_path, lines, note, way):
    from rnnlm.tools.counting.strings import count_text

    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines))

    def learn(**settings):
        text = rnnlm.TextSettings(**settings)
        list(rnnlm.train(path, output=tmp_path / "m", model="unigram", overwrite=True, **settings))
        list(rnnlm.prepare(path, tmp_path / "p", workers=0, overwrite=True, **settings))
        rnnlm.learn_vectors(path, width=2, text_settings=text)
        list(count_text(Corpus((str(path),), text), order=1))

    notices = [text for text in notices_of(learn) if note in text]
    assert len(notices) == 4 and all(way in text for text in notices)
    notices = [text for text in notices_of(lambda: learn(unwrap=True)) if note in text]
    assert len(notices) == (0 if "wrapped" in note else 4)


def test_a_mixture_of_forms_is_reported_once():
    (told,) = mixed(["it's", "it's", "it\u2019s", "a \u2013 b", "a - b", "a--b"] * 2)
    assert "' 8 times and \u2019 4 times; - 8 times and \u2013 4 times." in told
    assert '`normalise="dashes,quotes"`' in told
    (told,) = mixed(["a\u00a0b", "&amp; c", "e\u0301", "Sil\u00adbe"] * 2)
    for mark in ("U+00AD (soft hyphen)", "U+00A0 (no-break space)", "&amp;", "e + U+0301"):
        assert f"{mark} 4 times" in told


@pytest.mark.parametrize(("lines", "settings"), [
    (["it's \u2019"], {}),  # twice is too rare
    (["it\u2019s \u2019"] * 9, {}),  # one form alone
    (["well-known \u2013 \u2014"] * 9, {}),  # a hyphen in a word is no dash
    (["it's", "it\u2019s"] * 9, {"normalise": "quotes"}),
    (["it's", "it\u2019s"] * 9, {"remove_punctuation": True}), (["'"] * 9999 + ["\u2019"] * 3, {}),
])  # fmt: skip
def test_other_training_texts_are_not_told_of(lines, settings):
    assert mixed(lines, **settings) == []


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("kind", [
    {}, {"tokenizer": "char"}, {"tokenizer": "byte"},
    {"tokenizer": "sentencepiece", "vocab_size": 290},
], ids=str)  # fmt: skip
def test_only_marks_new_to_the_model_are_reported(kind):
    def told_of(marks, *models):
        return notices_of(lambda: tell_unseen(marks, dict(zip("abc", models, strict=False))))

    plain = make_tokenizer([*LINES, "it's - \u00e9 a"], **kind)
    marks = count_marks(MESSY)
    (told,) = told_of(marks, plain)
    expected = "\u2019 2 times, \u201c 1 time, \u201d 1 time, \u2013 1 time and 3 others: unknown"
    assert told.startswith(f"{expected} to a.")
    assert '`normalise="dashes,entities,nfc,quotes,spaces"`' in told
    seen = make_tokenizer([*LINES, *MESSY], **kind)
    assert told_of(marks, seen) == []
    assert told_of(marks, make_tokenizer(LINES, normalise="all", **kind)) == []
    # which reads `caf eacute`
    spoken = make_tokenizer([*LINES, "caf&eacute; caf\u00e9"], remove_punctuation=True, **kind)
    assert told_of({"&eacute;": 3}, spoken) == []
    (told,) = told_of(count_marks(MESSY[:1]), plain, seen, plain)
    assert "unknown to a and c." in told


def test_white_space_other_than_one_space_is_counted():
    odd = [" a b", "a b ", "a  b", "a\tb", "\ta", "a \tb", "a b\r"]
    assert count_odd_spaces(["a b", *odd, "", "c"]) == len(odd)
    assert count_odd_spaces(["a b", "c", "", "d\u00a0e"]) == count_odd_spaces([]) == 0


@pytest.mark.parametrize("kind, is_read", [
    ({}, False), ({"tokenizer": "char"}, True), ({"tokenizer": "byte"}, True),
], ids=str)  # fmt: skip
def test_white_space_is_told_where_the_tokenizer_reads_it(kind, is_read):
    tokenizers = {"words": make_tokenizer(LINES), "other": make_tokenizer(LINES, **kind)}
    told = notices_of(lambda: tell_odd_spaces(2, tokenizers))
    assert len(told) == is_read
    if is_read:
        assert told[0].startswith("2 sentences hold irregular white space")
        assert "scores of other:" in told[0] and "`strip=True`" in told[0]
    assert notices_of(lambda: tell_odd_spaces(0, tokenizers)) == []


def test_words_that_are_known_with_a_mark_or_without_are_told():
    glued = make_tokenizer(['I am "glad".', "he ran. (Well, yes)", "stop"])
    told = notices_of(lambda: tell_glued(["ran", "zebra", "yes", "ran", "stop!"], glued, "it"))
    assert len(told) == 1 and "it knows 'ran.', but not 'ran', and 2 more like that" in told[0]
    assert "--split-punctuation" in told[0]
    for words in ([], ["zebra"], ["a"], ["."]):
        assert notices_of(lambda words=words: tell_glued(words, glued, "it")) == []
    split = make_tokenizer(["he ran. (Well, yes)"], split_punctuation=True)
    letters = make_tokenizer(["he ran."], tokenizer="char")
    for tokenizer in (split, letters):
        assert notices_of(lambda its=tokenizer: tell_glued(["ran!"], its, "it")) == []


# ---- Scripts without blanks between words.


@pytest.mark.parametrize(("texts", "lacks"), [
    ([CHINESE, "今日はとてもいい天気です", THAI, "ຂ້ອຍມັກກິນເຂົ້າຫຼາຍ", "ខ្ញុំចូលចិត្តញ៉ាំបាយ",
      "ကျွန်တော်ထမင်းစားချင်တယ်", "བོད་ཀྱི་སྐད་ཡིག་སློབ་པ་", f"{CHINESE * 2} Beijing"], True),
    (["we went to school", "他 今天 很 好 我们 去 学校", "เขา ไป ตลาด วันนี้", "很好", "나는 오늘학교에갔습니다만",
      "достопримечательность", "", f"{CHINESE} is a Chinese line"], False),
])  # fmt: skip
def test_scripts_without_blanks_are_recognised_where_they_have_none(texts, lacks):
    assert [lacks_blanks([text] * 3) for text in texts] == [lacks] * len(texts)


COUNTED = [f"{word} {9999 - number}" for number, word in enumerate(WORDLIST)]


@pytest.mark.parametrize("lines", [
    COUNTED, [" ".join(line.split()[::-1]) for line in COUNTED],  # as of `uniq -c`
    sorted(COUNTED), [f"the {line}" for line in COUNTED],  # by word; of pairs
    [f"{word}: {line}" for word, line in zip(WORDLIST, SPOKEN, strict=True)],  # a glossary
    [f"{word.upper()}  {' '.join(word.upper())}" for word in WORDLIST],  # as of CMU
], ids=str)  # fmt: skip
def test_lists_of_words_have_no_ids(lines):
    assert notices_of(lambda: tell_form(lines, unwraps=True)) == []


def test_no_text_of_the_corpora_is_taken_for_another_form():
    paths = [path for name in corpora.names() for path in (corpora.FOLDER / name).iterdir()]
    texts = {path: path.read_text("utf-8", "replace") for path in paths if path.is_file()}
    assert not [path for path, text in texts.items() if lacks_blanks([text])]
    plain = [text.split("\n") for path, text in texts.items() if path.suffix == ".txt"]
    assert notices_of(lambda: [tell_form(lines, unwraps=True) for lines in plain]) == []


def test_scripts_without_blanks_are_told_where_words_are_counted_alone(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(f"{THAI}\n{CHINESE}\n" * 60)

    def learn(**settings):
        list(rnnlm.train(path, output=tmp_path / "m", model="unigram", overwrite=True, **settings))

    learn()
    assert "ppl_word count phrases" in " ".join(notices_of(lambda: evaluate(tmp_path / "m", path)))
    assert "no blanks" not in " ".join(notices_of(lambda: learn(tokenizer="char")))
