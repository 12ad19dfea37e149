"""The page of a run: its numbers agree with metrics.jsonl and the model."""

import html
import json
import re
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import rnnlm
from rnnlm.amounts import amount
from rnnlm.errors import ModelError, OutputError, UsageError
from rnnlm.evaluation import plotting
from rnnlm.evaluation.learning_curves import learning_curve
from rnnlm.storage.manifest import read_manifest
from rnnlm.storage.run_files import read_events
from rnnlm.tools.reports import run_report
from rnnlm.tools.reports.run_report import RunHistory, render, report, thinned
from support.pictures import faults_of
from support.small_runs import SMALL
from support.tiny_models import LINES, fit, save

NASTY = "<script>alert(1)</script> & \x1b[31m"
OF_LAYER = {"spectral_radius": {"candidate": 1.234, "forget": 0.77}, "gradient_norm": 0.0456}
OF_LAYER["saturated"] = 0.321
LAYER = {"layer 1": OF_LAYER}
STARTED = {
    "event": "started", "model": "lstm", "train_tokens": 1000, "parameters": 4321, "device": "cpu",
}  # fmt: skip


def step(at, **more):
    return {
        "event": "step", "step": at, "epoch": at / 10, "seconds": at / 2, "is_exact": True,
        "loss_nats": 5.0 - at / 10, "learning_rate": 0.01, "gradient_norm": 0.5,
        "gradient_norm_max": 2.5, "tokens_per_second": 900.0, **more,
    }  # fmt: skip


def validated(at, ppl, **more):
    return {"event": "validated", "step": at, "epoch": at / 10, "ppl_token": ppl,
            "best_ppl_token": ppl, "improved": True,
            "seconds": at / 2, **more}  # fmt: skip


@pytest.fixture
def log(tmp_path):
    """Return a function that makes the folder of a run with these events, without a model."""

    def make(*events, name="run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(
            "".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8"
        )
        return tmp_path / name

    return make


@pytest.fixture(scope="module")
def page(models):
    """Render the page of the LSTM that commands are tried on."""
    return render(models.lstm)


@pytest.fixture
def undrawn(monkeypatch):
    """Leave out the plots of pages, which take longest."""
    monkeypatch.setattr(run_report, "plots", lambda history, curve, by: [])


def tree(page):
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def text_of(page):
    return " ".join("".join(tree(page).itertext()).split())


def titles(page):
    found = tree(page).iter("{http://www.w3.org/1999/xhtml}h3")
    return ["".join(each.itertext()) for each in found]


def cells(page, heading):
    """Return the rows of the first table below a heading."""
    body = page[page.index(f"<h2>{heading}</h2>") :]
    found = tree(body[body.index("<table") : body.index("</table>") + 8])
    return [["".join(cell.itertext()) for cell in row] for row in found.iter("tr")]


def test_report_numbers_match_log_and_model(page, models):
    told = [event for event in read_events(models.lstm) if event["event"] == "validated"]
    columns, *rows = cells(page, "Validations")
    names = ("step", "ppl_token", "improved")
    shown = [[row[columns.index(name)] for name in names] for row in rows]
    assert shown == [[amount(event[name], None) for name in names] for event in told]
    (layer,) = cells(page, "Layers")[1:]
    of_layer = [event["layers"]["layer 1"] for event in told]
    last = [figures["saturated"] for figures in of_layer if "saturated" in figures][-1]
    assert layer[0] == "layer 1" and layer[3] == f"{last:.1%}" and "forget" in layer[4]
    manifest, text = read_manifest(models.lstm), text_of(page)
    valid = manifest.results["valid"]
    assert valid["signature"] in text and f"{valid['ppl_token']:,.4f}" in text
    assert "It used up its budget after 30 steps." in text
    settings = {name: (value, origin) for name, value, origin in cells(page, "Settings")[1:]}
    assert settings["hidden_size"] == (str(manifest.settings["hidden_size"]), "user")
    assert settings["optimizer"][1] == "default"
    assert settings.keys() == manifest.settings.keys() - {"model"}


def test_plots_show_what_the_log_tells(page):
    assert titles(page)[0] == "Learning curve"  # the page begins with it
    assert titles(page)[-9:] == ["Loss in training", "Learning rate",
                                 "Gradient norm", "Norm of the weights", "Speed",
                                 "Gradient norm by layer", "Update over weights by layer",
                                 "Spectral radius",
                                 "Saturated units"]  # fmt: skip
    assert ">layer 1 candidate<" in page and ">largest |eigenvalue|<" in page
    assert ">validation perplexity per token<" not in page


