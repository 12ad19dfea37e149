import json
import shutil

import pytest

from rnnlm.models.companions import TunedSettings, save_tuned


def test_one_sample_a_line(rnnlm, models):
    shown = rnnlm("generate", "-m", models.unigram, "--num", 5, "--max-tokens", 8)
    assert (shown.code, shown.err) == (0, "")
    assert len(shown.out.splitlines()) == 5


def test_temperature_zero_is_greedy(rnnlm, models):
    shown = rnnlm(
        "generate",
        "-m",
        models.unigram,
        "--temperature",
        0,
        "--num",
        3,
        "--max-tokens",
        4,
        "--json",
    )
    records = [json.loads(line) for line in shown.out.splitlines()]
    assert len({record["text"] for record in records}) == 1
    assert [record["number"] for record in records] == [0, 1, 2]


def test_prompt_begins_samples_and_unknown_words_are_reported(rnnlm, models):
    shown = rnnlm("generate", "-m", models.lstm, "the man", "--num", 2, "--max-tokens", 5)
    assert all(line.startswith("the man") for line in shown.out.splitlines())
    unknown = rnnlm("generate", "-m", models.lstm, "the zorp [red]", "--max-tokens", 5)
    assert unknown.code == 0
    assert unknown.err.startswith("note: ") and "zorp, [red]" in unknown.err
    assert unknown.out.startswith("the <unk> <unk>")


def test_each_beginning_has_its_own_samples(rnnlm, models):
    flags = ("-m", models.lstm, "--num", 2, "--max-tokens", 5)
    one, other = (rnnlm("generate", text, *flags).out for text in ("the man", "a"))
    assert len(one.splitlines()) == 2
    assert rnnlm("generate", "the man", "a", *flags).out == one + other
    piped = rnnlm("generate", "-", *flags, stdin=b"the man\n\na\n")
    assert piped.out == one + other

    # A blank line separates texts that may have several lines.
    running = rnnlm("generate", "the man", "a", *flags, "--running").out
    assert running.count("\n\n") == 3


def test_a_beginning_may_be_the_name_of_a_file(rnnlm, models, here):
    (here / "the").touch()
    shown = rnnlm("generate", "the", "-m", models.lstm, "--max-tokens", 1)
    assert "note: 'the' is a beginning; there is a file of that name, too: - < the" in shown.err


def test_top_k_of_one_is_greedy(rnnlm, models):
    greedy = rnnlm("generate", "-m", models.lstm, "--temperature", 0, "the", "--max-tokens", 6)
    assert (
        rnnlm("generate", "-m", models.lstm, "--top-k", 1, "the", "--max-tokens", 6).out
        == greedy.out
    )


CONTRADICTIONS = {
    "beam and temperature": (["--beam", 4, "--temperature", 0.5],
                             "--beam does not go with --temperature"),
    "beam and more": (["--beam", 4, "--top-p", 0.5, "--seed", 3],
                      "--beam does not go with --seed and --top-p"),
    "beam and running": (["--beam", 4, "--running"], "--beam does not go with --running"),
    "beam and check": (["--beam", 4, "--check"], "--beam does not go with --check"),
    "power without beam": (["--length-power", 1], "--length-power needs --beam"),
    "negative power": (["--beam", 2, "--length-power", -1],
                       "'--length-power': -1.0 is not in the range 0<=x<=10"),
    "more than the beam": (["--beam", 2, "--num", 3], "num = 3 does not go with a beam of 2"),
    "typing and num": (["--interactive", "--num", 3], "--interactive does not go with --num"),
    "typing and json": (["--interactive", "--json"], "--interactive does not go with --json"),
    "typing after two": (["--interactive", "the", "man"], "after one BEGINNING at most"),
    "typing after input": (["--interactive", "-"], "after one BEGINNING at most"),
    "input and more": (["-", "the"], "- is standard input, and stands alone"),
    "typing without a terminal": (["--interactive"], "--interactive needs a terminal"),
    "ban of two words": (["--ban", "the man"], "'the man' is not one word"),
    "banned prompt": (["the man", "--ban", "the"], "the prompt holds a banned word"),
}  # fmt: skip


