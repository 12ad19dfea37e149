"""The door for Python: runs that are waited for, models as objects, texts in memory, tables."""

import inspect
import json
import sqlite3
import sys
from importlib import import_module

import datasets
import numpy
import pandas
import pyarrow
import pytest
import torch

import rnnlm
from rnnlm.config import describe
from rnnlm.errors import ArgumentTypeError, RnnlmError, SettingsError, TextError, UsageError
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.scoring.generation.drawing import generate
from rnnlm.scoring.generation.search import likeliest
from rnnlm.scoring.generation.settings import BeamSettings, GenerationSettings
from rnnlm.scoring.settings import SentenceScoring
from rnnlm.storage.files import tables
from rnnlm.tools.inspection.memory import inspect_memory
from rnnlm.tools.serving.schemas import GenerateRequest
from support.small_runs import SMALL

from_lines, from_dataset = rnnlm.Corpus.from_lines, rnnlm.Corpus.from_dataset
LINES = [f"line {number % 7} of the text" for number in range(60)]
GRU = {**SMALL, "model": "gru", "threads": 1, "budget": "6steps", "validate_every_steps": 2}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    text = from_lines(LINES)
    return rnnlm.train(text, valid=text, output=folder / "m", **GRU).wait(progress=False)


# ---- runs


def test_waiting_returns_what_is_finished_and_a_row_for_each_report(done):
    assert done.folder.name == "m" and done.finished.steps == 6
    assert done.evaluation is done.evaluations["valid"]
    again = evaluate(done.model, from_lines(LINES))
    assert done.evaluation.ppl_token == pytest.approx(again.ppl_token)
    assert "6 steps" in repr(done) and "ppl_token" in done._repr_html_()
    rows = done.history.to_rows()
    assert [row["steps"] for row in rows if row["measured"] == "valid"] == [2, 4, 6]
    assert {row["measured"] for row in rows} == {"train", "valid"}
    assert len({tuple(row) for row in rows}) == 1  # the same columns
    assert all(name.isidentifier() for name in rows[0])


def test_waiting_is_iterating_to_the_end(tmp_path):
    # Nobody but the run holds the text, whose file goes when nobody does. A zero is a setting.
    run = rnnlm.train(from_lines(LINES), output=tmp_path / "m", seed=0, **GRU)
    assert repr(run) == "<training run not started>"
    with pytest.raises(UsageError, match="not started"):
        run.history
    found = run.wait(progress=False)
    assert run.wait(progress=False) == found and run.evaluation is not None
    assert found.model.info()["settings"]["seed"] == 0
    assert run.model.logprob_nats("line 1") == found.model.logprob_nats("line 1")


def test_a_closed_run_cannot_be_waited_for(tmp_path):
    run = rnnlm.train(from_lines(LINES), output=tmp_path / "m", **GRU)
    next(run)
    run.close()
    with pytest.raises(RnnlmError, match="closed before its end"):
        run.wait(progress=False)


def test_a_terminal_shows_the_lines_of_the_command(tmp_path, capsys):
    text = from_lines(LINES)
    rnnlm.train(text, valid=text, output=tmp_path / "m", **GRU).wait()
    said = capsys.readouterr().err
    assert "training: gru" in said and "step 6: validation perplexity" in said


@pytest.mark.parametrize("keywords, named", [
    ({"contextual": "x"}, "`contextual` needs `task` tagging or classification"),
    ({"counts": "x", "model": "gru"}, "`counts` and a text cannot be combined"),
    ({"layers": 2, "model": "unigram"}, '`model="rnn"`'),
])  # fmt: skip
def test_errors_name_keywords(tmp_path, keywords, named):
    text = from_lines(LINES)
    with pytest.raises(UsageError) as caught:
        rnnlm.train(text, output=tmp_path / "m", **keywords).wait(progress=False)
    assert named in str(caught.value)


# ---- models