def test_plots_name_bounds_rollbacks_and_all_series(models, monkeypatch):
    back = {"event": "rolledback", "step": 6, "to_step": 4}
    events = (STARTED, step(1), step(8), validated(4, 90.0, layers=LAYER), back)
    events = (*events, validated(8, 80.0, layers=LAYER), *[step(9 + n) for n in range(2)])
    drawn = []
    monkeypatch.setattr(plotting, "as_svg", lambda figure: drawn.append(figure) or "")
    plots = run_report.plots(RunHistory(events), learning_curve(models.lstm))
    figures = dict(zip([plot.title for plot in plots], drawn, strict=True))
    assert not [title for title, figure in figures.items() if faults_of(figure)]
    named = figures["Spectral radius"].legends[0].get_texts()
    assert {"layer 1 candidate", "layer 1 forget", "rollback"} < {each.get_text() for each in named}


def test_old_and_sparse_logs_show_available_plots(log):
    before = RunHistory((STARTED, step(1), validated(1, 90.0)))
    assert before.layers == [] and before.of_layer("layer 1", "saturated") == {}
    nasty = {NASTY: {"saturated": 0.3, "spectral_radius": None}}
    (plot,) = run_report.plots(RunHistory((STARTED, validated(2, 80.0, layers=nasty))), None)
    assert plot.title == "Saturated units" and "script" not in plot.svg
    found = RunHistory((validated(1, 90.0, layers=LAYER), validated(2, None, layers=LAYER)))
    expected = {"candidate": [(1, 1.234), (2, 1.234)], "forget": [(1, 0.77), (2, 0.77)]}
    assert found.of_layer("layer 1", "spectral_radius") == expected
    assert found.of_layer("layer 1", "gradient_norm") == {"": [(1, 0.0456), (2, 0.0456)]}


def test_diverged_run_is_reported_from_its_log_alone(log, undrawn):
    back = {"event": "rolledback", "step": 20, "to_step": 10,
            "why": "the loss is not a number by step 20", "count": 1, "left": 2,
            "rate_factor": 0.5, "seconds": 9.0}  # fmt: skip
    facts = {"divergence": "a weight is not a number; gone back once"}
    end = {"event": "fitted", "step": 0, "steps": 31, "stopped": "diverged", "facts": facts}
    bad = step(20, loss_nats=None, gradient_norm_max=None)
    page = render(log(STARTED, step(10), bad, back, step(30), end))
    text = text_of(page)
    assert "It diverged after 31 steps: a weight is not a number; gone back once." in text
    assert "It was rolled back once." in text
    assert "It has saved no model" in text and "4,321" in text
    expected = [["20", "10", "0.5000", "2", "the loss is not a number by step 20"]]
    assert cells(page, "Rollbacks")[1:] == expected
    assert "<h2>Settings</h2>" not in page


def test_a_run_that_really_diverged_has_one(tmp_path, undrawn):
    (tmp_path / "text.txt").write_text("\n".join(LINES * 20) + "\n", encoding="utf-8")
    settings = {**SMALL, "model": "rnn", "learning_rate": 1e30, "optimizer": "sgd"}
    settings |= {"rollbacks": 0, "clip_norm": None, "warmup": 0.0, "budget": "9steps"}
    with pytest.raises(rnnlm.RnnlmError, match="diverged"):
        list(rnnlm.train(tmp_path / "text.txt", output=tmp_path / "run", holdout=0.0, **settings))
    assert "It diverged" in text_of(render(tmp_path / "run"))


def test_a_run_that_goes_on_says_so(log, undrawn):
    end = {"event": "finished", "steps": 10, "stopped": "request"}
    text = text_of(render(log(STARTED, step(10), end, STARTED, step(1234))))
    assert "It has not ended: it is still running, or was interrupted." in text
    assert "Its log ends at step 1,234." in text and "It was trained in 2 pieces." in text


