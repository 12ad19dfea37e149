import re

import pytest

from rnnlm import train
from rnnlm.events import ModelSaved
from rnnlm.storage import model_folder
from support import killed_runs
from support.failures import checked_error
from support.saved_models import edit_config


def test_info_describes_a_model_without_reading_weights(rnnlm, copied):
    weights = next(copied.glob("weights-*.safetensors"))
    size = weights.stat().st_size
    weights.write_bytes(b"\0" * size)
    shown = rnnlm("info", copied, "--json").json
    assert shown["model"] == "lstm"
    assert shown["settings"]["hidden_size"] == 8
    assert shown["vocabulary_size"] > 100
    assert shown["results"].keys() == {"valid", "test"}
    assert shown["files"][weights.name] == size
    assert shown["hash"] == "checked when it is loaded"


@pytest.mark.needs("tools/mixtures")
def test_the_hash_of_large_mapped_ngrams_is_said_to_be_unchecked(rnnlm, models, monkeypatch):
    assert rnnlm("train", models.text, "--model", "ngram", "--order", "2", "-o", "bigram").code == 0
    assert rnnlm("info", "bigram", "--json").json["hash"] == "checked when it is loaded"
    assert "unchecked" not in rnnlm("eval", "-m", "bigram", models.valid).out
    monkeypatch.setattr(model_folder, "MOST_HASHED", 1000)
    rows = rnnlm("info", "bigram").facts
    assert rows["fingerprint"].endswith("; hash: unchecked")
    assert "hash\tunchecked\n" in rnnlm("info", "bigram", "--all").out
    for model in ("bigram", "bigram+unigram"):
        assert "|hash:unchecked" in rnnlm("eval", "-m", model, models.valid).out


@pytest.mark.parametrize(("smoothing", "what", "values"), [
    ("mkn", "discounts by order", r"[\d.]+, [\d.]+, [\d.]+ / [\d.]+, [\d.]+, [\d.]+"),
    ("kn", "discount by order", r"[\d.]+ / [\d.]+"),
    ("stupid", "backoff factor", "0.4"), ("additive", "k", r"[\d.e-]+"),
    ("katz", "counts by order", r"1: [\d.]+, 2: .*"),
    ("interpolated", "weights", r"[\d.]+, [\d.]+"),
    ("jelinek-mercer", "weights by order", r"\d+: [\d.]+ / 1: .*, \.\.\."),
])  # fmt: skip
def test_what_an_estimator_found_is_shown(rnnlm, models, smoothing, what, values):
    asked = ("--model", "ngram", "--order", "2", "--smoothing", smoothing, "-o", "m")
    trained = rnnlm("train", models.text, *asked)
    assert trained.code == 0 and "discount" not in trained.out + trained.err
    rows = rnnlm("info", "m").facts
    assert re.fullmatch(values, rows[what])
    found = rnnlm("info", "m", "--json").json["training"]["estimated"]
    assert any(name.startswith(what.partition(" by order")[0]) for name in found)


def test_full_info_is_a_table_of_facts(rnnlm, models):
    shown = rnnlm("info", "-m", models.lstm, "--all")
    rows = shown.facts
    assert rows["settings.hidden_size"] == "8"
    assert rows["training.text"] == str(models.text)
    assert rows["results.test.signature"].startswith("rnnlm:0.1|data:")
    assert len(rows["results.test.ppl_token"]) < 10


SPLIT = "split_punctuation=true"  # which the text has decided


def test_for_people_it_is_the_lines_that_matter(rnnlm, models):
    told = rnnlm("info", models.lstm, "--json").json
    rows = rnnlm("info", models.lstm).rows
    shown = dict(rows)
    assert shown["model"] == "lstm: long short-term memory"
    assert shown["size"].startswith(f"{told['parameters']:,} parameters, ")
    words = f"{told['training']['train_words']:,} words"
    assert shown["training text"].startswith(f"{models.text}; {words}")
    digest = told["tokenizer"].split(":")[1]
    assert shown["tokenizer"] == f"word, V = {told['vocabulary_size']:,}, {digest}, {SPLIT}"
    assert shown["structure"] == "layers=1 embedding_size=8 hidden_size=8"
    recipe, differs, where = shown["recipe"].split("; ")
    assert recipe == "lstm" and differs.startswith("differs in: embedding_size=8 (recipe: 300), ")
    assert "batch_rows=4 (recipe: 20)" in differs and "budget=30steps (recipe: " in differs
    assert "dropout" not in differs and "threads" not in differs
    assert where == f"all {len(told['settings'])} settings: config.json"
    assert shown["test"].startswith(f"ppl_token {told['results']['test']['ppl_token']:.2f}, ")
    signatures = [result["signature"] for result in told["results"].values()]
    assert [row[1] for row in rows if row[0] == "signature"] == signatures
    uses = [row[1].split()[1] for row in rows if row[0] == "use it"]
    assert uses == ["score", "eval", "generate"]


