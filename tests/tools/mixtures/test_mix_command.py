import pytest

import rnnlm as library
from support.failures import checked_error


def test_parts_weights_and_perplexities_are_shown(rnnlm, parts):
    shown = rnnlm("mix", "lstm", "kn", "uni", "--on", "valid.txt")
    assert shown.code == 0
    header, *rows, signature = shown.rows
    assert header == ["model", "weight", "ppl_token"]
    assert [row[0] for row in rows] == ["lstm", "kn", "uni", "mixture"]
    assert sum(float(row[1]) for row in rows[:3]) == pytest.approx(1, abs=1e-3)
    alone = [library.load(name).evaluate("valid.txt").ppl_token for name in ("lstm", "kn", "uni")]
    assert [float(row[2].replace(",", "")) for row in rows[:3]] == pytest.approx(alone, abs=1e-3)
    assert float(rows[3][2]) <= min(alone) * (1 + 1e-6)  # EM stops a little before a weight of zero
    assert signature[0].startswith("signature: rnnlm:")
    assert shown.err == "the mixture is saved in checkpoints/mixture\n"


def test_the_mixture_works_as_any_other_model(rnnlm, parts):
    assert rnnlm("mix lstm kn --on valid.txt -o both").code == 0
    (parts / "pairs.tsv").write_text("good\tbad\tkind\nthe man\tman the\torder\n")
    for command in (
        "score 'the man'", "score --pairs pairs.tsv", "generate --max-tokens 3", "info",
    ):  # fmt: skip
        ended = rnnlm(f"{command} -m both")
        assert ended.code == 0, ended.err


@pytest.mark.parametrize("option", ["--bundle", "--weights 0.25,0.75", "--context reset"])
def test_mixtures_made_in_other_ways_are_evaluated(rnnlm, parts, option):
    assert rnnlm(f"mix lstm kn --on valid.txt -o both {option}").code == 0
    assert rnnlm("eval valid.txt -m both").code == 0
    info = rnnlm("info both --all").out
    assert "training.mixed.2.weight" in info and "parts.1.fingerprint" in info


def test_a_part_can_adapt_itself(rnnlm, parts):
    ended = rnnlm("mix lstm+cache kn --on valid.txt -o both")
    assert ended.code == 0
    note = "note: cache(tokens=2000,weight=0.1,flatness=0.3): default settings"
    assert note in ended.err
    assert [row[0] for row in ended.rows[1:3]] == ["lstm+cache", "kn"]
    assert "adapt:cache(" in rnnlm("eval -m both valid.txt").out
    assert "cache(tokens=2000" in rnnlm("info both").out
    refused = rnnlm("mix kn+cache kn --on valid.txt")
    checked_error(refused, 2, "an n-gram model cannot be adapted in this way")


def test_tuning_weights_on_training_text_is_reported(rnnlm, parts):
    note = "note: kn and uni were trained on this very text: weights found on it flatter them"
    assert f"{note}; use held-out text\n" in rnnlm("mix kn uni --on train.txt").err
    for options in ("--on valid.txt", "--on train.txt --weights 0.5,0.5"):
        assert "very text" not in rnnlm(f"mix kn uni {options} --overwrite").err


def test_json_holds_all_of_it(rnnlm, parts):
    result = rnnlm("mix lstm kn --on valid.txt --json -o both").json
    assert (result["output"], result["kind"]) == ("both", "linear")
    best = min(part["ppl_token"] for part in result["parts"])
    assert result["evaluation"]["ppl_token"] <= best * (1 + 1e-6)
    fingerprints = [library.load(name).fingerprint for name in ("lstm", "kn")]
    assert [part["fingerprint"] for part in result["parts"]] == fingerprints
    fixed = rnnlm("mix lstm kn --weights 0.7,0.3 --json -o fixed").json
    assert [(part["weight"], part["ppl_token"]) for part in fixed["parts"]] == [
        (0.7, None), (0.3, None)
    ]  # fmt: skip
    assert fixed["evaluation"] is fixed["iterations"] is None


