"""`rnnlm eval` of language models, taggers and classifiers."""

import json
import shutil

import pytest

import rnnlm as library


def test_command_and_library_say_the_same(rnnlm, models):
    shown = rnnlm("eval", "-m", models.lstm, models.valid, "--json").json
    piped = rnnlm(f"eval -m {models.lstm} - --json", stdin=models.valid.read_bytes()).json
    result = library.load(models.lstm).evaluate(models.valid).to_dict()
    assert shown | {"seconds": 0} == result | {"seconds": 0} == piped | {"seconds": 0}


def test_piped_output_is_tab_separated_ending_in_signature(rnnlm, models):
    shown = rnnlm("eval", "-m", models.lstm, models.valid)
    *rows, signature = shown.out.splitlines()
    table = dict(row.split("\t") for row in rows)
    assert table["measure"] == "value"
    assert float(table["ppl_token"].replace(",", "")) > 1
    assert "bits_per_char" not in table  # words of valid are unknown
    assert table["ppl_word"].endswith(" (closed vocabulary)")
    assert signature.startswith("signature: rnnlm:0.1|")
    assert shown.err == ""


@pytest.mark.needs("tasks/labelling")
def test_groups_and_intervals(rnnlm, models, tagger, here):
    rows = [{"text": "the man was" + " the" * k, "n": 8 if k == 2 else 7} for k in range(6)]
    (here / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = f"eval -m {models.unigram} t.jsonl --group-by n --intervals"
    shown, found = rnnlm(asked), rnnlm(f"{asked} --json").json
    cells = [line.split("\t") for line in shown.out.splitlines()]
    assert "one reading (context carry)" in shown.err and " to " in dict(cells[1:10])["ppl_token"]
    assert [row[:3] for row in cells[-4:-2]] == [["7", "5", "33"], ["8", "1", "6"]]
    assert " to " in cells[-4][4] and cells[-3][4] == "none: fewer than 5 units"
    assert found["ppl_token_low"] <= found["ppl_token"] <= found["ppl_token_high"]
    result = library.load(models.unigram).evaluate("t.jsonl", group_by="n", intervals=True)
    for group, of_command in zip(result.with_details()["groups"], found["groups"], strict=True):
        assert without(group, "seconds") == without(of_command, "seconds")
    asked = ("eval", "-m", tagger.folder, tagger.valid)
    assert "--group-by needs a language model" in rnnlm(*asked, "--group-by", "n").err
    assert rnnlm(*asked, "--intervals").out.count("[") > 1


def test_blank_line_handling_is_chosen_and_in_signature(rnnlm, models, here):
    (here / "text").write_text("the man\n\nthe day\n")
    for way, sentences in {"skip": 2, "keep": 3, "documents": 2}.items():
        chosen = "" if way == "skip" else f"--blank-lines {way}"
        result = rnnlm(f"eval -m {models.unigram} text --json {chosen}").json
        assert result["sentences"] == sentences and f"|blank:{way}|" in result["signature"]


COUNTED = (
    "sentences words accuracy accuracy_known precision recall f1 macro_f1 exact_match by_type"
).split()


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.parametrize("task", ["classifier", "translator"])
def test_the_columns_of_training_are_found_in_other_tables(rnnlm, request, here, task):
    model = request.getfixturevalue(task)
    header, *rows = model.valid.read_text().splitlines(keepends=True)
    (here / "other.csv").write_text("".join([header, *rows]).replace("\t", ","))
    (here / "bare.tsv").write_text("".join(rows))
    expected, other, bare = (
        rnnlm("eval", "-m", model.folder, file, "--json")
        for file in (model.valid, "other.csv", "bare.tsv")
    )
    assert without(other.json, "seconds") == without(expected.json, "seconds")
    assert without(bare.json, "seconds", "columns") == without(expected.json, "seconds", "columns")
    assert "bare.tsv has no header: its columns are identified by content" in bare.err


def without(result, *names):
    return {name: value for name, value in result.items() if name not in names}


@pytest.mark.needs("tasks/labelling")
@pytest.mark.parametrize("name", ["tagger", "classifier", "slot_tagger"])
def test_validation_metrics_match_those_stored_by_training(rnnlm, request, name):
    trained = request.getfixturevalue(name)
    stored = json.loads((trained.folder / "config.json").read_text())["results"]["valid"]
    found = rnnlm("eval", "-m", trained.folder, trained.valid, "--json", "--confusions", 0).json
    assert [each.pop("confusions") for each in found["columns"]] == [[]] * len(stored["columns"])
    assert without(found, "seconds", "loss_nats") == without(stored, "seconds", "loss_nats")
    # Training was on the CPU; where there is a GPU, eval adds up the same fp32 numbers in another
    # order.
    assert found["loss_nats"] == pytest.approx(stored["loss_nats"], abs=1e-5)


@pytest.mark.needs("tasks/labelling")
def test_table_has_metrics_confusions_and_signature_per_column(rnnlm, slot_tagger):
    rows = rnnlm("eval", "-m", slot_tagger.folder, slot_tagger.valid).rows
    assert rows[0] == ["measure", "slots", "intent"] and ["sentences", "16", "16"] in rows
    assert ["type of slots", "precision", "recall", "f1", "right", "predicted", "gold"] in rows
    assert [row[0] for row in rows if row[0].startswith("all")] == ["all columns right"]
    assert rows[-2][0].startswith("signature of slots: f1|")
    assert rows[-1][0].startswith("signature of intent: accuracy|")


@pytest.mark.needs("tasks/labelling")
def test_metrics_are_independent_of_data_format_and_scheme(rnnlm, here, tagger):
    from support.tiny_tasks import VALID, columns, json_lines

    asked = ("eval", "--json", "-m", tagger.folder)
    [expected] = rnnlm(*asked, tagger.valid).json["columns"]
    (here / "valid.jsonl").write_text(json_lines(VALID))
    iob1 = [
        (words, [label.replace("B-", "I-") for label in slots], intent)
        for words, slots, intent in VALID
    ]
    (here / "iob1.conll").write_text(columns(iob1))
    by_column = "valid.jsonl --input-format jsonl --column words --label-column slots"
    for given in (by_column, "iob1.conll --scheme iob1"):
        [found] = rnnlm(*asked, *given.split()).json["columns"]
        for name in COUNTED:
            assert found[name] == expected[name], (given, name)


@pytest.mark.needs("tasks/labelling")
def test_unseen_labels_count_as_wrong_and_are_reported(rnnlm, here, tagger, classifier):
    from support.tiny_tasks import columns, table

    unseen = columns([("fly me home".split(), ["O", "O", "B-home"], "")] * 3)
    (here / "unseen.conll").write_text(unseen)
    outcome = rnnlm("eval", "-m", tagger.folder, "unseen.conll", "--json")
    found = outcome.json["columns"][0]
    assert (found["unseen_labels"], found["unseen_count"]) == ({"B-home": 3}, 3)
    assert (found["by_type"]["home"]["gold"], found["recall"]) == (3, 0)
    assert found["accuracy"] <= 2 / 3
    note = "3 of the labels do not occur in the training data; they count as wrong: 'B-home' (3)"
    assert outcome.err.count(note) == 1

    rows = [("fly me to rome".split(), [], "flight"), ("is it late".split(), [], "delay")]
    (here / "unseen.tsv").write_text(table(rows))
    outcome = rnnlm("eval", "-m", classifier.folder, "unseen.tsv", "--json")
    assert outcome.json["columns"][0]["unseen_labels"] == {"delay": 1}
    assert "'delay' (1)" in outcome.err


@pytest.mark.needs("tasks/labelling")
def test_confusions_are_listed_and_drawn(rnnlm, here, classifier, slot_tagger):
    from support.tiny_tasks import VALID, table

    turned = {"flight": "fare", "fare": "flight"}
    rows = [(words, slots, turned[intent]) for words, slots, intent in VALID]
    (here / "turned.tsv").write_text(table(rows))
    asked = f"eval -m {classifier.folder} turned.tsv --plot matrix.svg"
    found = rnnlm(f"{asked} --json --confusions 1").json["columns"][0]
    [most] = found["confusions"]
    assert most["count"] == max(each["gold"] - each["right"] for each in found["by_type"].values())
    assert {most["gold"], most["predicted"]} == set(turned)
    assert "gold label" in (here / "matrix.svg").read_text()
    assert "already exists" in rnnlm(asked).err
    rnnlm(f"eval -m {slot_tagger.folder} {slot_tagger.valid} --plot matrix.svg --overwrite")
    assert (here / "matrix-slots.svg").exists() and (here / "matrix-intent.svg").exists()


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.parametrize(("options", "message"), [
    ("--context reset", "--context needs a language model, and model is a tagger"),
    ("--blank-lines documents", "--blank-lines needs a language model, and model is a tagger"),
    ("--beam 2", "--beam needs an encoder-decoder, and model is a tagger"),
    ("--plot x.txt", "x.txt does not have a plot suffix"),
    ("--label-column 1,2 --scheme none", "the data has 1, 2; the model predicts 2"),
    ("--label-column 9", "no column '9'"),
])  # fmt: skip
def test_what_does_not_go_with_labels_is_refused(rnnlm, here, tagger, options, message):
    shutil.copytree(tagger.folder, here / "model")
    outcome = rnnlm(f"eval -m model {tagger.valid} {options}")
    assert outcome.code in (1, 2) and message in outcome.err and not outcome.out


@pytest.mark.needs("tasks/labelling")
def test_options_of_labels_are_not_for_language_models(rnnlm, models):
    outcome = rnnlm(f"eval -m {models.unigram} {models.valid} --scheme bio --confusions 3")
    assert outcome.code == 2
    assert (
        f"--scheme, --confusions need a tagger or a classifier, and {models.unigram} is a language "
        "model" in outcome.err
    )
