"""Normalisation: each form, the same when done twice, and each character's place."""

import pytest
from hypothesis import given, strategies as st

from rnnlm.errors import SettingsError
from rnnlm.text.normalisation import (
    normalise,
    remove_punctuation,
    trace,
    trace_without_punctuation,
    untraced,
)
from rnnlm.text.tokenizer_settings import FORMS, parse_forms

HOSTILE = [
    "&", "amp;", "&amp;", "#38;", "&lt;", "lt;", "s", "/s", "unk", "&gt;", "<", ">", "<unk>", "<s>",
    ";", "\u037e", "&semi;", "&#97;",
    "mp", "K", "\u212a", "e", "\u0301", "\u0308", "&#769;", "\u0344", "\u0338", "\u1100", "\u1161",
    "\u11a8", "\u09c7", "\u09be", "\u2019",
    "\u201c", "\u00b4", "'", "\u2014", " ", "\u00a0", "\u200b", "\t", "\0", "&nbsp;", "&#10;",
    "&#0;", "&#1;", "&#xD800;", "&#146;",
    "&nvlt;", "\u200d", "\u00ad", "&shy;", ".", "&bogus;", "\n",
]  # fmt: skip
hostile_text = st.one_of(
    st.lists(st.sampled_from(HOSTILE), max_size=12).map("".join),
    st.text(st.characters(codec="utf-8"), max_size=12),
)
some_forms = st.one_of(st.sets(st.sampled_from(FORMS)).map(",".join), st.just("ccnet"))


@pytest.mark.parametrize(("forms", "text", "expected"), [
    ("quotes", "\u201eJa\u201c, don\u2019t \u2018x\u2019 5\u2032 2\u2033 l\u00b4eau",
     "\"Ja\", don't 'x' 5' 2\" l'eau"),
    ("quotes", "\u00abnon\u00bb \u2039oui\u203a", "\u00abnon\u00bb \u2039oui\u203a"),
    ("dashes", "a\u2013b \u2014 c \u2212 1 non\u2011stop", "a-b - c - 1 non-stop"),
    ("spaces", " 10\u202f000\u00a0km\t\u200b x\u2060y\ufeff \u3000z  ", " 10 000 km x y z "),
    ("spaces", "\u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f4bb",
     "\u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f4bb"),
    ("spaces", "\u00adSil\u00adben\u00ad \u00ad <unk>\u00ad <un\u00adk>", "Silben <unk> &lt;unk>"),
    ("entities,spaces", "&am&shy;p; Sil&#173;ben &shy;", "& Silben "),
    ("entities", "Sil&shy;ben", "Sil\u00adben"),
    ("entities", "Q&amp;A &quot;caf&eacute;&quot; it&#8217;s &#x2014;",
     "Q&A \"caf\u00e9\" it\u2019s \u2014"),
    ("entities", "AT&T x&y; &copy 1 ?a=1&lang=en", "AT&T x&y; &copy 1 ?a=1&lang=en"),
    ("entities", "&amp;amp;lt; &#38;#38;#60; &&#97;mp;", "< < &"),
    ("entities", "a&#10;b&NewLine;c&#13;d&#0;e&#1;", "a b c d\ufffde&#1;"),
    ("entities", "&lt;s&gt; &lt;/s> &amp;lt;UNK&gt; <unk> &lt;b&gt;",
     "&lt;s> &lt;/s> &lt;UNK> <unk> <b>"),
    ("nfc", "cafe\u0301 \u212b \u1100\u1161", "caf\u00e9 \u00c5 \uac00"),
    ("all", "it&rsquo;s&nbsp;a &ldquo;cafe&#769;&rdquo; &ndash; \u2019",
     "it's a \"caf\u00e9\" - '"),
    ("ccnet", "  \u039f\u0394\u039f\u03a3 \u03a31\uff12 &amp;\u2014\u0130\x07 \uff0c\u3008\u00abd\u00e9\u2026\t\u00bb ",
     "\u03bf\u03b4\u03bf\u03c2 \u03c300 &amp; - i ,<\"de...\""),
    (None, "\u2019 &amp; \u00a0", "\u2019 &amp; \u00a0"),
])  # fmt: skip
def test_what_becomes_of_each_form(forms, text, expected):
    assert normalise(text, forms) == expected


@given(text=hostile_text, forms=some_forms)
def test_normalising_is_stable_and_keeps_the_lines(text, forms):
    once = normalise(text, forms)
    assert normalise(once, forms) == once
    assert once == "\n".join(normalise(line, forms) for line in text.split("\n"))
    for symbol in () if forms == "ccnet" else ("<s>", "</s>", "<unk>"):
        assert once.lower().count(symbol) <= text.lower().count(symbol)


@given(text=hostile_text, forms=some_forms)
def test_offsets_of_normalised_text_ascend_and_cover_it(text, forms):
    read, starts, ends = untraced(trace(text, parse_forms(forms)))
    assert read == normalise(text, forms) and len(starts) == len(ends) == len(read)
    if read:
        assert starts[0] == 0 and ends[-1] == len(text)
        assert (starts < ends).all() and (starts[1:] <= ends[:-1]).all()
        assert (starts[1:] >= starts[:-1]).all() and (ends[1:] >= ends[:-1]).all()


def test_offsets_by_hand_for_entities_accents_and_spaces():
    read, starts, ends = untraced(trace("a&amp;\u00a0 e\u0301&lt;s>", parse_forms("all")))
    assert read == "a& \u00e9&lt;s>"
    assert starts.tolist() == [0, 1, 6, 8, 10, 10, 10, 10, 14, 15]
    assert ends.tolist() == [1, 6, 8, 10, 14, 14, 14, 14, 15, 16]


def test_nested_entities_in_a_long_line_are_fast():
    assert normalise("&amp;" + "amp;" * 10_000, "entities") == "&"


def test_forms_have_one_spelling():
    assert parse_forms("all") == ",".join(FORMS) == parse_forms(reversed(FORMS))
    assert parse_forms("quotes, dashes") == parse_forms(["dashes", "quotes", "dashes"])
    assert parse_forms("quotes, dashes") == "dashes,quotes"
    assert parse_forms("none") is parse_forms("") is parse_forms(None) is None
    with pytest.raises(SettingsError, match="no form 'quote'.*did you mean 'quotes'"):
        parse_forms("quote,dashes")


@pytest.mark.parametrize(("line", "expected"), [
    ("\u201cHello,\u201d she said \u2013 don\u2019t!", "Hello she said don't"),
    ("(a) well-known 'x' <unk> <unk>, 3.5 ", "a well known x <unk> unk 3 5 "),
    (" - ", " "), ("...", ""), ("a  b", "a  b"), ("\U0001f600a\U00010400", "a\U00010400"),
])  # fmt: skip
def test_punctuation_becomes_white_space_but_apostrophes_inside_words(line, expected):
    assert remove_punctuation(line) == remove_punctuation(expected) == expected


@given(text=hostile_text.map(lambda text: text.replace("\n", "")), forms=some_forms)
def test_what_is_left_without_punctuation_is_traced_too(text, forms):
    read, starts, ends = untraced(trace_without_punctuation(trace(text, parse_forms(forms))))
    assert read == remove_punctuation(normalise(text, forms)) and remove_punctuation(read) == read
    assert (starts[1:] >= starts[:-1]).all() and (starts < ends).all()
