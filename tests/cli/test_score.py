import json

import pytest

from rnnlm.cli.score import times


def test_the_likeliest_sentence_comes_first_and_unknown_words_are_named(rnnlm, models):
    shown = rnnlm("score", "-m", models.unigram, "the zorp of the zarp", "the man", "the")
    columns, *rows = [line.split("\t") for line in shown.out.splitlines()]
    assert columns == ["logprob_nats", "words", "ppl_word", "sentence", "unknown words"]
    assert [row[3] for row in rows] == ["the", "the man", "the zorp of the zarp"]
    assert [row[1] for row in rows] == ["1", "2", "5"]
    assert rows[2][4] == "zorp, zarp"
    assert [float(row[0]) for row in rows] == sorted((float(row[0]) for row in rows), reverse=True)


def test_of_exactly_two_sentences_the_odds_are_said_in_words(rnnlm, models):
    shown = rnnlm("score", "-m", models.unigram, "the man was in the house and on the hill", "the")
    assert shown.out.splitlines()[-1].startswith('"the" is about 10^')
    assert shown.out.splitlines()[-1].count("times l") == 2
    assert "per word" in shown.out.splitlines()[-1]
    assert "likelier" not in rnnlm("score", "-m", models.unigram, "the", "the man", "a").out
    assert rnnlm("score", "-m", models.unigram, "the", "the").out.endswith("Both are equally likely.\n")


@pytest.mark.parametrize(
    "log10, words",
    [(0.0, "hardly (less than 1.05 times)"), (0.30103, "about 2 times"), (1.5, "about 32 times"), (2.0, "about 100 times"),
     (3.25, "about 1,780 times"), (6.02, "about 10^6 times")],
)  # fmt: skip
def test_ratios_in_words(log10, words):
    assert times(log10) == words


def test_json_keeps_the_order_of_the_input_one_record_per_line_empty_ones_too(rnnlm, models):
    lines = ["the man was in the house", "", "zorp", "", "the"]
    shown = rnnlm("score", "-m", models.lstm, "--json", stdin="\n".join(lines).encode() + b"\n")
    records = [json.loads(line) for line in shown.out.splitlines()]
    assert [record["text"] for record in records] == lines
    assert [record["words"] for record in records] == [6, 0, 1, 0, 1]
    assert [record["oov"] for record in records] == [[], [], ["zorp"], [], []]
    assert records[1]["tokens"] == 1 and records[1]["logprob_nats"] < 0


def test_arguments_a_file_and_standard_input_score_the_same(rnnlm, models, here):
    sentences = ["the man was in the house", "the day"]
    (here / "sentences.txt").write_text("\n".join(sentences) + "\n")
    ways = [
        rnnlm("score", "-m", models.lstm, "--json", *sentences),
        rnnlm("score", "-m", models.lstm, "--json", "--input", "sentences.txt"),
        rnnlm("score", "-m", models.lstm, "--json", "--input", "-", stdin=(here / "sentences.txt").read_bytes()),
    ]
    assert ways[0].out == ways[1].out == ways[2].out != ""


def test_tokens_show_surprisals_that_add_up(rnnlm, models):
    (record,) = map(json.loads, rnnlm("score", "-m", models.lstm, "--json", "--tokens", "the zorp").out.splitlines())
    assert [each["token"] for each in record["surprisals"]] == ["the", "zorp", "</s>"]
    assert [each["oov"] for each in record["surprisals"]] == [False, True, False]
    bits = sum(each["surprisal_bits"] for each in record["surprisals"])
    assert bits * 0.6931471805599453 == pytest.approx(-record["logprob_nats"])
    shown = rnnlm("score", "-m", models.lstm, "--tokens", "the zorp").out
    assert "token\tsurprisal_bits" in shown and "zorp\t" in shown and "\tunknown" in shown


def test_special_symbols_are_an_error_or_treated_as_asked(rnnlm, models):
    refused = rnnlm("score", "-m", models.unigram, "the </s> man")
    assert refused.code == 1 and "sentence 1" in refused.err and "--special-symbols" in refused.err
    dropped = json.loads(rnnlm("score", "-m", models.unigram, "--json", "--special-symbols", "drop", "the </s> man").out)
    plain = json.loads(rnnlm("score", "-m", models.unigram, "--json", "the man").out)
    assert dropped["logprob_nats"] == plain["logprob_nats"]


def test_sentences_input_and_pairs_exclude_each_other(rnnlm, models):
    ended = rnnlm("score", "-m", models.unigram, "--input", models.valid, "the man")
    assert (ended.code, ended.out) == (2, "")


def test_on_a_terminal_data_is_shown_literally_and_nothing_is_markup(rnnlm, models, terminal_of):
    terminal_of(160)
    sentences = ["[red]the[/red] \x1b[31mman", ":smile: [bold]"]
    shown = rnnlm("score", "-m", models.unigram, *sentences)
    assert "[red]the[/red] \\x1b[31mman" in shown.plain
    assert ":smile: [bold]" in shown.plain
    assert "\x1b" not in shown.plain


def test_at_20_columns_every_cell_has_its_line(rnnlm, models, terminal_of):
    terminal_of(20)
    shown = rnnlm("score", "-m", models.unigram, "the man was in the house")
    assert "sentence: the man was in the house" in shown.out
