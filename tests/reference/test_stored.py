"""What was stored before the modules moved into rooms still loads, and gives what it gave: see
data/stored/README.md."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rnnlm.models import model_folder
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings
from rnnlm.text.prepared import prepared_text

STORED = Path(__file__).parent / "data" / "stored"
FIGURES = [json.loads(line) for line in (STORED / "figures.jsonl").read_text().splitlines()]


@pytest.fixture
def stored(here):
    shutil.copytree(STORED, here, dirs_exist_ok=True)
    return here


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure["model"])
def test_models_give_the_figures_they_gave(rnnlm, stored, figure):
    found = json.loads(rnnlm("eval", "-m", figure["model"], "valid.txt", "--json").out)
    assert found["logprob_nats"] == pytest.approx(figure["logprob_nats"], rel=1e-6)
    # the fingerprint of a model of before covers its weights, not its settings
    signature = f"{figure['signature']},weights"
    assert (found["tokens"], found["signature"]) == (figure["tokens"], signature)


@pytest.mark.parametrize("name", ["lstm", "awd"])
def test_interrupted_run_resumes_to_the_uncut_runs_weights(rnnlm, stored, name):
    cut = stored / f"{name}-cut"
    settings = model_folder.read_manifest(cut).settings
    given = [
        f"--set={key}={value}"
        for key, value in settings.items()
        if value is not None and key != "model"
    ]
    assert (
        rnnlm(
            "train",
            "text.txt",
            "--valid",
            "valid.txt",
            "--model",
            settings["model"],
            *given,
            "-o",
            cut,
            "--resume",
        ).code
        == 0
    )
    ended, uncut = (
        model_folder.load(folder, "cpu")[0].to_arrays() for folder in (cut, stored / name)
    )
    assert ended.keys() == uncut.keys()
    assert all(np.allclose(ended[key], uncut[key], rtol=1e-3, atol=1e-5) for key in uncut)


@pytest.mark.parametrize("name, models", [("ngram", ["ngram"]), ("both", ["ngram", "gru"])])
def test_rescoring_weights_choose_what_they_chose(rnnlm, stored, name, models):
    given = [f"--model={model}" for model in models]
    assert (
        rnnlm(
            "rescore",
            "--apply",
            "nbest.tsv",
            "--weights",
            f"weights-{name}.json",
            *given,
            "--output",
            "new.txt",
        ).code
        == 0
    )
    assert (stored / "new.txt").read_text() == (stored / f"best-{name}.txt").read_text()


@pytest.mark.parametrize("name, text", [("words", "text.txt"), ("chars", "valid.txt")])
def test_prepared_texts_hold_the_ids_of_their_text(name, text):
    prepared = prepared_text.load(STORED / f"prepared-{name}")
    encoded = Corpus((str(STORED / text),), TextSettings()).encode(prepared.tokenizer)
    found = prepared.encode(prepared.tokenizer)
    assert np.array_equal(np.asarray(found.ids[: len(found.ids)]), encoded.ids)


def test_report_draws_learning_curves_of_both_metrics_logs(rnnlm, stored):
    assert rnnlm("compare", "gru", "lstm", "--on", "valid.txt", "--report", "report.html").code == 0
    assert "learning" in (stored / "report.html").read_text().lower()