def test_settings_are_shown_as_train_takes_them(rnnlm):
    shown = rnnlm("info").facts
    recipe, differs, _ = shown["recipe"].split("; ")
    given = re.sub(r" \(recipe: [^)]*\)", "", differs.removeprefix("differs in: ")).split(", ")
    assert "line_starts=0.3" in given and "lowercase=true" in shown["tokenizer"].split(", ")
    assigned = [part for setting in given for part in ("--set", setting)]
    run = rnnlm("train", "--recipe", recipe, *assigned, "--dry-run", "--json")
    settings = run.json["settings"]
    ours = rnnlm("info", "--json").json["settings"]
    known = settings.keys() & ours.keys()
    differing = {name for name in known if settings[name]["value"] != ours[name]}
    assert differing <= {"threads", "device", "precision"}  # which are those of the machine


def test_without_recipe_defaults_are_compared(rnnlm, models):
    asked = ("--model", "ngram", "--order", 3, "--lowercase", "--set", "additive_k=0.5")
    assert rnnlm("train", models.text, *asked, "--smoothing", "additive", "-o", "k").code == 0
    shown = rnnlm("info", "k").facts
    assert shown["structure"] == "order=3 smoothing=additive"
    assert shown["tokenizer"].endswith(f", lowercase=true, {SPLIT}")
    differs, where = shown["settings"].split("; ")
    assert differs == (
        "differs in: order=3 (default: 5), smoothing=additive (default: mkn), "
        "additive_k=0.5 (default: none)"
    )
    count = len(rnnlm("info", "k", "--json").json["settings"])
    assert where == f"all {count} settings: config.json"
    assert "recipe" not in shown


def test_a_recipe_may_have_gone(rnnlm, copied):
    edit_config(copied, lambda config: config["training"].update(recipe="gone"))
    shown = rnnlm("info", copied).facts
    assert "hidden_size=8 (recipe: 512)" in shown["recipe"]


def test_a_stored_model_without_prior(rnnlm, models, here):
    options = ("--model", "ngram", "--order", 2, "--smoothing", "additive", "--set", "additive_k=1")
    before = ("--set", "additive_prior=lower-order", "-o", "before")
    assert rnnlm("train", models.text, *options, *before).code == 0
    edit_config(here / "before", lambda config: config["settings"].pop("additive_prior"))
    assert "additive_prior=lower-order" in rnnlm("info", "before").out


def test_a_second_run_has_its_own_time(rnnlm):
    shown = rnnlm("info", "demo").facts
    assert shown["training"].endswith("469.9 s after the training of demo-long")


@pytest.mark.needs("tools/mixtures")
def test_info_has_at_most_20_lines(rnnlm, parts):
    weights = ",".join(["0.125"] * 8)
    for command in (
        f"mix uni uni uni uni uni uni uni kn --weights {weights} -o many",
        "mix uni kn --on valid.txt -o tuned", "export -m kn --arpa kn.arpa",
        "import kn.arpa -o imported",
    ):  # fmt: skip
        assert rnnlm(command).code == 0
    for name in ("demo", "many", "tuned", "imported", "lstm", "kn", "uni", "chars", "bytes"):
        lines = rnnlm("info", name).out.splitlines()[1:]
        assert 10 <= len(lines) <= 20, (name, lines)
    many = rnnlm("info", "many").out
    assert "part 4\t" in many and "part 5\t" not in many and "more parts\t4\n" in many
    assert "imported from\tkn.arpa\n" in rnnlm("info", "imported").out


def test_a_run_that_was_cut_off_says_so(rnnlm, models, here):
    settings = {**killed_runs.TINY, "budget": "40steps", "validate_every_steps": 5}
    run = train(models.text, output=here / "cut", model="lstm", valid=models.valid, **settings)
    assert any(isinstance(event, ModelSaved) for event in run)
    killed_runs.cut_off(run)
    assert "so far: its run has not ended" in rnnlm("info", "cut").out


def test_damaged_results_or_facts_are_an_error_and_all_else_is_shown(rnnlm, copied):
    damage = {"results": {"test": {"oov_words": None}}}
    edit_config(copied, lambda config: config.update(damage))
    checked_error(rnnlm("info", copied), 1, f"the description of {copied} is damaged")
    assert rnnlm("info", copied, "--all").code == 0
    edit_config(copied, lambda config: config.update(training={"steps": "x", "stopped": 1}))
    checked_error(rnnlm("info", copied, "--all"), 1, f"the model at {copied} is damaged")


def test_model_is_found_by_folder_name_and_environment(rnnlm, models, monkeypatch):
    monkeypatch.chdir(models.folder)
    by_name = rnnlm("info", "tiny", "--json")
    monkeypatch.setenv("RNNLM_MODEL", "tiny")
    by_environment = rnnlm("info", "--json")
    monkeypatch.delenv("RNNLM_MODEL")
    assert by_name.json["fingerprint"] == by_environment.json["fingerprint"]


def test_shipped_model_is_default_with_a_note(rnnlm, here):
    shown = rnnlm("info --json")
    note = "model: demo, the shipped model of plain English; use -m to choose another\n"
    assert (shown.code, shown.err) == (0, note)
    assert shown.json == rnnlm("info demo --json").json