@pytest.mark.parametrize("flags, what", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions_are_wrong_usage(rnnlm, models, flags, what):
    ended = rnnlm("generate", "-m", models.unigram, *flags)
    assert (ended.code, ended.out) == (2, "")
    assert what in ended.errors[0]


def test_words_are_banned(rnnlm, models, here):
    free = rnnlm("generate", "-m", models.lstm, "--num", 40).out.split()
    assert "the" in free
    (here / "words").write_text("the\nof a\n")
    shown = rnnlm("generate", "-m", models.lstm, "--num", 40, "--ban-list", "words", "--ban", "and")
    assert shown.code == 0 and not {"the", "of", "a", "and"} & set(shown.out.split())
    assert rnnlm("generate", "-m", models.lstm, "--ban-list", "none").code == 1


def test_the_likeliest_texts_are_ranked(rnnlm, models):
    shown = rnnlm(
        "generate", "-m", models.lstm, "--beam", 5, "--num", 3, "the", "--max-tokens", 6, "--json"
    )
    records = [json.loads(line) for line in shown.out.splitlines()]
    assert [record["number"] for record in records] == [0, 1, 2]
    assert records[0]["logprob_nats"] >= records[1]["logprob_nats"] >= records[2]["logprob_nats"]
    assert all(record["text"].startswith("the") for record in records)


def test_running_texts_are_lines_separated_by_a_blank(rnnlm, models):
    records = rnnlm(
        "generate", "-m", models.unigram, "--running", "--num", 2, "--max-tokens", 50, "--json"
    ).out.splitlines()
    first, second = (json.loads(record)["text"] for record in records)
    assert "\n" in first
    assert (
        rnnlm("generate", "-m", models.unigram, "--running", "--num", 2, "--max-tokens", 50).out
        == f"{first}\n\n{second}\n"
    )


def test_samples_may_come_as_they_finish(rnnlm, models):
    flags = ("generate", "-m", models.unigram, "--num", 60, "--json")
    in_order, finished = (
        rnnlm(*flags).out.splitlines(),
        rnnlm(*flags, "--as-finished").out.splitlines(),
    )
    assert in_order != finished and sorted(in_order) == sorted(finished)


def test_a_model_that_adapts_itself(rnnlm, models, here):
    tuned = TunedSettings("unigram", {"cache_tokens": 100, "cache_weight": 0.9})
    save_tuned(shutil.copytree(models.unigram, here / "own"), tuned)
    flags = ("generate", "the man the man", "--max-tokens", 30, "--num", 3)
    plain, adapted = rnnlm(*flags, "-m", "own"), rnnlm(*flags, "-m", "own+unigram")
    assert plain.code == adapted.code == 0
    assert adapted.out.count("man") > plain.out.count("man")


def test_samples_are_checked_beside_a_text(rnnlm, models):
    flags = ("generate", "-m", models.unigram, "--num", 60, "--check", models.text)
    table = [line.split("\t") for line in rnnlm(*flags).out.splitlines()]
    assert table[0] == ["measure", "samples", "text"] and table[1] == ["sentences", "60", "24"]
    assert {"length_quantile_0.5", "types_per_token", "new_4grams", "repeated", "copied"} <= {
        row[0] for row in table
    }
    record = json.loads(rnnlm(*flags, "--json").out)
    assert record["samples"]["sentences"] == 60 and record["text"]["sentences"] == 24
    assert (
        record["samples"]["new_ngrams"][0]
        < record["samples"]["new_ngrams"][1]
        < record["samples"]["new_ngrams"][2]
    )
    assert rnnlm("generate", "-m", models.unigram, "--check", "none.txt").code == 1


def test_samples_without_text_are_checked_against_bundled_corpus(rnnlm, models):
    shown = rnnlm("generate", "-m", models.unigram, "--num", 5, "--check", "--json")
    assert json.loads(shown.out)["text"]["sentences"] > 1000
