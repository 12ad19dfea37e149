import json

import pytest


def test_one_sample_a_line(rnnlm, models):
    shown = rnnlm("generate", "-m", models.unigram, "--num", 5, "--max-tokens", 8)
    assert (shown.code, shown.err) == (0, "")
    assert len(shown.out.splitlines()) == 5


def test_the_same_seed_and_number_give_the_same_sample_whatever_num_is(rnnlm, models):
    few, many, other = (
        rnnlm("generate", "-m", models.lstm, "--num", num, "--seed", seed, "--max-tokens", 12).out.splitlines()
        for num, seed in ((3, 1), (20, 1), (3, 2))
    )
    assert few == many[:3]
    assert few != other


def test_temperature_zero_is_greedy(rnnlm, models):
    shown = rnnlm("generate", "-m", models.unigram, "--temperature", 0, "--num", 3, "--max-tokens", 4, "--json")
    records = [json.loads(line) for line in shown.out.splitlines()]
    assert len({record["text"] for record in records}) == 1
    assert [record["number"] for record in records] == [0, 1, 2]


def test_a_prompt_begins_each_sample_and_its_unknown_words_are_told(rnnlm, models):
    shown = rnnlm("generate", "-m", models.lstm, "--prompt", "the man", "--num", 2, "--max-tokens", 5)
    assert all(line.startswith("the man") for line in shown.out.splitlines())
    unknown = rnnlm("generate", "-m", models.lstm, "--prompt", "the zorp [red]", "--max-tokens", 5)
    assert unknown.code == 0
    assert unknown.err.startswith("note: ") and "zorp, [red]" in unknown.err
    assert unknown.out.startswith("the <unk> <unk>")


def test_top_k_of_one_is_greedy(rnnlm, models):
    greedy = rnnlm("generate", "-m", models.lstm, "--temperature", 0, "--prompt", "the", "--max-tokens", 6)
    assert rnnlm("generate", "-m", models.lstm, "--top-k", 1, "--prompt", "the", "--max-tokens", 6).out == greedy.out


@pytest.mark.parametrize(
    "flags",
    [("--num", 0), ("--temperature", -1), ("--temperature", "nan"), ("--temperature", "inf"), ("--top-k", 0), ("--top-p", 0),
     ("--top-p", 1.5), ("--max-tokens", 0), ("--seed", -1), ("--seed", 1 << 64), ("--num", "many")],
)  # fmt: skip
def test_values_out_of_range_are_wrong_usage(rnnlm, models, flags):
    ended = rnnlm("generate", "-m", models.unigram, *flags)
    assert (ended.code, ended.out) == (2, "")
    assert ended.errors and flags[0].strip("-").replace("-", "_") in ended.errors[0].replace("-", "_")
