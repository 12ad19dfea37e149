"""`rnnlm inspect`: tables, a sentence, JSON, pictures, and one clear line where there is nothing to see."""

import json

import pytest

from rnnlm import corpora
from rnnlm.tools.inspection import common
from support.tiny_models import LINES, fit, save


def test_spectra_of_several_models_and_untrained_ones_stand_side_by_side(
    rnnlm, models, here, pictures
):
    save(here / "elman", fit("rnn"), "rnn")
    done = rnnlm(f"inspect spectrum -m {models.lstm} -m elman")
    assert done.code == 0, done.err
    [title], header, *rows = done.rows
    assert title == "Recurrent weights W"
    assert header[:4] == ["model", "layer", "matrix", "shape"]
    gates = [("tiny", gate) for gate in ("input", "forget", "candidate", "output")]
    assert [(row[0], row[2]) for row in rows[:5]] == [*gates, ("elman", "recurrent")]
    [tiny], [elman] = rows[-2:]
    assert tiny.startswith("tiny: the spectral radius of its recurrent weights lies between")
    assert elman.startswith("elman: in layer 1 powers of the recurrent weights ")
    done = rnnlm("inspect spectrum -m elman --untrained --json --plot spectrum.svg")
    trained, start = done.json["matrices"]
    assert (trained["model"], start["model"]) == ("elman", "elman, untrained")
    assert len(trained["eigenvalues"]) == 12
    assert trained["spectral_radius"] != start["spectral_radius"]
    assert len(pictures["spectrum.svg"].axes) == 4


def test_units_are_ranked_and_one_colours_the_text(rnnlm, models, pictures):
    asked = f"inspect units -m {models.lstm} --on {models.valid}"
    done = rnnlm(f"{asked} --unit 3 --most 1 --plot unit.svg")
    assert done.code == 0 and pictures["unit.svg"].axes
    ranked, extremes, verdict = done.out.strip().split("\n\n")
    heads = ["property", "layer", "unit", "r", "low", "high", "meaning"]
    assert ranked.splitlines()[1].split("\t") == heads
    assert "unit 3 of layer 1 is lowest and highest" in extremes
    assert "unit 3 of layer 1" in verdict
    stored = rnnlm(f"{asked} --json").json
    assert stored["verdict"] and len(stored["unit"]["values"]) == stored["tokens"]
    refused = rnnlm(f"{asked} --unit 99")
    assert refused.code == 2 and "there is no unit 99" in refused.err


def test_saturated_units_are_counted_instead(rnnlm, models, pictures):
    asked = f"inspect units -m {models.lstm} --on {models.valid} --saturation"
    done = rnnlm(f"{asked} --plot saturated.svg")
    assert done.code == 0 and len(pictures["saturated.svg"].axes) == 5
    assert done.out.splitlines()[2].startswith("layer 1\tinput\tsigmoid\t")
    stored = rnnlm(f"{asked} --json").json
    assert stored["verdict"] and len(stored["parts"][0]["low"]) > 1
    refused = rnnlm(f"{asked} --unit 3 --most 1")
    assert refused.code == 2 and "--unit, --most: not valid with --saturation" in refused.err


def test_gates_are_shown_as_tables_picture_and_json(rnnlm, models, pictures):
    asked = f"inspect gates -m {models.lstm} 'the old man'"
    done = rnnlm(f"{asked} --units 0,7 --plot gates.png")
    assert done.code == 0 and pictures["gates.png"].axes
    by_token, by_gate, *_ = (part.splitlines() for part in done.out.split("\n\n"))
    assert [line.split("\t")[0] for line in by_token[1:]] == ["token", "</s>", "the", "old", "man"]
    gates = ["input", "forget", "candidate", "output", "tanh of the cell"]
    assert [line.split("\t")[1] for line in by_gate[2:]] == gates
    stored = rnnlm(f"{asked} --json").json
    assert [len(values) for values in stored["layers"][0]["gates"].values()] == [4] * 4
    assert stored["verdict"] in done.out


