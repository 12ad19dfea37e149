"""Words that a model does not know are named, or counted, by all commands and methods alike."""

import pytest

import rnnlm as library
from support import tiny_models, tiny_tasks
from support.failures import notices_of

pytestmark = pytest.mark.needs(
    "tasks/labelling", "tasks/seq2seq", "tools/inspection", "tools/vectors"
)

NOTE = "note: words the model does not know, read as <unk>: "
SETTINGS = {"characters": None}  # or else unknown words are spelled
SPELLED = {"characters": "cnn", "character_size": 4, "character_filters": "0,6"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, translator):
    """Save tiny models of each task, by their name in a command."""
    folder = tmp_path_factory.mktemp("unknown")
    for task in ("tagging", "classification"):
        model = tiny_tasks.fit(task, "lstm", **SETTINGS)
        tiny_tasks.save(folder / task, model, **SETTINGS)
    for name, settings in (("lm", {}), ("spells", SPELLED), ("chars", {"tokenizer": "char"})):
        tiny_models.save(folder / name, tiny_models.fit("lstm", **settings), "lstm", **settings)
    named = {path.name: path for path in folder.iterdir()}
    return {**named, "translator": translator.folder}


@pytest.mark.parametrize("command, words, of", [
    ("next -m {lm} 'the zorp'", "zorp", "1 of 2"),
    ("generate -m {lm} 'the zorp'", "zorp", "1 of 2"),
    ("score -m {lm} --given 'the zorp' 'the cat' dog", "zorp", "1 of 2"),
    ("score -m {translator} --source 'one zorp' un deux", "zorp", "1 of 2"),
    ("inspect beam -m {lm} 'the zorp'", "zorp", "1 of 2"),
    ("inspect beam -m {translator} 'one zorp'", "zorp", "1 of 2"),
    ("inspect gates -m {lm} 'the zorp'", "zorp", "1 of 2"),
    ("inspect gates -m {tagging} 'fly zorp'", "zorp", "1 of 2"),
    ("inspect gates -m {translator} 'one zorp'", "zorp", "1 of 2"),
    ("inspect gradients -m {lm} --sentence 'the zorp'", "zorp", "1 of 2"),
    ("inspect similarity -m {lm} Zorp 'the frotz' zorp", "Zorp, frotz, zorp", "3 of 4"),
    ("inspect similarity -m {classification} zorp fly", "zorp", "1 of 2"),
    ("tag -m {tagging} 'fly zorp' 'frotz me'", "zorp, frotz", "2 of 4"),
    ("tag -m {tagging} 'fly zorp' --json", "zorp", "1 of 2"),
    ("classify -m {classification} 'fly zorp' 'frotz me'", "zorp, frotz", "2 of 4"),
    ("translate -m {translator} 'one zorp' frotz", "zorp, frotz", "2 of 3"),
])  # fmt: skip
def test_typed_words_that_a_model_does_not_know_are_named_once(rnnlm, folders, command, words, of):
    shown = rnnlm(command.format(**folders))
    assert shown.code == 0
    assert shown.err.count(NOTE) == shown.err.count(f"{NOTE}{words} ({of})\n") == 1


@pytest.mark.parametrize("command", [
    "tag -m {tagging} --input t.txt", "classify -m {classification} --input t.txt",
    "translate -m {translator} --input t.txt", "translate -m {translator} --input t.txt --beam 2",
    "embed -m {lm} --input t.txt -o lines.npy", "embed -m {tagging} --input t.txt --words -o -",
])  # fmt: skip
def test_those_of_a_file_are_counted_at_its_end(rnnlm, here, folders, monkeypatch, command):
    monkeypatch.setattr("rnnlm.tasks.common.text_files.WINDOW", 5)
    monkeypatch.setattr("rnnlm.tools.vectors.embedding.LINES_PER_CHUNK", 5)
    (here / "t.txt").write_text("zorp frotz\n" * 12, encoding="utf-8")
    shown = rnnlm(command.format(**folders))
    assert shown.code == 0 and shown.err.count(NOTE) == shown.err.count(f"{NOTE}24 of 24\n") == 1
    assert shown.err.count("note: ") == 1


CALLS = {
    "tag": ("tagging", lambda model, texts: model.tag(texts)),
    "tag lists": ("tagging", lambda model, texts: model.tag([text.split() for text in texts])),
    "classify": ("classification", lambda model, texts: model.classify(texts)),
    "translate": ("translator", lambda model, texts: model.translate(texts)),
    "embed": ("lm", lambda model, texts: model.embed(texts)),
    "similarity": ("lm", lambda model, texts: model.inspect_similarity(texts)),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_with_more_than_ten_texts_counts_them(folders, call):
    name, use = CALLS[call]
    model, begin = library.load(folders[name]), NOTE.removeprefix("note: ")
    texts = [f"zorp{number} zorp" for number in range(11)]
    names = ", ".join(["zorp0", "zorp", *[f"zorp{number}" for number in range(1, 10)]])
    assert notices_of(lambda: use(model, texts[:10])) == [f"{begin}{names} (20 of 20)"]
    assert notices_of(lambda: use(model, texts)) == [f"{begin}22 of 22"]


@pytest.mark.parametrize("call", ["logprob_nats", "surprisal_bits", "next_words", "inspect_gates",
                                  "inspect_beam", "inspect_sensitivity"])  # fmt: skip
def test_a_call_with_one_text_names_its_words(folders, call):
    model = library.load(folders["lm"])
    [told] = notices_of(lambda: getattr(model, call)("the zorp "))
    assert f"note: {told}" == f"{NOTE}zorp (1 of 2)"


@pytest.mark.parametrize("name", ["spells", "chars"])
def test_nothing_is_said_where_a_model_reads_characters(rnnlm, folders, tagger, name):
    for command in ("next -m {}", "inspect gates -m {}", "inspect similarity -m {} frotz"):
        shown = rnnlm(f"{command.format(folders[name])} zorp\u00e9")
        assert shown.code == 0 and NOTE not in shown.err
    assert NOTE not in rnnlm("tag", "-m", tagger.folder, "zorp").err  # it reads them beside words


def test_sentences_that_differ_in_unknown_words_alone_are_not_ranked(rnnlm, folders):
    shown = rnnlm("score", "-m", folders["lm"], "the zorp", "the frotz")
    assert shown.out.endswith("They differ only in words that the model does not know.\n")
    assert "Both are equally likely." in rnnlm("score", "-m", folders["lm"], "the", "the").out