def test_a_model_is_what_functions_take(done):
    model, core = done.model, done.model.core
    sentences = ["line 1 of the text", "the text"]
    scores = model.score_sentences(sentences)
    assert scores == rnnlm.Model(core).score_sentences(sentences)
    alone = model.logprob_nats(sentences[0])
    assert alone == pytest.approx(scores[0].logprob_nats, abs=1e-5)
    total = sum(bits for _, bits in model.surprisal_bits(sentences[0]))
    assert total == pytest.approx(-scores[0].logprob_nats / 0.6931471805599453)
    assert rnnlm.Model(model).core is core and model.fingerprint == core.fingerprint
    assert rnnlm.compare([model, core], from_lines(LINES)).differences


def test_settings_are_the_door():
    """A field of these classes is an option, a field over HTTP, and a keyword, of one name."""
    options = {option.name for option in import_module("rnnlm.cli.lm.generate").command.params}
    methods = {GenerationSettings: "generate", BeamSettings: "likeliest"}
    for settings, name in {**methods, SentenceScoring: "score_sentences"}.items():
        method = getattr(rnnlm.Model, name)
        described = describe(settings)
        # A method has the fields as keywords, with their defaults.
        keywords = inspect.signature(method).parameters
        for name, field in inspect.signature(settings).parameters.items():
            assert (keywords[name].kind, keywords[name].default) == (field.kind, field.default)
            assert f"    {name}: " in method.__doc__
        assert described.keys() == keywords.keys() - {"self", "sentences", "conditions"}
        assert settings is SentenceScoring or described.keys() <= options | {"prompt"}
    assert describe(GenerationSettings).keys() <= {*GenerateRequest.__struct_fields__}


def test_a_model_generates_as_its_settings_say(done):
    drawing = GenerationSettings("line", 2, temperature=0.5, max_tokens=4, seed=3)
    expected = list(generate(done.model.core, drawing))
    assert done.model.generate("line", 2, temperature=0.5, max_tokens=4, seed=3) == expected
    expected = likeliest(done.model, BeamSettings(prompt="line", beam=3, max_tokens=3))
    assert done.model.likeliest("line", beam=3, max_tokens=3) == expected


def test_sentences_that_were_read_keep_their_columns_and_regions(done, tmp_path):
    path = tmp_path / "sentences.csv"
    path.write_text("item,sentence\n7,line | 1\n", encoding="utf-8")
    sentences = rnnlm.read_sentences(path, rnnlm.SentenceSettings("sentence", region_mark="|"))
    scores = done.model.score_sentences([*sentences, "the text"], words=True)
    assert [row["item"] for row in scores.to_rows()][:4] == ["7", "7", "7", None]
    assert [row["text"] for row in scores[:1].to_rows("region")] == ["line", "1"]


def test_a_model_scores_pairs(done):
    pairs = [rnnlm.Pair("order", "line 1 of the text", "1 line the of text")]
    scores = done.model.score_pairs(pairs)
    assert scores.accuracies()[0].pairs == 1 == len(scores)
    assert scores.differences(done.model.score_pairs(pairs))[0].difference == 0


def test_a_model_is_checked_tuned_and_written(tmp_path):
    text = from_lines(LINES)
    run = rnnlm.train(text, model="ngram", order=2, output=tmp_path / "n").wait(progress=False)
    assert {check.result for check in run.model.audit(sample=2)} <= {"ok", "not claimed"}
    assert run.model.tune("unigram", text).kind == "unigram"
    run.model.export_arpa(tmp_path / "n.arpa")
    again = rnnlm.import_arpa(tmp_path / "n.arpa", tmp_path / "again")
    assert again.tokenizer.size == run.model.tokenizer.size
    with pytest.raises(UsageError, match="not loaded from a folder"):
        run.model.adapt("unigram").tune("unigram", text)


def test_a_model_says_what_it_is(done):
    assert repr(done.model).startswith("<m: gru, ") and "words" in repr(done.model)
    assert repr(done.model.adapt("unigram")).startswith("<gru + unigram, ")
    assert "tag" not in dir(done.model) and "generate" in dir(done.model)
    with pytest.raises(AttributeError, match="did you mean 'next_words'"):
        done.model.next_word
    with pytest.raises(UsageError, match=r"m is a language model, which has no tag\(\)"):
        done.model.tag(["a line"])