@pytest.mark.parametrize("inspection", ["gates {}", "beam {}", "gradients --sentence {}"])
def test_a_line_comes_from_standard_input_and_names_of_files_are_noted(
    rnnlm, models, here, inspection
):
    (here / "the").write_text("the man\n")
    asked = f"inspect {inspection} -m {models.lstm}"
    typed = rnnlm(asked.format("the"))
    note = "'the' is read as a line, although a file has that name; to use its lines: - < the"
    assert note in typed.err
    arrived = rnnlm(asked.format("-"), stdin=b"\nthe\n")
    assert arrived.out == typed.out and "a file has" not in arrived.err
    assert (
        "a single line, but standard input has 2" in rnnlm(asked.format("-"), stdin=b"a\nb\n").err
    )


def test_similarity_reads_lines_of_standard_input(rnnlm, models, here):
    (here / "the").write_text("the man\n")
    typed = rnnlm("inspect", "similarity", "the man", "the", "-m", models.lstm)
    assert "'the' is read as a line, although a file has that name" in typed.err
    arrived = rnnlm("inspect", "similarity", "-", "-m", models.lstm, stdin=b"the man\nthe\n")
    assert arrived.out == typed.out != ""


def test_gradients_are_tables_a_sentence_and_a_picture(rnnlm, models, pictures):
    asked = (
        f"inspect gradients -m {models.lstm} --on {models.text} --lags 5 --positions 8 --device cpu"
    )
    shown = rnnlm(f"{asked} --untrained --plot gradients.svg")
    verdict, sizes, rates, exponents = shown.out.split("\n\n")
    assert shown.code == 0
    _, columns, *rows = (line.split("\t") for line in sizes.splitlines())
    expected = ["model", "quantity", "lag", "mean (rms)", "std. error", "10 %", "median", "90 %"]
    assert columns == expected
    losses = {"loss by h of layer 1", "loss by word read"}
    assert {row[1] for row in rows} == {"layer 1, state", "layer 1, cell", *losses}
    assert len(rates.splitlines()) == 2 + 8 and len(exponents.splitlines()) == 2 + 2
    trained, start = verdict.splitlines()
    assert "tiny: the gradient of the state of layer 1 " in trained
    assert "tiny, untrained: the gradient" in start
    size = "mean (rms) size; 1: all lengths kept"
    labels = [axes.get_ylabel() for axes in pictures["gradients.svg"].axes]
    assert labels == [size, size, *["mean (rms) norm (nats)"] * 2]

    found = rnnlm(f"{asked} --json").json
    assert found["verdict"] == trained
    assert found["models"][0]["layers"][0]["state"]["lag"] == [1, 2, 3, 4, 5]


def test_a_sentence_is_a_map_of_its_words(rnnlm, models, here):
    shown = rnnlm(
        f"inspect gradients -m {models.lstm} --sentence 'the cat sat' --plot map.png --device cpu"
    )
    [verdict], _, [title], columns, *rows = shown.rows
    assert columns == ["predicted", "surprisal (nats)", "0 </s>", "1 the", "2 cat", "3 sat"]
    assert [row[0] for row in rows] == ["the", "cat", "sat", "</s>"]
    assert "of the sensitivity of predictions is to the token read last" in verdict
    assert title.startswith("tiny: ") and (here / "map.png").stat().st_size > 1000


def test_bundled_corpora_are_read_by_name(here):
    (here / "my.txt").write_text("one line\n")
    test = str(corpora.part("english", "test"))
    for given, sources in (
        (None, [test]), ("english", [test]), (["english", "my.txt"], [test, "my.txt"]),
    ):  # fmt: skip
        assert [*common.open_source(given).sources] == sources
    (here / "english").write_text("one line\n")
    assert [*common.open_source("english").sources] == ["english"]


