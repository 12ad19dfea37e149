"""Raw text is split as a treebank splits its own: at marks as there, with its multiword forms, and
new ones that end alike."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.errors import ModelError
from rnnlm.text.labelled.example import LabelledSettings
from rnnlm.text.labelled.splitting import Splitter, at_marks, at_white_space, learn_splitter

# Each sentence: its text; and its forms, with the words of a multiword form joined by +.
TREEBANK = [
    ("We don't like 15-year-old e-mail.", "We do+n't like 15 - year - old e-mail ."),
    ("Don't send e-mail, Mr. Smith!", "Do+n't send e-mail , Mr. Smith !"),
    ("A 20-year loan, Mr. Brown's.", "A 20 - year loan , Mr. Brown+'s ."),
    (
        "Ann's cat isn't at www.cats.org, or its mother's.",
        "Ann+'s cat is+n't at www.cats.org , or its mother+'s .",
    ),
    (
        "Tom's dog can't read (he hasn't time): see www.dogs.org.",
        "Tom+'s dog ca+n't read ( he has+n't time ) : see www.dogs.org .",
    ),
    ("Its cat's its.", "It+s cat+'s its ."),
    ("It is its own. The bus is here.", "It is its own . The bus is here ."),
]


NOTHING_LEARNT = Splitter.learn([])


def conllu(text, forms, comment=True):
    lines, number = [f"# text = {text}"] if comment else [], 1
    rest = text
    for form in forms.split():
        words = form.split("+")
        surface = "".join(words)
        rest = rest[len(surface) :]
        misc = "_" if rest.startswith(" ") or comment else "SpaceAfter=No"
        rest = rest.lstrip()
        if len(words) > 1:
            lines.append(f"{number}-{number + len(words) - 1}\t{surface}" + "\t_" * 7 + f"\t{misc}")
        lines += [
            f"{number + place}\t{word}" + "\t_" * 7 + f"\t{misc}"
            for place, word in enumerate(words)
        ]
        number += len(words)
    return "\n".join([*lines, "", ""])


@pytest.fixture(params=[True, False], ids=["by # text", "by SpaceAfter"])
def splitter(request, tmp_path):
    path = tmp_path / "train.conllu"
    path.write_text("".join(conllu(*sentence, request.param) for sentence in TREEBANK))
    return learn_splitter([path], LabelledSettings())


def test_a_treebank_is_split_as_it_was(splitter):
    for text, forms in TREEBANK:
        # which most often is one word
        expected = forms.replace("It+s", "Its").replace("+", " ").split()
        assert list(splitter.split(text).words) == expected


def test_new_text_is_split_like_it(splitter):
    found = splitter.split("DON'T pay 30-year-old Zoe's e-mail (wasn't) at www.birds.org.")
    assert (
        " ".join(found.words)
        == "DO N'T pay 30 - year - old Zoe 's e-mail ( was n't ) at www.birds.org ."
    )
    assert found.ranges == ((0, 2, "DON'T"), (8, 10, "Zoe's"), (12, 14, "wasn't"))
    assert [
        found.words[place] for place, glued in enumerate(found.are_glued) if glued
    ] == "30 - year - ( n't www.birds.org".split()


def test_a_splitter_survives_json_and_damage_is_reported(splitter):
    stored = json.loads(json.dumps(splitter.to_dict()))
    assert Splitter.from_dict(stored) == splitter
    for damage in (
        {"cuts": 1},
        {"more": 1},
        {"forms": {"a": [""]}},
        {"forms": {"a": []}},
        {"ends": [""]},
    ):
        with pytest.raises(ModelError, match="how the model splits text is damaged"):
            Splitter.from_dict({**stored, **damage})


def test_words_not_spelling_their_form_get_its_case(tmp_path):
    path = tmp_path / "fr.conllu"
    row = "\t_" * 8 + "\n"
    path.write_text(f"1-2\tdu{row}1\tde{row}2\tle{row}\n")
    splitter = learn_splitter([path], LabelledSettings())
    assert splitter.mark_cuts is None  # the file does not say where its spaces are
    assert splitter.split("Du pain, DU vin: du").words == (
        "De",
        "le",
        "pain",
        ",",
        "DE",
        "LE",
        "vin",
        ":",
        "de",
        "le",
    )


def test_text_is_split_at_marks_or_white_space():
    found = at_marks("It's  a 15-year loan.")
    assert found.words == ("It's", "a", "15", "-", "year", "loan", ".")
    assert found.are_glued == (False, False, True, True, False, True, False)
    assert at_white_space(" It's  a loan.\t").words == ("It's", "a", "loan.")


@given(st.text(max_size=30))
def test_words_of_any_text_make_it_up(text):
    for found in (NOTHING_LEARNT.split(text), at_marks(text), at_white_space(text)):
        assert "".join(found.words) == "".join(at_white_space(text).words)
        assert all(found.words) and len(found.are_glued) in (0, len(found.words))


def test_words_of_any_length_are_split(splitter):
    for word in ("-." * 2_000, "x" * 100_000, "a@" * 2_000, "'s" * 2_000):
        assert "".join(splitter.split(word).words) == word