def test_count_models_have_figures_and_settings_without_curves(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    with warnings.catch_warnings(action="ignore", category=rnnlm.RnnlmWarning):
        asked = {"model": "ngram", "order": 2, "smoothing": "mle"}
        list(rnnlm.train(text, valid=text, output=tmp_path / "n", **asked))
    page = render(tmp_path / "n")
    assert "The model was counted, not learned step by step" in text_of(page)
    assert not list(tree(page).iter("{http://www.w3.org/2000/svg}svg"))
    assert ["order", "2", "user"] in cells(page, "Settings") and "ppl_token" in text_of(page)


def test_models_without_a_run_say_so(tmp_path):
    parts = [str(tmp_path / name) for name in ("one", "two")]
    for part in parts:
        save(Path(part), fit("unigram"), "unigram")
    rnnlm.mix(parts, output=tmp_path / "mixed", weights=[0.5, 0.5])
    page = render(tmp_path / "mixed")
    assert "There is no run to report" in text_of(page) and "weight 0.5000" in text_of(page)


def test_models_of_tasks_have_figures_of_their_own(tagger, classifier, translator, undrawn):
    of_tags, of_texts, of_pairs = (render(each.folder) for each in (tagger, classifier, translator))
    (column,) = read_manifest(tagger.folder).results["valid"]["columns"]
    assert f"valid: {column['column']}" in titles(of_tags)
    assert column["signature"] in text_of(of_tags) and "layer 1 backward" in text_of(of_tags)
    assert ["f1", f"{100 * column['f1']:.2f} %"] in cells(of_tags, "Metrics")
    assert "accuracy" in text_of(of_texts)
    assert "chrf" in text_of(of_pairs) and "decoder layer 1" in text_of(of_pairs)


def test_text_from_outside_is_shown_as_it_is(log, undrawn):
    end = {"event": "fitted", "steps": 3, "stopped": "diverged", "facts": {"divergence": NASTY}}
    back = {"event": "rolledback", "step": 1, "to_step": 0, "why": NASTY}
    events = STARTED | {"validation": NASTY}, step(1), back, end
    told = validated(1, 90.0, layers={NASTY: OF_LAYER})
    page = render(log(*events, told, name="a <b> & c"))
    assert "<script" not in page and "\x1b" not in page and "a <b> & c" in text_of(page)
    assert page.count(html.escape("<script>alert(1)</script>")) >= 4


def test_report_is_self_contained_and_readable_anywhere(page):
    tags = {each.tag.rpartition("}")[2] for each in tree(page).iter()}
    assert not tags & {"script", "link", "iframe", "img", "object", "base"}
    assert set(re.findall(r"url\((.)", page)) <= {"#"} and "@import" not in page
    assert set(re.findall(r'(?:href|src)="(.)', page)) <= {"#"}
    assert "prefers-color-scheme: dark" in page and "max-width: 40rem" in page
    assert 'content="width=device-width' in page


def test_report_is_written_atomically_and_never_overwrites_unasked(log, tmp_path, undrawn):
    run, page = log(STARTED, step(1)), tmp_path / "run.html"
    assert report(run, page) == page and page.read_text(encoding="utf-8").endswith("</html>\n")
    with pytest.raises(OutputError, match="already exists"):
        report(str(run), str(page))
    report(run, page, overwrite=True)
    with pytest.raises(UsageError, match="a report of runs cannot be written to .*run.svg"):
        report(run, tmp_path / "run.svg")


def test_what_is_no_run_is_refused(log, tmp_path, undrawn):
    with pytest.raises(ModelError, match="no model named 'nowhere'"):
        render("nowhere")
    with pytest.raises(UsageError, match="there is nothing to report"):
        report([], tmp_path / "none.html")
    with pytest.raises(ModelError, match="damaged"):
        render(log(STARTED, validated(1, 90.0), {"event": "rolledback"}, name="damaged"))
    unlike = [step(1) | {"step": "x"}, validated(1, 3.0) | {"step": None}, {"event": "step"}]
    odd = log(STARTED, *unlike, {"event": "validated", "layers": {"layer 1": 7}}, name="odd")
    assert "It has not ended" in text_of(render(odd))  # values that are no numbers are left out


def test_long_logs_are_thinned_evenly_with_their_end():
    assert thinned(range(10), 4) == [0, 3, 6, 9]
    assert thinned([], 4) == []
    assert thinned(range(3), 4) == [0, 1, 2]
    assert RunHistory(()).ending().endswith("ends at step 0.")
    assert len(thinned(range(1001), 200)) <= 200
