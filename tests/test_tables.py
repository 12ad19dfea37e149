"""Results as tables of other tools, as text, as HTML; pictures as figures of matplotlib."""

import html
import keyword
import pickle
import re
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
from matplotlib.figure import Figure

import rnnlm
from rnnlm.errors import UsageError
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.evaluation.metrics import with_intervals
from rnnlm.scoring.generation.search import likeliest, next_words
from rnnlm.scoring.generation.settings import BeamSettings
from rnnlm.tabular import Table, latex
from rnnlm.tasks.labelling.tagging import (
    ClassifiedText,
    ClassifiedTexts,
    TaggedSentence,
    TaggedSentences,
)
from rnnlm.tools.inspection.activations import inspect_activations
from rnnlm.tools.inspection.common import Inspection
from rnnlm.tools.inspection.gradcheck import inspect_gradcheck
from rnnlm.tools.inspection.probing import inspect_probe
from rnnlm.tools.inspection.similarity import inspect_analogy
from rnnlm.tools.inspection.step import inspect_step
from rnnlm.tools.inspection.surface import inspect_surface
from rnnlm.tools.pairs.pair import Pair
from rnnlm.tools.rescoring.nbest import Hypothesis, Utterance
from rnnlm.tools.rescoring.rescorer import (
    Rescored,
    RescoredHypothesis,
    RescoredUtterance,
    gain_over,
    rescore,
    tune_weights,
)
from support import tiny_models, tiny_seq2seq, tiny_tasks
from support.pictures import faults_of
from support.small_runs import SMALL
from support.tiny_models import LINES, Lines
from support.tiny_translators import parallel_text