@pytest.mark.parametrize(("arguments", "code", "what"), [
    ("", 2, "Missing argument"),
    ("kn nowhere --on valid.txt", 1, "no model named 'nowhere'"),
    ("kn uni --weights half,half", 2,
     "Invalid value for '--weights': 'half,half' is not a list of numbers"),
    ("kn uni --on valid.txt -o kn --overwrite", 2,
     "the combination cannot replace kn, which is one of its parts"),
    ("kn kn --weights 0.5,0.5 --static --bundle", 2,
     "--static makes a model that does not refer to others: leave out --bundle."),
    ("kn kn --weights 0.5,0.5 --static --device cuda", 2, "--static runs on the CPU."),
    ("kn kn --weights 0.5,0.5 --static --temp t", 2, "--temp needs --memory."),
    ("kn kn --weights 0.5,0.5 --memory 1G", 2, "--memory needs --static."),
    ("kn lstm --weights 0.5,0.5 --static", 2,
     "lstm cannot be merged into one n-gram model"),
    ("kn kn+unigram --weights 0.5,0.5 --static", 2,
     "kn+unigram cannot be merged into one n-gram model"),
])  # fmt: skip
def test_wrong_usage(rnnlm, parts, arguments, code, what):
    before = library.load("kn").fingerprint
    lines = checked_error(rnnlm(f"mix {arguments}"), code, what)
    assert ("mix them without --static" in lines[-1]) == ("cannot be merged" in what)
    assert library.load("kn").fingerprint == before
    assert not (parts / "checkpoints").exists()


def test_mixtures_cannot_be_trained_exported_or_pruned(rnnlm, parts):
    rnnlm("mix kn uni --on valid.txt -o both")
    for command, what in (
        ("train valid.txt --model mixture", "a model of kind mixture cannot be trained"),
        ("export -m both --arpa both.arpa", "this model has no ARPA form"),
        ("prune -m both -o small --max-order 2", "the model both is of kind mixture"),
        ("train valid.txt --init-from both --tokenizer-from both", "--init-from both"),
    ):
        lines = checked_error(rnnlm(command), 2, what)
        assert "rnnlm mix" in lines[-1] or "--model mixture" not in command


def test_models_of_different_words_have_the_words_of_all(rnnlm, parts):
    (parts / "other.txt").write_text("the zebra saw a yak\na yak saw the man\n" * 3)
    assert rnnlm("train other.txt --model ngram --split-punctuation -o other").code == 0
    known = [{*library.load(name).tokenizer.symbols()} for name in ("lstm", "other")]
    ended = rnnlm("mix lstm other --weights 0.5,0.5 -o both")
    size = len(known[0] | known[1])
    lacking = f"lstm lacks {size - len(known[0])}, other lacks {size - len(known[1])};"
    assert f"of {size} words in all, {lacking}" in ended.err
    assert library.load("both").tokenizer.size == size
    for command in (
        "eval valid.txt -m both", "score 'the zebra' -m both", "next the -m both",
        "generate --max-tokens 3 -m both", "compare lstm both --on valid.txt", "doctor both",
    ):  # fmt: skip
        ended = rnnlm(command)
        assert ended.code == 0 and "failed" not in ended.out, ended.err


def test_static_mixtures_are_ngram_models(rnnlm, parts):
    rnnlm("train", "train.txt", "--model", "ngram", "--min-count", "2", "-o", "bigrams")
    shown = rnnlm("mix", "kn", "bigrams", "--static", "--on", "valid.txt", "-o", "joined")
    assert shown.code == 0
    rows = shown.rows
    assert [row[0] for row in rows[1:4]] == ["kn", "bigrams", "mixture"]
    assert sum(float(row[1]) for row in rows[1:3]) == pytest.approx(1, abs=1e-3)
    assert shown.err.splitlines()[-1] == "the n-gram model is saved in joined"
    assert "note: the models have different vocabularies: of" in shown.err
    ppl = library.load("joined").evaluate("valid.txt").ppl_token
    assert float(rows[3][2].replace(",", "")) == pytest.approx(ppl, abs=1e-3)
    sound = rnnlm("doctor", "joined").out
    assert "sums\tok" in sound and "tables\tok" in sound
    assert "part 1\tkn, weight 0." in rnnlm("info", "joined").out


def test_static_mixtures_go_to_arpa_files(rnnlm, parts):
    arguments = ("mix", "kn", "kn", "--static", "--weights", "0.3,0.7", "--memory", "4G")
    result = rnnlm(*arguments, "-o", "joined.arpa.gz", "--json").json
    assert (result["output"], result["kind"]) == ("joined.arpa.gz", "static")
    assert [part["weight"] for part in result["parts"]] == [0.3, 0.7]
    assert rnnlm("import", "joined.arpa.gz", "-o", "again").code == 0
    own, again = [library.load(name) for name in ("kn", "again")]
    assert list(map(len, again.values)) == list(map(len, own.values))
