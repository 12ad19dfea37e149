import json

TINY = ("--set", "hidden_size=8", "--set", "embedding_size=8", "--set", "batch_rows=4", "--set", "precision=fp32")


def test_three_loops_take_turns_and_nothing_is_saved(rnnlm, models, here):
    shown = rnnlm("bench", "train", models.text, *TINY, "--rounds", 2, "--steps", 3)
    columns, *rows = [line.split("\t") for line in shown.out.splitlines()]
    assert shown.code == 0
    assert columns[1:4] == ["rnnlm tokens/s", "same network, bare loop", "plain loop"]
    assert [row[0] for row in rows] == ["1", "2", "median"]
    assert list(here.iterdir()) == []


def test_json_is_the_summary(rnnlm, models):
    summary = json.loads(rnnlm("bench", "train", models.text, *TINY, "--rounds", 1, "--steps", 3, "--json").out)
    assert summary.keys() == {
        "tokens_per_second", "bare_tokens_per_second", "plain_tokens_per_second", "ratio_bare", "ratio_plain",
    }  # fmt: skip
    assert all(value > 0 for value in summary.values())


def test_a_model_without_a_training_loop_is_wrong_usage(rnnlm, models):
    ended = rnnlm("bench", "train", models.text, "--recipe", "unigram")
    assert (ended.code, ended.out) == (2, "")
    assert ended.errors[0] == "error: a unigram has no training loop to time"


def test_without_a_subcommand_help_is_shown_on_stderr(rnnlm):
    ended = rnnlm("bench")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: rnnlm bench") and "train" in ended.err
