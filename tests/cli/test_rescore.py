"""`rnnlm rescore` in process, on a list made of the corpus' own sentences."""

import pytest


@pytest.fixture(scope="module")
def nbest(corpus_lines):
    """Return sixty utterances. The sentence itself is second, behind one with its words reversed;
    in every third utterance it is first."""
    lines = []
    for number, line in enumerate(corpus_lines[:60]):
        words = line.upper().split()
        hypotheses = [" ".join(words[::-1]), " ".join(words), " ".join(words[:-1])]
        if number % 3 == 0:
            hypotheses = [hypotheses[1], hypotheses[0], hypotheses[2]]
        lines.append(f"u{number}\tREF\t\t{' '.join(words)}")
        lines += [
            f"u{number}\t{rank}\t{-float(rank)}\t{text}"
            for rank, text in enumerate(hypotheses, start=1)
        ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def listed(here, nbest):
    (here / "list.tsv").write_text(nbest)
    utterances = nbest.split("u30\tREF")
    (here / "dev.tsv").write_text(utterances[0])
    (here / "test.tsv").write_text("u30\tREF" + utterances[1])
    return here


def rates(shown):
    return shown.rows


def test_weights_tuned_on_one_list_apply_to_another(rnnlm, models, listed):
    shown = rnnlm(
        f"rescore --tune dev.tsv --apply test.tsv -m {models.unigram} -m {models.lstm} --lowercase"
    )
    assert shown.code == 0, shown.err
    columns, first, one, both, oracle, *weights = rates(shown)
    assert columns[1] == "WER %" and (first[0], oracle[0]) == ("1-best", "oracle")
    assert (
        one[0] == f"with {models.unigram}" and both[0] == f"with {models.unigram} + {models.lstm}"
    )
    assert float(oracle[1]) == 0 <= float(both[1]) <= float(first[1])
    assert one[8] != "" and float(both[7]) == pytest.approx(
        float(one[1]) - float(both[1]), abs=0.011
    )
    names = [
        f"lm:{models.unigram}",
        f"lm:{models.lstm}",
        "words",
        f"oov:{models.unigram}",
        f"oov:{models.lstm}",
    ]
    assert [row[0] for row in weights[:2]] == ["feature", "first pass"]
    assert [row[0] for row in weights[2:]][:3] == names[:3] and {
        row[0] for row in weights[2:]
    } <= set(names)
    assert "tuned on 30 utterances" in shown.err


def test_saved_weights_match_tuning_and_applying_at_once(rnnlm, models, listed):
    common = ("-m", models.unigram, "--apply", "test.tsv", "--json", "--output")
    tuned = rnnlm(
        "rescore",
        "--tune",
        "dev.tsv",
        "--lowercase",
        "--weights-output",
        "w.json",
        *common,
        "one.txt",
    )
    applied = rnnlm("rescore", "--weights", "w.json", *common, "two.txt")
    assert tuned.code == applied.code == 0, tuned.err + applied.err
    first, second = tuned.json, applied.json
    for key in ("first", "rescored", "oracle", "gain", "weights"):
        assert first[key] == second[key]
    assert tuned.err.endswith("30 utterances written to one.txt\nweights written to w.json\n")
    assert (listed / "one.txt").read_bytes() == (listed / "two.txt").read_bytes()
    assert (listed / "one.txt").read_text().splitlines()[0].startswith("u30 ")
    assert first["weights"]["mapping"]["lowercase"] and first["rescored"]["words"] > 0
    contradicting = rnnlm(
        f"rescore --weights w.json --apply test.tsv -m {models.unigram} --remove-punctuation"
    )
    assert contradicting.code == 2 and "differ from those of w.json" in contradicting.err
    other = rnnlm("rescore", "--weights", "w.json", "--apply", "test.tsv", "-m", models.lstm)
    assert other.code == 1 and "tuned for other models" in other.errors[0]
    both = rnnlm(
        f"rescore --tune dev.tsv --weights-output both.json -m {models.lstm} -m {models.unigram}"
    )
    fewer = rnnlm("rescore", "--weights", "both.json", "--apply", "test.tsv", "-m", models.lstm)
    assert (
        both.code == 0
        and fewer.code == 1
        and f"for {models.unigram} (" in fewer.err
        and f"given: {models.lstm} (" in fewer.err
    )


def test_one_list_is_divided(rnnlm, models, listed):
    half = rnnlm(
        f"rescore --tune list.tsv --split even-odd -m {models.unigram} --lowercase --json"
    ).json
    assert (half["utterances"], half["weights"]["tuned"]["utterances"]) == (30, 30)
    itself = rnnlm("rescore", "--tune", "list.tsv", "-m", models.unigram, "--lowercase")
    assert itself.code == 0 and "measured on the list that the weights were tuned on" in itself.err


def test_utterance_names_with_spaces_are_refused_before_scoring(rnnlm, models, listed):
    (listed / "dev.tsv").write_text("u 1\tREF\t\tthe\nu 1\t1\t-1\tthe\n")
    refused = rnnlm("rescore", "--tune", "dev.tsv", "-m", models.unigram, "--output", "best.txt")
    assert (
        refused.code == 1
        and "the name 'u 1' of an utterance holds white space" in refused.errors[0]
        and "scored" not in refused.err
    )


@pytest.mark.parametrize("arguments", [
    [], ["--apply", "test.tsv"],
    ["--tune", "dev.tsv", "--weights", "w.json", "--apply", "test.tsv"], ["--weights", "w.json"],
    ["--tune", "dev.tsv", "--apply", "test.tsv", "--split", "even-odd"],
    ["--weights", "w.json", "--apply", "test.tsv", "--no-words"],
    ["--tune", "dev.tsv", "--scores", "ac_cost"],
    ["--tune", "dev.tsv", "--output", "one", "--nbest-output", "./one"],
    ["--tune", "dev.tsv", "--nbest-output", "dev.tsv", "--overwrite"],
])  # fmt: skip
def test_incompatible_options_are_wrong_usage(rnnlm, models, listed, arguments):
    shown = rnnlm("rescore", "-m", models.unigram, *arguments)
    assert shown.code == 2 and shown.errors[0].startswith("error: ") and shown.out == ""


def test_the_model_may_come_from_the_environment(rnnlm, models, listed, monkeypatch):
    monkeypatch.setenv("RNNLM_MODEL", str(models.unigram))
    shown = rnnlm("rescore", "--tune", "dev.tsv", "--lowercase")
    assert (shown.code, shown.err.split(";")[0]) == (
        0,
        f"model: {models.unigram}, as $RNNLM_MODEL says",
    )


def test_a_list_without_references_is_rescored_without_rates(rnnlm, models, listed):
    assert (
        rnnlm(
            f"rescore --tune dev.tsv -m {models.unigram} --lowercase --weights-output w.json"
        ).code
        == 0
    )
    lines = [
        line for line in (listed / "test.tsv").read_text().splitlines() if "\tREF\t" not in line
    ]
    (listed / "bare.tsv").write_text("\n".join(lines))
    shown = rnnlm(
        f"rescore --weights w.json --apply bare.tsv -m {models.unigram} --output best.txt"
    )
    assert shown.code == 0 and "errors are not counted" in shown.err
    assert len((listed / "best.txt").read_text().splitlines()) == 30
    refused = rnnlm("rescore", "--tune", "bare.tsv", "-m", models.unigram, "--lowercase")
    assert refused.code == 1 and "no utterance has a reference" in refused.errors[0]
    (listed / "ref.txt").write_text("".join(line.replace("\tREF\t\t",
                                                         " ") + "\n" for line in (listed / "test.tsv").read_text().splitlines()
                                            if "\tREF\t" in line))  # fmt: skip
    assert rnnlm(f"rescore --tune bare.tsv --ref ref.txt -m {models.unigram} --lowercase").code == 0


def test_a_field_that_a_file_lacks_is_named_as_the_file_has_it(rnnlm, here, models):
    (here / "w.json").write_text('{"models": {}}')
    (here / "list.tsv").write_text("u1\t1\t-1\tthe man\n")
    ended = rnnlm("rescore", "--weights", "w.json", "--apply", "list.tsv", "-m", models.unigram)
    assert ended.code == 1 and "missing required field 'weights'" in ended.err