@pytest.fixture
def grams(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for order in (2, 3):
        save(tmp_path / f"{order}gram", fit("ngram", order=order), "ngram", order=order)
    (tmp_path / "text.txt").write_text("\n".join(LINES * 3) + "\n")
    return ["-m", "2gram", "-m", "3gram"]


def test_memory_shows_tables_and_verdict_for_each_model(rnnlm, grams, pictures):
    asked = ("--on", "text.txt", "--positions", 20, "--plot", "memory.svg")
    shown = rnnlm("inspect", "memory", *grams, *asked)
    first, second, verdict = shown.out.split("\n\n")
    labels = [line.get_label() for line in pictures["memory.svg"].axes[0].lines]
    named = [label for label in labels if not label.startswith("_")]
    assert named == ["2gram", "3gram", "with all tokens"]
    for table in (first, second):
        _, header, *rows = (line.split("\t") for line in table.splitlines())
        assert header[:3] == ["model", "k", "positions affected"]
        expected = [(f"{n}gram", k) for n in (2, 3) for k in "1 2 5 10 20 50 100 all".split()]
        assert [(row[0], row[1]) for row in rows] == expected
    context = "2gram: the effective context is 1 token: with that alone, perplexity is"
    assert verdict.startswith(context)


def test_memory_json_has_effective_context_and_eval_perplexity(rnnlm, grams):
    asked = ("text.txt", "--context", "reset", "--json")
    found = rnnlm("inspect", "memory", *grams, "--on", *asked).json
    evaluated = rnnlm("eval", "-m", "3gram", *asked).json
    assert [model["effective_context"] for model in found["models"]] == [1, 2]
    assert found["context"] == "reset"
    assert found["models"][1]["seen"][-1]["perplexity"] == pytest.approx(evaluated["ppl_token"])


def test_cloze_shows_accuracy_by_kind_and_json_items(rnnlm, grams, tmp_path, pictures):
    items = "text\tanswer\tkind\nthe cat ___\tsat\tverb\nit is ___ to\thard\tother\n"
    (tmp_path / "items.tsv").write_text(items)
    shown = rnnlm("inspect", "cloze", "items.tsv", *grams, "--plot", "cloze.svg")
    assert pictures["cloze.svg"].axes[0].get_ylabel() == "share of answers"
    assert [row[:5] for row in shown.rows[1:4]] == [
        ["2gram", "all", "all", "2", "0"], ["2gram", "kind", "verb", "1", "0"],
        ["2gram", "kind", "other", "1", "0"],
    ]  # fmt: skip
    found = rnnlm("inspect", "cloze", "items.tsv", *grams, "--json").json
    answers = [each["item"]["answer"] for each in found["models"][0]["scores"]]
    assert answers == ["sat", "hard"] and "likeliest word" in found["verdict"]


PROBED = ("words-and-tags", "--label-column", "upos", "--most-items", "30")


def test_table_ends_in_verdict_and_json_agrees(rnnlm, models, pictures):
    shown = rnnlm("inspect", "probe", *PROBED, "-m", models.lstm, "--plot", "p.svg")
    assert shown.code == 0, shown.err
    assert shown.out.startswith("upos of words-and-tags: ") and pictures["p.svg"].axes
    verdict = shown.out.splitlines()[-1]
    assert verdict.startswith("upos is predicted best from ") and " of tiny: " in verdict
    found = rnnlm("inspect", "probe", *PROBED, "-m", models.lstm, "--json").json
    assert found["verdict"] == verdict
    assert {each["network"] for each in found["probes"]} == {"trained", "untrained"}


def test_surface_shows_table_sentence_and_picture(rnnlm, pictures):
    shown = rnnlm(
        "inspect surface --grid 5 --updates 20 --start 5 -2.3 --clip 1 --plot surface.svg"
    )
    columns, plain, clipped, _, verdict = shown.rows
    assert columns[:2] == ["path", "updates"]
    assert (plain[:2], clipped[:2]) == (["without clipping", "20"], ["clipped to 1", "20"])
    assert verdict[0].startswith("The norm of the gradient is ") and pictures["surface.svg"].axes


def test_the_surface_as_json_is_the_whole_grid(rnnlm):
    found = rnnlm("inspect surface --grid 3 --weights 1 2 --biases -1 0 --updates 2 --json").json
    assert found["weights"] == [1, 1.5, 2] and found["biases"] == [-1, -0.5, 0]
    assert [len(row) for row in found["errors"]] == [3, 3, 3] and found["verdict"]


def test_gradcheck_shows_matrices_one_weight_in_steps_and_a_picture(rnnlm, models, here):
    text = f"--on {models.text} --tokens 5 --device cpu"
    shown = rnnlm(f"inspect gradcheck -m {models.lstm} {text} --plot differences.svg")
    matrices, worked, verdict = shown.out.split("\n\n")
    assert shown.code == 0 and verdict.startswith("The backward pass is right: ")
    assert matrices.startswith("matrix\t") and "\ninput.embedding.weight\t" in matrices
    assert worked.startswith("One weight, step by step: body.layers.0.weight_hh[")
    drawn = (here / "differences.svg").read_text()
    assert "tiny: gradients left of the line are right" in drawn and "mathdefault" not in drawn


def test_what_cannot_be_shown_is_one_line(rnnlm, models):
    gradients = f"gradients -m {models.lstm}"
    for asked, what in (
        (f"gradients -m {models.unigram}", "has no recurrent layers of a language model"),
        (f"{gradients} --sentence ' '", "the sentence has no words"),
        (f"{gradients} --sentence a --lags 3 --on x", "--on, --lags: not valid with --sentence"),
        (f"{gradients} --on nowhere.txt", "nowhere.txt"),
        (f"{gradients} --plot x.jpg", "x.jpg does not have a plot suffix"),
        ("surface --grid 1", "a grid of 1 line cannot be drawn"),
        ("surface --biases 2 1", "biases from 2 to 1 is an empty range"),
        (f"gradcheck -m {models.lstm} --on {models.text} --tokens 0",
         "tokens = 0 is not a positive number"),
    ):  # fmt: skip
        ended = rnnlm(f"inspect {asked}")
        assert ended.code == 2 or (ended.code == 1 and asked.startswith("gradients "))
        assert what in ended.err and not ended.out


def test_step_shows_tables_sentence_and_picture(rnnlm, pictures):
    shown = rnnlm("inspect", "step", "--plot", "step.svg")
    assert shown.code == 0 and len(pictures["step.svg"].axes) == 1
    *tables, verdict = shown.out.split("\n\n")
    assert [len(table.splitlines()) - 2 for table in tables] == [4, 4, 4, 4, 24]
    assert tables[0].splitlines()[3].split("\t")[3:7] == ["(4, 3)", "(1, 1)", "(5, 4)", "(5, 4)"]
    assert verdict.startswith("The loss of 4 predictions is 5.739 nats")


def test_a_lesson_printed_as_json_is_read_again(rnnlm, here):
    first = rnnlm("inspect", "step", "--set", "W=[[0, 1], [2, 0]]", "--json").json
    (here / "mine.json").write_text(json.dumps(first["lesson"]))
    again = rnnlm("inspect", "step", "mine.json", "--json").json
    assert again == first and first["lesson"]["W"] == [[0, 1], [2, 0]]


def test_activations_are_those_named(rnnlm, pictures):
    shown = rnnlm("inspect", "activations", "tanh", "2 sigmoid", "--plot", "a.svg")
    assert shown.code == 0 and len(pictures["a.svg"].axes) == 2
    assert "2 sigmoid saturates below -3.637 and above 3.637" in shown.out
    found = rnnlm("inspect", "activations", "--share", 0.5, "--json").json
    assert found["share"] == 0.5 and len(found["activations"]) == 6


def test_cloze_shows_items_beside_their_rivals(rnnlm, models, here):
    (here / "items.tsv").write_text("text\tanswer\trival\nthe ___\tman\tthe\n")
    shown = rnnlm("inspect", "cloze", "items.tsv", "-m", models.lstm, "--items")
    assert shown.code == 0 and "of 1 answers are likelier than their rivals" in shown.out
    assert "\tbefore the gap\tanswer" in shown.out.split("\n\n")[1]
