"""Commands that look at an encoder-decoder: eval, compare, doctor, info, export, plot."""

import json
from math import exp

import pytest
from sacrebleu.metrics import BLEU

from support.tiny_translators import TINY

METRICS = ("bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate")


def table(shown):
    return {row[0]: row[1] for row in shown.rows if len(row) == 2}


def test_eval_shows_perplexity_and_decoded_metrics(rnnlm, here, translator):
    asked = f"eval -m {translator.folder} {translator.valid} -o written.txt"
    outcome = rnnlm(asked)
    assert outcome.code == 0 and "saved in written.txt" in outcome.err
    shown = table(outcome)
    written = (here / "written.txt").read_text().splitlines()
    rows = [line.split("\t") for line in translator.valid.read_text().splitlines()[1:]]
    assert len(written) == len(rows) == int(shown["sentences"])
    by_source = {row[0]: (line, row[1]) for row, line in zip(rows, written, strict=True)}
    lines, references = zip(*by_source.values(), strict=True)
    bleu = BLEU(force=True).corpus_score(lines, [references])
    assert float(shown["bleu"]) == pytest.approx(bleu.score, abs=0.01)
    assert "source tokens\tsources\tbleu" in outcome.out and "\n6-10\t" in outcome.out
    assert "(sacrebleu: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in outcome.out
    assert rnnlm(asked).errors[0].startswith("error: written.txt")


def test_training_ends_with_the_metrics_and_stores_them(rnnlm, translator):
    found = json.loads((translator.folder / "config.json").read_text())["results"]["valid"]
    header, row, *signatures = translator.out.splitlines()
    assert header.split("\t") == ["text", "ppl_token", *METRICS]
    assert row.split("\t")[2] == f"{found['bleu']:.2f}"
    assert signatures[0].startswith("valid bleu signature: bleu|")
    assert signatures[1:] == [f"valid signature: {found['signature']}"]
    evaluated = rnnlm("eval", "-m", translator.folder, translator.valid, "--json").json
    assert {name: evaluated[name] for name in METRICS} == {name: found[name] for name in METRICS}
    card = (translator.folder / "README.md").read_text()
    assert f"| valid | {found['ppl_token']:.2f} | {found['bleu']:.2f} |" in card
    assert found["sacrebleu_signatures"]["chrf"] in card


def test_info_tells_of_both_tokenizers(rnnlm, translator):
    shown = table(rnnlm("info", translator.folder))
    for side in ("source", "target"):
        assert shown[f"{side} tokenizer"].startswith("word, V = 8, ")
    assert "column=english" in shown["chosen"] and "not none" not in shown["chosen"]
    assert "target_" not in shown["settings"].replace("target_column", "")
    assert "bleu" in shown["valid"] and shown["signature"].startswith("bleu|")
    described = rnnlm("info", translator.folder, "--json").json
    assert described["target_tokenizer"]["size"] == 8 and not described["shared_vocabulary"]


def test_decoded_metric_can_choose_weights_and_be_plotted(rnnlm, here, translator):
    settings = {**TINY, "hidden_size": 4, "validate_every_steps": 1, "criterion": "bleu"}
    sets = " ".join(f"--set={name}={value}" for name, value in settings.items())
    outcome = rnnlm(
        f"train {translator.train} --task seq2seq --valid {translator.valid} {sets}"
        " --budget 2steps --grid layers=1,2 -o grid --json"
    )
    assert outcome.code == 0, outcome.err
    for run in outcome.json["runs"]:
        assert run["valid_bleu"] >= 0
        if "valid_bleu_low" in run:  # enough lines have a hit
            assert run["valid_bleu_low"] <= run["valid_bleu"] <= run["valid_bleu_high"]
    assert "validation bleu" in (here / "grid" / "curves.svg").read_text()
    assert "layers=1: validation bleu " in outcome.err and " %" not in outcome.err
    assert rnnlm("report grid").rows[0] == "run steps tokens epochs seconds bleu".split()


@pytest.mark.parametrize("options, message", [
    ("--scheme bio", "--scheme needs a tagger or a classifier, and {model} is an encoder-decoder"),
    ("--context reset", "--context needs a language model, and {model} is an encoder-decoder"),
    ("--column german", "german"), ("--target missing", "missing"),
    ("-o -", "standard output is for the metrics"),
])  # fmt: skip
def test_what_does_not_go_together_is_told(rnnlm, translator, options, message):
    outcome = rnnlm(f"eval -m {translator.folder} {translator.valid} {options}")
    assert outcome.code in (1, 2)
    assert message.format(model=translator.folder) in " ".join(outcome.errors)


def test_hypotheses_are_measured_without_a_model(rnnlm, here):
    """By hand: 6 of 6 words, 4 of 5 pairs, 3 of 4 threes, 2 of 3 fours; 6 words for 7."""
    (here / "written.txt").write_text("there is a small cat here\n", encoding="utf-8")
    (here / "right.txt").write_text("there is a small cat in here\n", encoding="utf-8")
    found = rnnlm("eval --hypotheses written.txt right.txt --json").json
    assert found["bleu_precisions"] == pytest.approx([100, 80, 75, 200 / 3])
    assert found["brevity_penalty"] == pytest.approx(exp(1 - 7 / 6))
    assert found["bleu"] == pytest.approx(100 * exp(1 - 7 / 6) * (0.8 * 0.75 * 2 / 3) ** 0.25)
    assert (found["hypothesis_words"], found["reference_words"]) == (6, 7)
    shown = rnnlm("eval --hypotheses written.txt right.txt right.txt")
    assert table(shown)["bleu_precision_4"] == "66.67" and table(shown)["references"] == "2"
    assert "bleu signature: nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:" in shown.out


@pytest.mark.parametrize("options, what", [
    ("one.txt two.txt", "one.txt has 1 line, and two.txt 2"),
    ("one.txt none.txt", "no such file: none.txt"),
    ("one.txt one.txt -m fra", "--model: --hypotheses needs no model."),
    ("one.txt one.txt --beam 3", "--beam: --hypotheses needs no model."),
])  # fmt: skip
def test_hypotheses_that_do_not_fit_are_refused(rnnlm, here, options, what):
    (here / "one.txt").write_text("a\n", encoding="utf-8")
    (here / "two.txt").write_text("a\nb\n", encoding="utf-8")
    reference, written, *more = options.split()
    shown = rnnlm("eval", reference, "--hypotheses", written, *more)
    assert shown.code and what in " ".join(shown.errors)