def test_names_that_are_not_there_are_suggested(capsys):
    with pytest.raises(AttributeError, match="compere") as caught:
        rnnlm.compere
    # Python itself suggests a name of dir(rnnlm), where it shows an error that nobody caught.
    sys.__excepthook__(caught.type, caught.value, None)
    assert "Did you mean: 'compare'?" in capsys.readouterr().err
    assert dir(rnnlm) == sorted(rnnlm.__all__)


# ---- texts in memory


HUB = datasets.Dataset.from_dict({"text": LINES})
TABLE = pyarrow.table({"n": range(len(LINES)), "text": LINES})
FRAME = pandas.DataFrame({"text": LINES}, index=list(map(str, LINES)))


@pytest.mark.parametrize("made", [
    lambda: from_lines(line for line in LINES), lambda: from_lines(HUB["text"]),
    lambda: from_lines(pyarrow.chunked_array([LINES[:2], LINES[2:]])), lambda: from_dataset(HUB),
    lambda: from_dataset(HUB.to_iterable_dataset()), lambda: from_dataset(HUB["text"]),
    lambda: from_dataset(HUB.with_format("pandas")),
    lambda: from_dataset(HUB.to_iterable_dataset().with_format("arrow")),
    lambda: from_dataset(pandas.DataFrame({"a": 1, "said": LINES}), "said"),
    lambda: from_dataset(pandas.Series(LINES)), lambda: from_dataset(FRAME.itertuples(index=False)),
    lambda: from_dataset([{"sentence": line} for line in LINES]),
    lambda: from_dataset([{"id": 1, "Review": line} for line in LINES]),
    lambda: from_dataset(numpy.array(LINES)), lambda: from_dataset(TABLE),
    lambda: from_dataset(TABLE.to_reader()), lambda: from_dataset(TABLE.to_batches()[0]),
    lambda: from_dataset(ArrowFrame(TABLE)),
    lambda: from_dataset(pyarrow.array([line.encode() for line in LINES])),
    lambda: from_dataset(IndexedRows([{"text": line} for line in LINES])),
    lambda: from_dataset(_sqlite_rows(LINES)),
])  # fmt: skip
def test_texts_in_memory_are_read_as_files(done, made, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    expected = evaluate(done.model, path)
    corpus = made()
    found = done.model.evaluate(corpus)
    assert found.ppl_token == expected.ppl_token and found.signature == expected.signature
    assert evaluate(done.model, [corpus]).ppl_token == expected.ppl_token


class ArrowFrame:
    """A table of a library that is known by Arrow's C interface alone."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class IndexedRows:
    """Rows of a data set of torch: they have numbers and no iterator."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, number):
        return self.rows[number]


def _sqlite_rows(lines):
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    database.execute("create table said (text)")
    database.executemany("insert into said values (?)", [(line,) for line in lines])
    return database.execute("select text from said")


def test_columns_of_any_type_come_along():
    frame = pandas.DataFrame({
        "when": pandas.to_datetime(["2024-01-01", None]), "sentence": ["a cat", pandas.NA],
        "kind": pandas.Categorical(["x", "y"]), "score": [0.5, numpy.nan],
    })  # fmt: skip
    columns = ["when", "kind", "score"]
    for data in (frame, pyarrow.Table.from_pandas(frame)):
        corpus = from_dataset(data, "sentence", columns=columns)
        lines = rnnlm.runs.Path(corpus.sources[0]).read_text(encoding="utf-8").splitlines()
        first, second = map(json.loads, lines)
        assert first == {"when": "2024-01-01 00:00:00", "text": "a cat", "kind": "x", "score": 0.5}
        assert second == {"when": None, "text": None, "kind": "y", "score": None}


class ForeignError(Exception):
    """An error of another library."""


def test_errors_of_other_libraries_say_what_was_done():
    def failing(error):
        yield {"text": "a"}
        raise error

    with pytest.raises(TextError, match="cannot read the data set; no more disk") as caught:
        from_dataset(failing(ForeignError("no more disk")))
    assert isinstance(caught.value.__cause__, ForeignError)
    with pytest.raises(ZeroDivisionError):  # of the caller's own generator
        from_dataset(failing(ZeroDivisionError()))


@pytest.mark.parametrize("rows, message", [
    ([{"text": "a"}, {"text": ["a"]}], r"dataset\[1\]: column 'text' holds a list, not text"),
    (pandas.DataFrame({"text": [{"a": 1}]}), r"dataset\[0\]: column 'text' holds a dict"),
    ([{"text": "a"}, {"text": "b </s>"}], "^the data set, line 2: the text holds </s>"),
    ([{"text": b"\xff"}], "^the data set, line 1, column 'text': not UTF-8"),
])  # fmt: skip
def test_errors_in_a_data_set_name_no_temporary_file(done, rows, message):
    with pytest.raises(TextError, match=message):
        done.model.evaluate(from_dataset(rows))


@pytest.mark.parametrize("made", [numpy.int64, numpy.array, torch.tensor, pyarrow.scalar])
def test_numbers_of_libraries_are_numbers(done, made, tmp_path):
    small = {"budget": "1steps", "embedding_size": 4, "device": "cpu", "precision": "fp32"}
    results = []
    for name, of in {"own": int, "given": made}.items():
        numbers = {"seed": of(2), "hidden_size": of(4), "threads": of(1)}
        asked = {**small, **numbers, "model": "rnn", "output": tmp_path / name}
        model = rnnlm.train(from_lines(LINES), **asked).wait(progress=False).model
        [drawn] = model.generate("", max_tokens=of(3), seed=of(2))
        results.append((model.logprob_nats("line 1"), model.next_words("line", of(2)), drawn))
    assert results[0] == results[1]


def test_settings_keep_pythons_own_numbers():
    given = rnnlm.DecodingSettings(beam=numpy.array(3), length_power=numpy.float64(0.5))
    assert type(given.beam) is int and type(given.length_power) is float
    assert rnnlm.TextSettings(blank_lines=numpy.str_("keep")).blank_lines == "keep"
    with pytest.raises(SettingsError, match="a whole number"):
        rnnlm.DecodingSettings(beam=numpy.array([3, 4]))


def test_a_temporary_file_goes_with_its_text():
    corpus = from_lines(LINES)
    [path] = map(rnnlm.runs.Path, corpus.sources)
    assert path.is_file()
    del corpus
    assert not path.parent.exists()


TWICE = pandas.DataFrame([["a", "b"]], columns=["text", "text"])


class Query:
    """Like a lazy frame of Polars: it has columns, and its rows are asked for."""

    def __getitem__(self, at):
        raise TypeError("not subscriptable")

    def collect(self):
        raise NotImplementedError


def test_words_of_arrow_in_a_dictionary_of_views_are_read():
    words = pyarrow.array(["a", "b"], pyarrow.string_view())
    column = pyarrow.DictionaryArray.from_arrays([0, 1, 0], words)  # Polars' categories
    corpus = from_dataset(pyarrow.table({"text": column}))
    (block,) = corpus.blocks()
    assert list(block.lines) == ["a", "b", "a"]


@pytest.mark.parametrize("wrong, error, what", [
    (lambda: from_lines("the dog"), ArgumentTypeError, "must be a list"),
    *((lambda use=use: use(3), ArgumentTypeError, "must be a str or a path, not an int")
      for use in (rnnlm.load, rnnlm.load_tokenizer, rnnlm.read_pairs, rnnlm.read_weights)),
    (lambda: rnnlm.read_pairs("the dog " * 600), TextError, "no such file"),
    (lambda: rnnlm.load().next_words(None, 3), ArgumentTypeError, "must be a str, not None"),
    (lambda: rnnlm.load().adapt(3), ArgumentTypeError, "must be a str, not an int"),
    (lambda: from_lines(["a", 5]), ArgumentTypeError, r"lines\[1\]"),
    (lambda: from_lines(["a\nb"]), TextError, "holds a line end"),
    (lambda: from_dataset(5), ArgumentTypeError, "a data set is needed"),
    (lambda: from_dataset([{"a": "x", "b": "y"}]), TextError, "no column 'text'"),
    (lambda: from_dataset(FRAME, "txt"), TextError, "did you mean 'text'"),
    (lambda: from_dataset({"train": [{"text": "a"}]}), RnnlmError, "choose a split"),
    (lambda: from_dataset([{"tokens": ["a"], "tags": ["b"]}]), RnnlmError, "columns="),
    (lambda: evaluate("demo", LINES[:1]), TextError, "Corpus.from_lines"),
    (lambda: from_lines(numpy.array("a")), ArgumentTypeError, "must be a list"),
    (lambda: from_dataset(TWICE), TextError, "several columns called 'text'"),
    (lambda: from_dataset(Query()), ArgumentTypeError, r"collect\(\)"),
    *((lambda use=use: use(FRAME), ArgumentTypeError, "rnnlm.Corpus.from_dataset")
      for use in (rnnlm.train, lambda data: rnnlm.train(LINES[:1], valid=data))),
    *((lambda data=data: evaluate("demo", data), ArgumentTypeError, "rnnlm.Corpus.from_dataset")
      for data in (FRAME, HUB)),
])  # fmt: skip
def test_what_is_no_text_is_refused(wrong, error, what):
    with pytest.raises(error, match=what):
        wrong()


@pytest.mark.parametrize("task, data, columns, settings", [
    ("classification", {"text": ["a b", "b c"] * 9, "kind": ["x", "y"] * 9}, ["text", "kind"],
     {"label_column": "kind"}),
    ("tagging", {"tokens": [["a", "b"], ["b", "c"]] * 9, "tags": [["x", "y"], ["y", "x"]] * 9},
     ["tokens", "tags"], {"label_column": "tags"}),
    ("seq2seq", {"source": ["a b", "b c"] * 9, "target": ["x y", "y z"] * 9},
     ["source", "target"], {}),
])  # fmt: skip
def test_labelled_data_and_pairs_come_from_data_sets(tmp_path, task, data, columns, settings):
    corpus = from_dataset(datasets.Dataset.from_dict(data), columns=columns)
    small = {
        "budget": "2steps", "hidden_size": 4, "embedding_size": 4, "device": "cpu", "threads": 1,
    }  # fmt: skip
    settings = {**small, "precision": "fp32", "task": task, **settings}
    run = rnnlm.train(corpus, valid=corpus, output=tmp_path / "m", **settings)
    done = run.wait(progress=False)
    use = {"classification": "classify", "tagging": "tag", "seq2seq": "translate"}[task]
    rows = getattr(done.model, use)(["a b", "c"]).to_rows()
    assert len(rows) == {"classification": 2, "tagging": 3, "seq2seq": 2}[task]
    assert all(name.isidentifier() for row in rows for name in row)
    assert done.model.evaluate(corpus).metrics


def test_one_file_of_sentences_needs_no_list(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the dog\nthe cat\n", encoding="utf-8")
    expected = ["the dog", "the cat"]
    for names in (path, str(path), [path]):
        assert [each.text for each in rnnlm.read_sentences(names)] == expected


def test_numbers_of_classes_become_their_names(tmp_path):
    kind = datasets.ClassLabel(names=["O", "B-X"])
    features = {"tokens": datasets.Sequence(datasets.Value("string")), "one": kind}
    features["tags"] = datasets.Sequence(kind)
    rows = {"tokens": [["a", "b"]] * 2, "one": [1, -1], "tags": [[0, 1], [1, -1]]}
    dataset = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    corpus = from_dataset(dataset, columns=["tokens", "one", "tags"])
    lines = rnnlm.runs.Path(corpus.sources[0]).read_text(encoding="utf-8").splitlines()
    known, unknown = map(json.loads, lines)
    assert known == {"tokens": ["a", "b"], "one": "B-X", "tags": ["O", "B-X"]}
    assert unknown == {"tokens": ["a", "b"], "one": None, "tags": ["B-X", None]}
    dataset.to_parquet(tmp_path / "d.parquet")
    assert [row.values for row in tables.rows(str(tmp_path / "d.parquet"))] == [known, unknown]


# ---- tables


def test_scores_are_tables_of_words_regions_and_sentences(done):
    scores = done.model.score_sentences(["line | 1", "the | text"], regions="|", words=True)
    frame = scores.to_pandas()
    assert list(frame["word"]) == ["line", "1", "</s>", "the", "text", "</s>"]
    assert scores.to_columns()["word"] == list(frame["word"])
    assert list(scores.to_pandas("region")["text"]) == ["line", "1", "the", "text"]
    assert [row["text"] for row in scores.to_rows("sentence")] == ["line 1", "the text"]
    assert f"|model:{done.model.fingerprint[:12]}" in scores.signature
    with pytest.raises(UsageError, match="there is one table"):
        done.history.to_pandas("train")


# ---- stumbling blocks of new users


def test_a_slice_of_a_table_is_one(done):
    scores = done.model.score_sentences(["line 1", "the text"], words=True)
    part = scores[1:]
    assert type(part) is type(scores) and part.signature == scores.signature
    assert list(part.to_pandas()["word"]) == ["the", "text", "</s>"]
    assert done.model.generate(num=3, max_tokens=2)[:2].to_rows()[1]["number"] == 1


@pytest.mark.parametrize("said, error, hint", [
    (lambda model: model.score_sentences(FRAME), UsageError, 'table."NAME"'),
    (lambda model: inspect_memory(model), UsageError, "put it in a list"),
    (lambda model: rnnlm.train(model="LSTM").wait(), UsageError, "did you mean 'lstm'"),
    (lambda model: model.perplexity, AttributeError, "evaluate.text..ppl_token"),
    (lambda model: model.rescore, AttributeError, "rnnlm.rescore is a function"),
    (lambda model: model.surprisal, AttributeError, "did you mean 'surprisal_bits'"),
])  # fmt: skip
def test_wrong_guesses_are_put_right(done, said, error, hint):
    with pytest.raises(error, match=hint):
        said(done.model)


def test_a_run_is_taken_for_its_folder(done):
    assert done.history.name == str(done.folder)
    assert rnnlm.plot_curves([done]).axes
    assert rnnlm.load(done).name == "m"


@pytest.mark.parametrize("setting, hint", [
    ({"epochs": 3}, "budget="), ({"lr": 0.1}, "learning_rate"), ({"batch_size": 8}, "batch_rows"),
    ({"budget": 30}, "500steps"), ({"hiden_size": 3}, "hidden_size"),
    ({"recipie": "gru"}, "did you mean 'recipe'"), ({"overwrit": True}, "did you mean 'overwrite'"),
])  # fmt: skip
def test_settings_of_other_tools_are_translated(tmp_path, setting, hint):
    with pytest.raises(SettingsError, match=hint) as caught:
        rnnlm.train(from_lines(LINES), output=tmp_path / "m", **setting).wait()
    assert "command line" not in str(caught.value)


def test_arguments_of_another_type_are_refused(done):
    model = done.model
    for use in (
        lambda: model.generate(["line"]), lambda: model.inspect_gates(["line"]),
        lambda: rnnlm.plot_curves([done], axes="curves.svg"),
        lambda: rnnlm.rescore([], [model], {"m": 0.5}),
    ):  # fmt: skip
        with pytest.raises(ArgumentTypeError, match=" not a "):
            use()


def test_metrics_are_found_by_name(done):
    assert done.evaluation.metric("ppl_token").value == done.evaluation.ppl_token
    with pytest.raises(AttributeError, match="did you mean 'ppl_token'"):
        done.evaluation.perplexity
    assert "word by word" in repr(done.model.scorer())
