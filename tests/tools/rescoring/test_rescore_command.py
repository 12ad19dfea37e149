"""`rnnlm rescore` in process, on a list made of the corpus' own sentences."""

import pytest


@pytest.fixture(scope="module")
def nbest(corpus_lines):
    """Return sixty utterances: the right one is first in every third, else behind its reverse."""
    lines = []
    for number, line in enumerate(corpus_lines[:60]):
        words = line.upper().split()
        hypotheses = [words[::-1], words, words[:-1]]
        if number % 3 == 0:
            hypotheses = [words, words[::-1], words[:-1]]
        lines.append(f"u{number}\tREF\t\t{' '.join(words)}")
        for rank, hypothesis in enumerate(hypotheses, start=1):
            lines.append(f"u{number}\t{rank}\t{-float(rank)}\t{' '.join(hypothesis)}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def listed(here, nbest):
    (here / "list.tsv").write_text(nbest)
    utterances = nbest.split("u30\tREF")
    (here / "dev.tsv").write_text(utterances[0])
    (here / "test.tsv").write_text("u30\tREF" + utterances[1])
    return here


def test_weights_tuned_on_one_list_apply_to_another(rnnlm, models, listed):
    shown = rnnlm(
        f"rescore --tune dev.tsv --apply test.tsv -m {models.unigram} -m {models.lstm} --lowercase"
    )
    assert shown.code == 0, shown.err
    columns, first, one, both, oracle, [signature], *weights = shown.rows
    assert signature == "signature: wer|words:blanks|form:nfc|case:kept|punctuation:kept"
    assert columns[1] == "WER %" and (first[0], oracle[0]) == ("1-best", "oracle")
    assert one[0] == f"with {models.unigram}"
    assert both[0] == f"with {models.unigram} + {models.lstm}"
    assert float(oracle[1]) == 0 <= float(both[1]) <= float(first[1])
    gain = float(one[1]) - float(both[1])
    assert one[8] != "" and float(both[7]) == pytest.approx(gain, abs=0.011)
    names = [row[0] for row in weights]
    features = [f"lm:{models.unigram}", f"lm:{models.lstm}", "words"]
    assert names[:5] == ["feature", "first pass", *features]
    assert names[5:] == ["oov, shared"]  # both have the same vocabulary
    assert "tuned on 30 utterances" in shown.err


def test_saved_weights_match_tuning_and_applying_at_once(rnnlm, models, listed):
    common = f"-m {models.unigram} --apply test.tsv --json --output"
    tuned = rnnlm(f"rescore --tune dev.tsv --lowercase --weights-output w.json {common} one.txt")
    applied = rnnlm(f"rescore --weights w.json {common} two.txt")
    assert tuned.code == applied.code == 0, tuned.err + applied.err
    for key in ("first", "rescored", "oracle", "gain", "weights"):
        assert tuned.json[key] == applied.json[key]
    assert tuned.json["weights"]["mapping"]["lowercase"] and tuned.json["rescored"]["words"] > 0
    assert tuned.err.endswith("30 utterances written to one.txt\nweights written to w.json\n")
    assert (listed / "one.txt").read_bytes() == (listed / "two.txt").read_bytes()
    assert (listed / "one.txt").read_text().startswith("u30 ")

    # Weights are of these models and of this mapping of words.
    given = "rescore --weights w.json --apply test.tsv"
    contradicting = rnnlm(f"{given} -m {models.unigram} --remove-punctuation")
    assert contradicting.code == 2
    assert "differ from those with which w.json was tuned" in contradicting.err
    other = rnnlm(f"{given} -m {models.lstm}")
    assert other.code == 1 and "tuned for other models" in other.errors[0]
    assert f"for {models.unigram} (" in other.err and f"given: {models.lstm} (" in other.err


def test_scripts_without_blanks_have_a_character_error_rate(rnnlm, models, here):
    texts = ["他今天很好我们去学校", "他明天很好我们去学校"]
    rows = [f"u{n}\tREF\t\t{texts[0]}\nu{n}\t1\t-1\t{texts[n % 2]}\n" for n in range(10)]
    (here / "zh.tsv").write_text("".join(rows))
    shown = rnnlm(f"rescore --tune zh.tsv -m {models.unigram}")
    assert shown.rows[0][1:3] == ["WER %", "CER %"] and shown.rows[1][1:3] == ["50.00", "5.00"]
    assert "10 of 10 references are a single word, as their script has no blanks" in shown.err
    assert rnnlm(f"rescore --tune zh.tsv -m {models.unigram} --json").json["oracle"]["cer"] == 0.05


def test_one_list_is_divided(rnnlm, models, listed):
    half = rnnlm(
        f"rescore --tune list.tsv --split even-odd -m {models.unigram} --lowercase --json"
    ).json
    assert (half["utterances"], half["weights"]["tuned"]["utterances"]) == (30, 30)
    itself = rnnlm("rescore", "--tune", "list.tsv", "-m", models.unigram, "--lowercase")
    assert itself.code == 0 and "measured on the list that the weights were tuned on" in itself.err


def test_utterance_names_with_spaces_are_refused_before_scoring(rnnlm, models, listed):
    (listed / "dev.tsv").write_text("u 1\tREF\t\tthe\nu 1\t1\t-1\tthe\n")
    refused = rnnlm(f"rescore --tune dev.tsv -m {models.unigram} --output best.txt")
    assert refused.code == 1 and "scored" not in refused.err
    assert "the name 'u 1' of an utterance holds white space" in refused.errors[0]


@pytest.mark.parametrize("arguments", [
    "", "--apply test.tsv", "--tune dev.tsv --weights w.json --apply test.tsv", "--weights w.json",
    "--tune dev.tsv --apply test.tsv --split even-odd",
    "--weights w.json --apply test.tsv --no-words", "--tune dev.tsv --scores ac_cost",
    "--tune dev.tsv --output one --nbest-output ./one",
    "--tune dev.tsv --nbest-output dev.tsv --overwrite",
])  # fmt: skip
def test_incompatible_options_are_wrong_usage(rnnlm, models, listed, arguments):
    shown = rnnlm(f"rescore -m {models.unigram} {arguments}")
    assert shown.code == 2 and shown.errors[0].startswith("error: ") and shown.out == ""


def test_the_model_may_come_from_the_environment(rnnlm, models, listed, monkeypatch):
    monkeypatch.setenv("RNNLM_MODEL", str(models.unigram))
    shown = rnnlm("rescore --tune dev.tsv --lowercase")
    assert shown.code == 0
    assert shown.err.startswith(f"model: {models.unigram}, from $RNNLM_MODEL;")


def test_a_list_without_references_is_rescored_without_rates(rnnlm, models, listed):
    by_counts = f"-m {models.unigram}"
    tuned = rnnlm(f"rescore --tune dev.tsv {by_counts} --lowercase --weights-output w.json")
    assert tuned.code == 0
    lines = (listed / "test.tsv").read_text().splitlines()
    (listed / "bare.tsv").write_text("\n".join(line for line in lines if "\tREF\t" not in line))
    shown = rnnlm(f"rescore --weights w.json --apply bare.tsv {by_counts} --output best.txt")
    assert shown.code == 0 and "there is no WER" in shown.err
    assert len((listed / "best.txt").read_text().splitlines()) == 30
    refused = rnnlm(f"rescore --tune bare.tsv {by_counts} --lowercase")
    assert refused.code == 1 and "no utterance has a reference" in refused.errors[0]
    references = [line.replace("\tREF\t\t", " ") for line in lines if "\tREF\t" in line]
    (listed / "ref.txt").write_text("\n".join(references) + "\n")
    assert rnnlm(f"rescore --tune bare.tsv --ref ref.txt {by_counts} --lowercase").code == 0


def test_a_field_that_a_file_lacks_is_named_as_the_file_has_it(rnnlm, here, models):
    (here / "w.json").write_text('{"models": {}}')
    (here / "list.tsv").write_text("u1\t1\t-1\tthe man\n")
    ended = rnnlm(f"rescore --weights w.json --apply list.tsv -m {models.unigram}")
    assert ended.code == 1 and "missing required field 'weights'" in ended.err
