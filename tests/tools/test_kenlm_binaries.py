import json
import re
import shutil
import subprocess
import unicodedata

import numpy as np
import pytest
import sentencepiece

import rnnlm as library
from reference.arpa_dictionary import ArpaDictionary
from rnnlm.errors import ModelError
from rnnlm.tools.kenlm_binaries.files import FILES, HEADER, read_words
from support.arpa_files import GOLDEN, save_pieces
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


# ---- Models as those of CCNet: n-grams of sentencepiece's pieces, of texts in one form.

# What its program writes for marks, a second time
MARKS = '\uff0c, \u3002. \u3001, \u201e" \u201d" \u201c" \u00ab" \u00bb" \u300d" \u300c" \u300a" \u300b"'
MARKS += " \u00b4' \u2236: \uff1a: \uff1f? \uff01! \uff08( \uff09) \uff1b; \u2013- \uff5e~ \u2019' \u2026... \u2501-"
MARKS += " \u3008< \u3009> \u3010[ \u3011] \uff05% \u25ba-"
PLAIN = {pair[0]: pair[1:] for pair in MARKS.split(" ")} | {"\u2014": " - ", "\uff0e": ". "}
DOCUMENTS = [
    "The dog\u2019s name was Rex.\nIt ran 12 miles \u2014 to the CAF\u00c9\u2026",
    "SHE SAID: \u201cno\u201d\uff0cand went home\uff01",
    "\u6f22\u5b57 and \u00bd a \ud55c\uae00 \u2122\n\u0391\u0393\u0399\u039f\u03a3 \uff11\uff12\u0663",
    "there was a man who had a dog.\nthe man went to the garden.\nhe saw the house.",
    "It was\x07 the\u0301 best of times, it was <unk> the worst.\u200b",
    "".join(PLAIN) + " 3.14 \u0130stanbul stra\u00dfe \ufb01ne\u00a0print",
]


def as_ccnet(line):
    """Return a line in the form before scoring, step by step."""
    line = unicodedata.normalize("NFD", line.strip().lower())
    line = "".join([letter for letter in line if unicodedata.category(letter) != "Mn"])
    line = "".join([PLAIN.get(letter, letter) for letter in re.sub(r"\d", "0", line)])
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", line)


def perplexities(folder, form):
    """Return 10 to the minus log10 score by length of each document, as the program has it."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "en.sp.model"))
    reference = ArpaDictionary(folder / "en.arpa")
    found = []
    for document in DOCUMENTS:
        pieces = [processor.encode(form(line), out_type=str) for line in document.split("\n")]
        nats = [value for line in pieces for value in reference.nats(" ".join(line))]
        found.append(np.exp(-sum(nats) / (sum(map(len, pieces)) + len(pieces))))
    return found


@pytest.fixture(scope="module")
def ccnet(tmp_path_factory, corpus_lines):
    folder = tmp_path_factory.mktemp("ccnet")
    save_pieces(folder, [as_ccnet(line) for line in corpus_lines[:600]])
    return folder


def filtered(rnnlm, here, model, *options):
    """Return the perplexity and the bucket of each document, and what was said."""
    rows = [json.dumps({"text": document}) + "\n" for document in DOCUMENTS]
    (here / "web.jsonl").write_text("".join(rows))
    options = options or ("--max-perplexity", "1e9")
    ended = rnnlm("filter", "web.jsonl", "-o", "out", "-m", model, "--overwrite", *options)
    assert ended.code == 0, ended.err
    kept = {}
    for path in (here / "out").rglob("*.jsonl"):
        for row in map(json.loads, path.read_text().splitlines()):
            kept[row["text"]] = row["perplexity"], row.get("bucket")
    return *zip(*map(kept.get, DOCUMENTS), strict=True), ended.err


def test_perplexities_of_documents_are_those_of_ccnet(rnnlm, here, ccnet):
    expected = pytest.approx(perplexities(ccnet, as_ccnet), rel=1e-5)
    given = ("import", ccnet / "en.arpa", "--tokenizer-from", ccnet / "en.sp.model", "-o")
    ended = rnnlm(*given, "en")
    assert ended.code == 0 and "read in the form ccnet" in ended.err
    found, _, _ = filtered(rnnlm, here, "en")
    assert found == expected

    # Terciles: two documents each.
    _, second, third, fourth, fifth, _ = sorted(found)
    cutoffs = (second + third) / 2, (fourth + fifth) / 2
    _, buckets, _ = filtered(rnnlm, here, "en", "--cutoffs", f"{cutoffs[0]},{cutoffs[1]}")
    places = np.searchsorted(cutoffs, found)
    assert buckets == tuple(("head", "middle", "tail")[place] for place in places)

    # Each word is shown as it was written; other forms are chosen.
    line = "The dog\u2019s CAF\u00c9 \u2014 12\u2026 \u2122"
    rows = rnnlm("score", "-m", "en", "--words", line).rows
    assert [row[0] for row in rows[-7:]] == [*line.split(), "</s>"]
    assert all(row[1] != "failed" for row in rnnlm("doctor en").rows)
    assert rnnlm(*given, "plain", "--normalise", "none").code == 0
    found, _, _ = filtered(rnnlm, here, "plain")
    assert found == pytest.approx(perplexities(ccnet, str), rel=1e-5)


def test_a_tokenizer_is_no_model_and_has_no_other_forms(rnnlm, here, ccnet):
    pieces = ccnet / "en.sp.model"
    checked_error(rnnlm("score", "-m", pieces, "a"), 1, f"{pieces} is a tokenizer, not a model")
    given = ("-o", "m", "--normalise", "none")
    ended = rnnlm("import", ccnet / "en.arpa", *given, "--tokenizer-from", "demo")
    checked_error(ended, 2, "--tokenizer-from determines the tokenizer")
    ended = rnnlm("import", DATA / "tiny.trie", *given)
    checked_error(ended, 2, f"{DATA / 'tiny.trie'} has no pieces")
    (here / "t.txt").write_text("a b\n")
    checked_error(rnnlm("train t.txt --tokenizer pieces"), 2, "tokenizer = pieces cannot be")


def test_a_binary_takes_the_pieces_beside_it(rnnlm, here, ccnet):
    pytest.importorskip("kenlm", reason="kenlm is not installed; it is compiled from PyPI")
    if not shutil.which("build_binary"):
        pytest.skip("KenLM's build_binary is not installed")
    for name in ("en.arpa.bin", "alone.arpa.bin"):
        subprocess.run(["build_binary", ccnet / "en.arpa", here / name], check=True)
    ended = rnnlm("score", "-m", "kenlm:alone.arpa.bin", "the dog")
    assert ended.code == 0 and "no sentencepiece model lies beside" in ended.err
    shutil.copy(ccnet / "en.sp.model", here)
    expected = pytest.approx(perplexities(ccnet, as_ccnet), rel=1e-5)
    found, _, said = filtered(rnnlm, here, "kenlm:en.arpa.bin")
    assert found == expected and "sentencepiece model beside it" in said and "form ccnet" in said

    # Another file, and another form.
    given = ("import", "alone.arpa.bin", "-o", "en", "--tokenizer-from", "en.sp.model")
    assert rnnlm(*given, "--normalise", "none").code == 0
    found, _, said = filtered(rnnlm, here, "en")
    assert found == pytest.approx(perplexities(ccnet, str), rel=1e-5) and "ccnet" not in said
    assert rnnlm("eval -m en+unigram web.jsonl").code == 0
    assert all(row[1] != "failed" for row in rnnlm("doctor en").rows)
