import shutil

import numpy as np
import pytest

import rnnlm as library
from rnnlm.errors import ModelError
from rnnlm.tools.kenlm_binaries.files import FILES, HEADER, read_words
from support.arpa_files import GOLDEN
from support.failures import checked_error
from support.servers import client_of

DATA = GOLDEN.parent / "kenlm"
WORDS = "the . dog man old saw a went New\u00a0York home to x<unk>".split(" ")
LINE = "the x<unk> saw the cat home"
KINDS = ("probing", "trie")


@pytest.fixture(params=KINDS)
def binary(request):
    pytest.importorskip("kenlm", reason="kenlm is not installed; it is compiled from PyPI")
    return f"kenlm:{DATA / 'tiny'}.{request.param}"


# ---- What needs no package.


@pytest.mark.parametrize("kind", KINDS)
def test_words_stand_at_the_end(kind):
    path = DATA / f"tiny.{kind}"
    words = read_words(path)
    assert words[0] == "<unk>" and {*words} == {"<unk>", "<s>", "</s>", *WORDS}
    tokenizer = FILES.tokenizer(path)
    assert tokenizer.symbols()[:2] == ["</s>", "<unk>"] and tokenizer.size == len(WORDS) + 2
    assert kind == "trie" or tokenizer.symbols()[2:] == WORDS


def changed(path, at, byte):
    data = bytearray((DATA / "tiny.probing").read_bytes())
    data[at] = byte
    path.write_bytes(data)


@pytest.mark.parametrize(
    "at, byte, why",
    [(HEADER.size - 8, 0, "has no words"), (HEADER.size, 9, "words do not stand"),
     (HEADER.size + 1, 255, "words do not stand"), (-2, 255, "not in UTF-8"),
     (-1, 65, "words do not stand")],
)  # fmt: skip
def test_files_without_words_are_refused(here, at, byte, why):
    changed(here / "odd", at, byte)
    with pytest.raises(ModelError, match=why):
        FILES.tokenizer(here / "odd")
    (here / "short").write_bytes((here / "odd").read_bytes()[:90])
    with pytest.raises(ModelError, match="truncated"):
        FILES.manifest(here / "short")


def test_other_names_are_refused_and_import_names_the_door(rnnlm, here):
    (here / "m.arpa").write_text("\\data\\")
    checked_error(rnnlm("info kenlm:m.arpa"), 1, "m.arpa is no binary of KenLM")
    checked_error(rnnlm("info kenlm:nothing"), 1, "no file nothing")
    shutil.copy(DATA / "tiny.trie", here / "lm.bin")
    ended = rnnlm("import lm.bin -o lm")
    checked_error(ended, 2, "lm.bin is a binary of KenLM, which is not imported")
    assert "-m kenlm:lm.bin" in ended.err
    shown = dict(rnnlm("info kenlm:lm.bin").rows)
    assert shown["imported from"] == "a binary of KenLM" and "V = 14" in shown["tokenizer"]


def test_without_the_package_a_line_says_how_to_install_it(rnnlm, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "kenlm", None)
    ended = rnnlm("score", "-m", f"kenlm:{DATA / 'tiny.trie'}", "the man")
    checked_error(ended, 2, "binaries of KenLM need the package kenlm")
    assert "pip install kenlm" in ended.err


# ---- What needs it.


def test_numbers_are_those_of_the_arpa_file(rnnlm, binary, here):
    assert rnnlm("import", DATA / "tiny.arpa", "-o", "own").code == 0
    own, theirs = library.load("own"), library.load(binary)
    lines = [LINE, "the old man went home .", "", "a"]
    for settings in ({}, {"context": "carry"}):
        scores = [model.score_sentences(lines, **settings) for model in (own, theirs)]
        values = [[score.logprob_nats for score in of_model] for of_model in scores]
        assert values[0] == pytest.approx(values[1], rel=1e-6)

    # Tokens from any state on, targets that do not follow, and padding.
    ids = own.tokenizer.encode(lines).ids[None].astype(np.int64)
    inputs = np.concatenate([[[0]], ids[:, :-1]], axis=1)
    order = [theirs.tokenizer.symbols().index(symbol) for symbol in own.tokenizer.symbols()]
    order = np.array(order)
    targets = np.where(np.arange(ids.shape[1]) % 3 == 1, ids[:, ::-1], ids)
    targets[0, -1] = -1
    states = [model.initial_state(1) for model in (own, theirs)]
    for piece in (slice(0, 4), slice(4, 5), slice(5, None)):
        mine, states[0] = own.score(inputs[:, piece], targets[:, piece], states[0])
        mapped = np.where(targets < 0, -1, order[targets])[:, piece]
        found, states[1] = theirs.score(order[inputs[:, piece]], mapped, states[1])
        assert found == pytest.approx(mine, abs=1e-5)
    predicted = [
        own.predict(inputs, own.initial_state(1))[0],
        theirs.predict(order[inputs], theirs.initial_state(1))[0][..., order],
    ]
    assert predicted[1] == pytest.approx(predicted[0], abs=1e-5)
    assert np.exp(predicted[1]).sum(axis=2) == pytest.approx(1, abs=1e-6)


def test_all_commands_take_it(rnnlm, binary, here):
    assert rnnlm("import", DATA / "tiny.arpa", "-o", "own").code == 0
    (here / "text.txt").write_text("the old man went home .\nthe dog saw a man\n" * 3)
    (here / "list.tsv").write_text("u\tREF\t\tthe man\nu\t1\t-1\tthe old\nu\t2\t-2\tthe man\n")
    assert all(row[1] != "failed" for row in rnnlm(f"doctor {binary}").rows)
    for command in (
        f"eval -m {binary} text.txt", f"next -m {binary} the", f"generate -m {binary} --seed 1",
        f"compare own {binary} --on text.txt", f"rescore -m {binary} --tune list.tsv",
        f"eval -m {binary}+unigram text.txt",
    ):  # fmt: skip
        assert rnnlm(command).code == 0, command
    # The file of a trie has its words in another order.
    ended = rnnlm(f"mix own {binary} --on text.txt -o both")
    assert ended.code == 0 and "lack" not in ended.err
    assert len({row[2] for row in ended.rows[1:4]}) == 1
    assert rnnlm("eval -m both text.txt").code == 0
    assert all(row[1] != "failed" for row in rnnlm("doctor both").rows)
    with client_of({"lm": library.load(binary)}) as client:
        assert client.post("/next", "lm", text="the old ")["next"]
