"""Commands that look at a model, of encoder-decoders: eval, compare, doctor, info, export, plot,
and what training says."""

import json

import pytest
from sacrebleu.metrics import BLEU

from support.tiny_translators import TINY

FIGURES = ("bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate")


def table(out):
    return dict(line.split("\t")[:2] for line in out.split("\n\n")[0].splitlines())


def test_eval_shows_perplexity_and_decoded_figures(rnnlm, here, translator):
    outcome = rnnlm("eval", "-m", translator.folder, translator.valid, "-o", "written.txt")
    assert outcome.code == 0 and "saved in written.txt" in outcome.err
    shown = table(outcome.out)
    written = (here / "written.txt").read_text().splitlines()
    references = [line.split("\t")[1] for line in translator.valid.read_text().splitlines()[1:]]
    assert len(written) == len(references) == int(shown["sentences"])
    by_source = {
        line.split("\t")[0]: pair
        for line, *pair in zip(
            translator.valid.read_text().splitlines()[1:], written, references, strict=True
        )
    }
    bleu = BLEU(force=True).corpus_score(
        [each[0] for each in by_source.values()], [[each[1] for each in by_source.values()]]
    )
    assert float(shown["bleu"]) == pytest.approx(bleu.score, abs=0.01)
    assert "source tokens\tsources\tbleu" in outcome.out and "\n6-10\t" in outcome.out
    assert "(sacrebleu: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in outcome.out
    assert (
        rnnlm("eval", "-m", translator.folder, translator.valid, "-o", "written.txt")
        .errors[0]
        .startswith("error: written.txt")
    )


def test_training_ends_with_the_figures_and_stores_them(rnnlm, translator):
    found = json.loads((translator.folder / "config.json").read_text())["results"]["valid"]
    header, row, *signatures = translator.out.splitlines()
    assert (
        header.split("\t") == ["text", "ppl_token", *FIGURES]
        and row.split("\t")[2] == f"{found['bleu']:.2f}"
    )
    assert signatures[0].startswith("valid bleu signature: bleu|")
    assert signatures[1:] == [f"valid signature: {found['signature']}"]
    evaluated = rnnlm("eval", "-m", translator.folder, translator.valid, "--json").json
    assert {name: evaluated[name] for name in FIGURES} == {name: found[name] for name in FIGURES}
    card = (translator.folder / "README.md").read_text()
    assert (
        f"| valid | {found['ppl_token']:.2f} | {found['bleu']:.2f} |" in card
        and found["sacrebleu_signatures"]["chrf"] in card
    )


def test_info_tells_of_both_tokenizers(rnnlm, translator):
    shown = dict(line.split("\t", 1) for line in rnnlm("info", translator.folder).out.splitlines())
    assert shown["source tokenizer"].startswith("word, V = 8, ") and shown[
        "target tokenizer"
    ].startswith("word, V = 8, ")
    assert (
        "target_" not in shown["settings"].replace("target_column", "")
        and "column=english (default: none)" in shown["settings"]
    )
    assert "bleu" in shown["valid"] and shown["signature"].startswith("bleu|")
    described = rnnlm("info", translator.folder, "--json").json
    assert described["target_tokenizer"]["size"] == 8 and not described["shared_vocabulary"]


def test_a_whole_encoder_decoder_passes_each_check(rnnlm, translator, tmp_path):
    outcome = rnnlm("doctor", translator.folder, "--json")
    checks = {each["name"]: each["result"] for each in outcome.json["checks"]}
    assert outcome.code == 0
    assert checks == dict.fromkeys(
        ("config", "files", "arrays", "numbers", "tokenizers", "sums", "padding", "greedy"), "ok"
    )


def test_compare_shows_differences_of_each_figure(rnnlm, translator):
    outcome = rnnlm(
        f"compare {translator.folder} {translator.folder} --on {translator.valid} --resamples 20"
    )
    assert outcome.code == 0
    assert (
        "bits per token\t+0.0000 [+0.0000, +0.0000]\t1.0000" in outcome.out
        and "chrf\t+0.00 [+0.00, +0.00]\t1.0000" in outcome.out
    )
    found = rnnlm(
        f"compare {translator.folder} {translator.folder} --on {translator.valid} --resamples"
        " 2 --json"
    ).json
    assert found["differences"][0]["figures"]["bleu"]["p"] == 1 and found["per"] == "token"


def test_decoded_figure_can_choose_weights_and_be_plotted(rnnlm, here, translator):
    sets = [
        f"--set={name}={value}"
        for name, value in {
            **TINY,
            "hidden_size": 4,
            "validate_every_steps": 1,
            "criterion": "bleu",
        }.items()
    ]
    arguments = (
        translator.train,
        "--task",
        "seq2seq",
        "--valid",
        translator.valid,
        *sets,
        "--budget",
        "2steps",
    )
    outcome = rnnlm("train", *arguments, "--grid", "layers=1,2", "-o", "grid", "--json")
    assert outcome.code == 0, outcome.err
    for run in outcome.json["runs"]:
        assert run["valid_bleu_low"] <= run["valid_bleu"] <= run["valid_bleu_high"]
    assert "validation bleu" in (here / "grid" / "curves.svg").read_text()
    assert "layers=1: validation bleu " in outcome.err and " %" not in outcome.err
    assert (
        rnnlm("report", "grid").out.splitlines()[0] == "run\tsteps\ttokens\tepochs\tseconds\tbleu"
    )


@pytest.mark.parametrize("options, message", [
    (("--scheme", "bio"),
     "--scheme: {model} is an encoder-decoder, and this is for taggers and classifiers"),
    (("--context", "reset"),
     "--context: {model} is an encoder-decoder, and this is for language models"),
    (("--column", "german"), "german"), (("--target", "missing"), "missing"),
    (("-o", "-"), "standard output takes the metrics"),
])  # fmt: skip
def test_what_does_not_go_together_is_told(rnnlm, translator, options, message):
    outcome = rnnlm("eval", "-m", translator.folder, translator.valid, *options)
    assert outcome.code in (1, 2) and message.format(model=translator.folder) in " ".join(
        outcome.errors
    )


def test_encoder_decoder_options_are_refused_with_other_models(rnnlm, tagger):
    outcome = rnnlm("eval", "-m", tagger.folder, tagger.valid, "--beam", "2")
    assert (
        outcome.code == 2
        and "is a tagger of words, and this is for encoder-decoders" in outcome.errors[0]
    )