FEW = ComparisonSettings(resamples=40)
SENTENCE = "the cat sat on a mat"
FILES = {
    "cloze.tsv": "text\tanswer\tkind\nthe cat ___ on the mat\tsat\tverb\na ___ sat\tdog\tnoun\n",
    "labels.tsv": tiny_tasks.table(tiny_tasks.VALID),
}
NAME = re.compile("[a-z][a-z0-9_]*")  # a name in Python and in R
OF_R = {"if", "else", "repeat", "while", "function", "for", "next", "break", "in"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Return small models of every task, and the folder of a run."""
    folder = tmp_path_factory.mktemp("tables")
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    text = rnnlm.Corpus.from_lines([*LINES, "the dog sat on it"] * 3)
    small = {**SMALL, "validate_every_steps": 2, "threads": 1}
    run = rnnlm.train(text, valid=text, model="lstm", output=folder / "run", **small)
    found = SimpleNamespace(made={}, folder=folder, run=run.wait(progress=False))
    found.lstm, found.ngram = found.run.model, tiny_models.fit("ngram", order=3)
    found.tagger = tiny_tasks.fit("tagging", "lstm", budget="4steps", both=True)
    found.translator = tiny_seq2seq.tiny_model()
    found.text = Lines([*LINES[:4], "a zorp sat"])
    found.labelled = tiny_tasks.labelled(tiny_tasks.VALID, "tagging", True)
    found.pairs = parallel_text([("the cat sat", "le chat est assis"), ("a dog", "un chien")] * 3)
    return found


def pair_scores(model):
    pairs = [Pair("verb", "the cat sat", "the cat on", distance=n) for n in range(4)]
    pairs.append(Pair("noun", "a dog sat", "a dog a"))
    return rnnlm.Model(model).score_pairs(pairs)


def rescored(here):
    said = []
    for number in range(4):
        texts = (Hypothesis("the dog sat", -1.0), Hypothesis("the cat sat", -2.0))
        said.append(Utterance(f"u{number}", texts, "the cat sat"))
    weights = tune_weights(said, {"m": here.ngram})
    return rescore(said, {"m": here.ngram}, weights)


def compared(here, of):
    if of == "language models":
        models = [here.lstm, here.lstm.adapt("unigram")]
        return rnnlm.compare(models, here.text, settings=FEW, names=["<a>", "b"])
    if of == "taggers":
        names = ["a", "b"]
        return rnnlm.compare([here.tagger, here.tagger], here.labelled, settings=FEW, names=names)
    models = [here.translator, tiny_seq2seq.tiny_model(model="gru")]
    return rnnlm.compare(models, here.pairs, settings=FEW, names=["a", "b"])


def repeated(times):
    return rnnlm.Corpus.from_lines(LINES * times)


WORDS, PROBED = ["cat", "dog", "sat", "mat"], {"label_column": "label", "level": "text"}
EVALUATIONS = {
    "evaluation": lambda here: evaluate(here.lstm, here.text),
    "with intervals": lambda here: with_intervals(evaluate(here.tagger, here.labelled)),
    "evaluation of pairs": lambda here: evaluate(here.translator, here.pairs),
}
COMPARISONS = {
    "comparison": lambda here: compared(here, "language models"),
    "comparison of taggers": lambda here: compared(here, "taggers"),
    "comparison of translators": lambda here: compared(here, "translators"),
}
INSPECTIONS = {
    "gates": lambda here: here.lstm.inspect_gates(SENTENCE),
    "units": lambda here: here.lstm.inspect_units(here.text),
    "saturation": lambda here: here.lstm.inspect_saturation(here.text),
    "memory": lambda here: here.lstm.inspect_memory(repeated(5), positions=8, window=101),
    "sensitivity": lambda here: here.lstm.inspect_sensitivity(SENTENCE),
    "gradients": lambda here: here.lstm.inspect_gradients(repeated(5), lags=3, positions=4),
    "spectrum": lambda here: here.lstm.inspect_spectrum(),
    "neighbours": lambda here: here.lstm.inspect_neighbours(WORDS[:1], count=3),
    "analogy": lambda here: inspect_analogy(here.lstm, WORDS[:3], count=2),
    "similarity": lambda here: here.lstm.inspect_similarity([SENTENCE, WORDS[0]]),
    "surface": lambda here: inspect_surface(grid=5, steps=3, updates=3),
    "step": lambda here: inspect_step(),
    "activations": lambda here: inspect_activations(),
    "beam": lambda here: here.lstm.inspect_beam(WORDS[0]),
    "cloze": lambda here: here.lstm.inspect_cloze(here.folder / "cloze.tsv"),
    "probe": lambda here: inspect_probe(here.lstm, here.folder / "labels.tsv", **PROBED),
    "gradcheck": lambda here: inspect_gradcheck(here.lstm, repeated(1), tokens=8),
}
OTHERS = {
    "history": lambda here: here.run.history,
    "word vectors": lambda here: here.lstm.word_vectors(),
    "scores": lambda here: here.lstm.score_sentences([SENTENCE], words=True),
    "next words": lambda here: next_words(here.ngram, "the ", 3),
    "likeliest": lambda here: likeliest(here.ngram, BeamSettings(beam=2, max_tokens=4)),
    "samples": lambda here: here.lstm.generate(num=2, max_tokens=3),
    "accuracies": lambda here: pair_scores(here.ngram).accuracies(),
    "differences": lambda here: pair_scores(here.ngram).differences(pair_scores(here.lstm)),
    "rescored": rescored,
    "gain": lambda here: gain_over(rescored(here), rescored(here)),
}
ALL = {**EVALUATIONS, **COMPARISONS, **INSPECTIONS, **OTHERS}


def result_of(here, name):
    """Return the result of that name, which is made once."""
    if name not in here.made:
        here.made[name] = ALL[name](here)
    return here.made[name]


def tables_of(result):
    """Return the rows of each table of a result."""
    if isinstance(result, Inspection):
        tables = [each.to_rows() for each in result.tables()]
        return tables + [result.to_rows(number) for number in range(len(tables))]
    if isinstance(result, rnnlm.Comparison):
        return [result.to_rows(), result.to_rows("metrics")]
    return [result.to_rows()]


@pytest.mark.parametrize("name", ALL)
def test_columns_are_names_and_cells_single_values(here, name):
    result = result_of(here, name)
    for rows in tables_of(result):
        assert rows and len({tuple(row) for row in rows}) == 1
        for column in rows[0]:
            assert NAME.fullmatch(column) and column not in OF_R and not keyword.iskeyword(column)
        cells = [cell for row in rows for cell in row.values()]
        assert {type(cell) for cell in cells} <= {str, int, float, bool, type(None)}
    frame = result.to_pandas()
    assert list(frame.columns) == list(result.to_columns())
    assert len(frame) == len(tables_of(result)[0]) or isinstance(result, Inspection)


@pytest.mark.parametrize("name", {**EVALUATIONS, **COMPARISONS, **INSPECTIONS})
def test_notebooks_get_small_tables_without_script(here, name):
    result = result_of(here, name)
    shown = result._repr_html_()
    assert shown.startswith("<table>") and "<script" not in shown and "style" not in shown
    assert "<a>" not in shown and len(shown) < 20_000
    assert len(repr(result)) < 1500 and "array(" not in repr(result) and "\n\n" not in repr(result)


@pytest.mark.parametrize("name", {**EVALUATIONS, **COMPARISONS})
def test_text_of_results_is_what_is_printed(here, name, capsys):
    from rnnlm.cli import metrics

    result = result_of(here, name)
    metrics.show(result.printed())
    printed = capsys.readouterr()
    words = (printed.out + printed.err).replace('"', "").split()
    ours = [word for word in str(result).split() if not re.fullmatch("-+", word)]
    assert sorted(ours) == sorted(word for word in words if word != "-")


def test_an_evaluation_has_a_row_for_each_metric(here):
    evaluation = result_of(here, "with intervals")
    rows = evaluation.to_rows()
    f1 = evaluation.main_of("slots")
    [row] = [row for row in rows if (row["metric"], row["column"]) == (f1.name, "slots")]
    assert row["value"] == f1.value and row["unit"] == "share" and row["low"] is None
    assert row["sentences"] == len(tiny_tasks.VALID) and row["signature"] == f1.signature
    assert {row["column"] for row in rows} == {"slots", "intent", "all columns"}


def test_a_comparison_has_rows_of_differences(here):
    found = result_of(here, "comparison")
    first, without_unknown = found.to_rows()
    assert (first["first"], first["second"], first["unit"]) == ("<a>", "b", "bits per token")
    assert first["difference"] == found.differences[0].difference
    assert without_unknown["metric"] == "ppl_token_no_oov"
    models = found.to_rows("metrics")
    assert {row["model"] for row in models} == {"<a>", "b"}
    assert all(row["low"] <= row["value"] <= row["high"] for row in models if row["low"])
    with pytest.raises(UsageError, match="did you mean 'metrics'"):
        found.to_rows("metric")


def test_inspections_give_each_table_by_title(here):
    gates = result_of(here, "gates")
    second = gates.tables()[1]
    assert gates.to_rows(second.title) == gates.to_rows(1) == second.to_rows()
    assert list(second.to_pandas()["gate"])[:2] == ["forget", "candidate"]
    for wrong in (2, -1, "Stat"):
        with pytest.raises(UsageError, match="there is no table"):
            gates.to_rows(wrong)
    assert str(gates).endswith(gates.verdict) and second.title in str(gates)


def test_tables_of_inspections_hold_raw_values(here):
    sensitivity = result_of(here, "sensitivity")
    rows = sensitivity.to_rows()
    places = len(sensitivity.models[0].predicted)
    assert len(rows) == places * (places + 1) / 2
    assert rows[-1]["norm"] == sensitivity.models[0].norms[-1, -1]
    assert result_of(here, "memory").to_rows()[-1]["k"] is None
    worked = result_of(here, "gradcheck").to_rows(1)
    assert worked[0]["quantity"] == "w" and isinstance(worked[0]["value"], float)


def test_headings_that_are_alike_are_numbered():
    table = Table(("a b", "a-b", "10 %", "in", "ß"), ((np.int64(1), np.float32(2), "c", None, 1),))
    [row] = table.to_rows()
    assert row == {"a_b": 1, "a_b_2": 2.0, "x10_percent": "c", "in_": None, "x": 1}
    assert type(row["a_b"]) is int and type(row["a_b_2"]) is float


def test_columns_of_users_never_hide_those_of_a_result():
    by_place = {"word": ("A", "B", "C"), "POS": ("X",)}
    sentences = TaggedSentences([
        TaggedSentence("a b", ("a", "b"), by_place, {"pos": "Q"}, None, {}, {}, {}),
        TaggedSentence("c", ("c",), {}, {}, "why", {}, {}, {}),
    ])  # fmt: skip
    assert sentences.to_columns() == {
        "sentence": [1, 1, 2], "word_index": [1, 2, 1], "word": ["a", "b", "c"],
        "word_2": ["A", "B", None], "pos": ["X", None, None], "pos_2": ["Q", "Q", None],
    }  # fmt: skip

    texts = ClassifiedTexts([
        ClassifiedText(" ", (), {}, {}, "why"),
        ClassifiedText(None, ("a", "b"), {"text": "y", "class": "x|z"}, {"text": {"y": 0.75}}),
    ])  # fmt: skip
    assert texts.to_columns() == {
        "text": [" ", "a b"], "text_2": [None, "y"], "text_probability": [None, 0.75],
        "class_": [None, "x|z"], "class_probability": [None, None],
    }  # fmt: skip
    assert not TaggedSentences().to_rows() and not ClassifiedTexts().to_rows()

    features = {"am": -1.0, "rank": 7.0, "Rank": 8.0}
    best = RescoredHypothesis("a b", 2, 0.5, -1.0, features, None)
    [row] = Rescored((RescoredUtterance("u", None, (best,)),), None).to_rows()
    assert [row[name] for name in ("rank", "am", "rank_2", "rank_3")] == [2, -1, 7, 8]


def test_text_is_aligned_and_controls_are_visible():
    text = str(Table(["name", "n"], [["a\x1b", "1,000"], ["long name", "2"]], right=["n"]))
    expected = ["name            n", "---------   -----", "a\\x1b       1,000", "long name       2"]
    assert text.splitlines() == expected


def test_html_of_words_is_escaped(here):
    vectors = rnnlm.WordVectors(("<b>", "b"), np.eye(2, dtype=np.float32), "<vectors>")
    assert html.escape("<vectors>") in vectors._repr_html_() and "<b>" not in vectors._repr_html_()
    assert vectors.to_rows()[0] == {"word": "<b>", "v1": 1.0, "v2": 0.0}
    pandas.testing.assert_frame_equal(vectors.to_pandas(), pandas.DataFrame(vectors.to_rows()))
    assert repr(vectors) == "<<vectors>: 2 words, 2 numbers each>"


# ---- Pictures


PANELS = {
    "gates": 3, "units": 1, "saturation": 5, "memory": 2, "gradients": 2, "spectrum": 2, "surface": 2,
    "neighbours": 1, "analogy": 1, "similarity": 1, "gradcheck": 1, "sensitivity": 1,
    "cloze": 1, "probe": 1, "beam": 1, "step": 1, "activations": 6,
}  # fmt: skip

# Drawing takes longest; tests of these inspections draw the same.
DRAWN_ELSEWHERE = "gates units saturation gradients spectrum step activations".split()


@pytest.mark.parametrize("name", PANELS)
def test_pictures_of_one_panel_go_into_axes(here, name):
    result = result_of(here, name)
    if name not in DRAWN_ELSEWHERE:
        drawn = result.figure()
        assert isinstance(drawn, Figure) and faults_of(drawn) == []
    figure = Figure()
    axes = figure.add_subplot(1, 2, 1)
    if PANELS[name] > 1:
        with pytest.raises(UsageError, match="panels"):
            result.figure(axes)
        return
    assert result.figure(axes) is figure and axes.has_data()


def test_a_comparison_is_drawn_as_intervals(here):
    figure = Figure()
    axes = figure.add_subplot()
    found = result_of(here, "comparison")
    assert found.plot(axes) is figure and faults_of(found.plot()) == []
    [label] = [label.get_text() for label in axes.get_yticklabels()]
    assert re.fullmatch("b \u2212 <a>\n[+\u2212][0-9.]+ \\[.*\\]", label)


def test_plots_return_figures_with_and_without_file(here, tmp_path):
    runs = [here.run.folder]
    assert faults_of(rnnlm.plot_curves(runs, tmp_path / "plot.svg")) == []
    [axes] = rnnlm.plot_curves(runs).axes
    figure = Figure()
    own = figure.add_subplot(1, 2, 2)
    assert rnnlm.plot_curves(runs, axes=own) is figure and len(own.lines) == len(axes.lines)


def test_notebooks_show_figures_without_pyplot(here):
    figure = rnnlm.plot_curves([here.run.folder])
    assert figure._repr_png_().startswith(b"\x89PNG")
    copied = pickle.loads(pickle.dumps(figure))
    assert copied._repr_png_() == figure._repr_png_()


# ---- For papers.


def test_a_table_for_a_paper():
    table = Table(["model", "ppl", "by_%"], [["a_b", 35.5, "-2.1% [-3.0%, +1.0%]"], ["[x]", 1, ""]])
    assert table.to_latex().splitlines() == [
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"model & ppl & by\_\% \\",
        r"\midrule",
        r"a\_b & 35.500 & $-$2.1\% [$-$3.0\%, $+$1.0\%] \\",
        r"{[}x] & 1 &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize(("text", "written"), [
    ("well-known 5-gram", "well-known 5-gram"),
    ("kn-5", "kn-5"),
    (
        r"\&%$#_{}~^<>",
        r"\textbackslash{}\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}$<$$>$",
    ),
    ("227.4… +1", r"227.4\dots{} $+$1"),
    ("*", "{*}"),
])  # fmt: skip
def test_texts_as_latex_writes_them(text, written):
    assert latex(text) == written
