"""Words of rows that `--where` leaves out are context of the others: surprisals are the whole
table's."""

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning
from support.tiny_models import fit

SENTENCES = ["the cat sat on a mat", "a dog saw the cat", "the yak is here", "a cat sat"]
HEAD = ["item", "n", "word", "region", "measure", "rt"]


def regions(places):
    return "subject" if places < 3 else "verb" if places == 3 else "rest"


def rows_of(sentences=SENTENCES, measures=("gaze",)):
    return [
        [f"i{item}", number, word, regions(number), measure, "NA" if number == 2 else 7 * number]
        for item, text in enumerate(sentences, start=1)
        for number, word in enumerate(text.split(), start=1)
        for measure in measures
    ]


BOTH = rows_of(measures=("gaze", "total"))
GAPPED = [[*row[:2], "several words" if row[1] == 2 else row[2], *row[3:]] for row in rows_of()]
UNNUMBERED = [[row[0], "x", *row[2:]] for row in rows_of()]
SUBJECTS = [[*row[:4], subject, row[5]] for row in rows_of() for subject in ("a", "b")]
ONE_BY_ONE = [[*row[:4], subject, row[5]] for subject in ("a", "b") for row in rows_of()]


def surprisals(model, sentences):
    """Return the surprisal of each word by item and number."""
    scores = model.score_sentences(list(sentences.values()), words=True)
    return {
        (item, number): word.surprisal_bits
        for (item, _), score in zip(sentences.items(), scores, strict=True)
        for number, word in enumerate(score.word_scores, start=1)
    }


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("rows, where, columns", [
    (rows_of(), "region=verb", "item"),
    (rows_of(), "region!=subject", "item"),
    (rows_of(), "rt!=NA", "item"),
    (rows_of(), "item=i2", "item"),
    (rows_of(), "region=verb", "n"),
    (rows_of(), "region=rest", "item,n"),
    (BOTH, "measure=gaze", "item"),
    (BOTH, "measure=total", "item"),
    (SUBJECTS, "measure=b", "item"),
    (ONE_BY_ONE, "region=verb", "item,measure"),
])  # fmt: skip
def test_words_left_out_are_context(tmp_path, rows, where, columns):
    table = tmp_path / "t.csv"
    table.write_text("\n".join(",".join(map(str, row)) for row in [HEAD, *rows]) + "\n")
    model = rnnlm.Model(fit("ngram", order=3))
    texts = {f"i{item}": text for item, text in enumerate(SENTENCES, start=1)}
    expected = surprisals(model, texts)
    settings = rnnlm.SentenceSettings(sentence_columns=tuple(columns.split(",")), where=(where,))
    scores = model.score_sentences(rnnlm.read_sentences(table, settings), words=True)
    found = scores.to_rows("word")
    name, sign, value = where.partition("!=") if "!" in where else where.partition("=")
    kept = [row for row in rows if (str(row[HEAD.index(name)]) == value) == (sign == "=")]
    assert [(row["item"], int(row["n"]), row["word"]) for row in found] == [
        (row[0], row[1], row[2]) for row in kept
    ]
    bits = [expected[row[0], row[1]] for row in kept]
    assert [row["surprisal_bits"] for row in found] == pytest.approx(bits)
    assert [row["position"] for row in found] == [row[1] for row in kept]
    if columns in ("item", "item,n"):
        # One text an item that has a row; the columns of a whole sentence are those of its rows.
        assert [score.text for score in scores] == [
            texts[i] for i in dict.fromkeys(r[0] for r in kept)
        ]
        assert {score.shared_columns["item"] for score in scores} == {row[0] for row in kept}


@pytest.mark.parametrize("rows, where, texts, note", [
    (UNNUMBERED, "region=verb", ["sat", "saw", "is", "sat"],
     "which are no context of the others: no column numbers the words"),
    (rows_of(), "word!=cat", ["the sat on a mat", "a dog saw the", "the yak is here", "a sat"],
     "are missing, by n"),
    (GAPPED, "region=verb", ["the sat on a mat", "a saw the cat", "the is here", "a sat"],
     "are missing, by n"),
])  # fmt: skip
def test_what_lends_no_word(tmp_path, rows, where, texts, note):
    table = tmp_path / "t.csv"
    table.write_text("\n".join(",".join(map(str, row)) for row in [HEAD, *rows]) + "\n")
    settings = rnnlm.SentenceSettings(sentence_columns=("item",), where=(where,))
    with pytest.warns(RnnlmWarning, match=note):
        found = list(rnnlm.read_sentences(table, settings))
    assert [sentence.text for sentence in found] == texts


@pytest.mark.needs("tools/reading")
@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("where", ["region=verb", "region!=subject"])
def test_reading_times_are_explained_by_surprisals_of_whole_sentences(where):
    rows = [
        {"subject": s, "item": row[0], "sentence": 1, "n": row[1], "word": row[2],
         "region": row[3], "rt": 200 + 37 * row[1] + 11 * s * len(row[2]) + 13 * int(row[0][1:])}
        for row in rows_of(SENTENCES * 4) for s in (1, 2, 3)
    ]  # fmt: skip
    model = rnnlm.Model(fit("ngram", order=3))
    asked = {"baseline": "word_length", "exclude": (), "folds": 2, "resamples": 9,
             "number_column": "n"}  # fmt: skip
    words = ("item", "position", "surprisal_bits", "previous_surprisal_bits")

    def found(**more):
        table = rnnlm.reading(rows, model, **asked, **more).to_rows("words")
        return {
            (row["item"], row["subject"], row["n"]): [row[name] for name in words[2:]]
            for row in table
            if row["surprisal_bits"] is not None
        }

    whole, chosen = found(), found(where=(where,))
    assert chosen and all(
        pytest.approx(whole[key], nan_ok=True) == value for key, value in chosen.items()
    )
