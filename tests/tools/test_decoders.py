"""Decoders that read our ARPA files: ctc-beam-decoder, and kaldilm for Kaldi and sherpa."""

import contextlib
import math
import re
import runpy
import sys
from collections import defaultdict

import numpy as np
import pytest

import rnnlm
from rnnlm import corpora
from rnnlm.cli.main import run
from support.shown import ROOT, written_files

pytestmark = pytest.mark.soak

TEST_LINES = [line for line in corpora.part("english", "test").read_text().splitlines() if line]
BACKOFF = "#0"


def exported(folder, *training):
    """Train an n-gram model in that folder and write its ARPA file. Return the model."""
    assert run(["train", *training, "--model", "ngram", "-o", str(folder / "model")]) == 0
    assert run(["export", "-m", str(folder / "model"), "--arpa", str(folder / "kn.arpa")]) == 0
    return rnnlm.load(folder / "model")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    return folder / "kn.arpa", exported(folder, "--tokenizer-from", "demo")


# ---- Kaldi and sherpa.


class Automaton:
    """An FST as kaldilm prints it: arcs `from to input output [cost]`, `state [cost]`."""

    def __init__(self, text, symbols):
        self.arcs = defaultdict(dict)
        self.final = {}
        for line in filter(None, text.splitlines()):
            state, *rest = line.split()
            if len(rest) < 2:
                self.final[state] = float(rest[0]) if rest else 0.0
            else:
                after, label, _, *cost = rest
                self.arcs[state][label] = (after, float(cost[0]) if cost else 0.0)
        self.start = text.split()[0]
        self.symbols = dict(line.split() for line in symbols.splitlines())
        self.backoff = self.symbols[BACKOFF]

    def backed_off(self, state):
        """Yield the state and all that it backs off to, with the costs until there."""
        cost = 0.0
        while state is not None:
            yield state, cost
            state, more = self.arcs[state].get(self.backoff, (None, 0.0))
            cost += more

    def logprobs(self, tokens):
        """Return log p of a sentence by the n-gram's rule, which backs off only where there is no
        arc, and by LODR's, which takes the cheapest of all paths."""
        state, cost, paths = self.start, 0.0, {self.start: 0.0}
        for token in tokens:
            label = self.symbols.get(token, self.symbols["<unk>"])
            steps = ((step, c) for step, c in self.backed_off(state) if label in self.arcs[step])
            step, penalty = next(steps)
            state, price = self.arcs[step][label]
            cost += penalty + price
            following = defaultdict(lambda: math.inf)
            for before, so_far in paths.items():
                for step, penalty in self.backed_off(before):
                    if label in self.arcs[step]:
                        after, price = self.arcs[step][label]
                        following[after] = min(following[after], so_far + penalty + price)
            paths = following
        ends = (
            (penalty + self.final[s]) for s, penalty in self.backed_off(state) if s in self.final
        )
        cheapest = min(paths, key=paths.__getitem__)
        return -cost - next(ends), -paths[cheapest] - self.final.get(cheapest, 0.0)


def test_kaldilm_makes_a_grammar_with_our_scores(words, tmp_path):
    kaldilm = pytest.importorskip("kaldilm")
    arpa, model = words
    symbols = tmp_path / "words.txt"
    grammar = kaldilm.arpa2fst(
        str(arpa), disambig_symbol=BACKOFF, write_symbol_table=str(symbols), max_arpa_warnings=0
    )
    automaton = Automaton(grammar, symbols.read_text())
    known = model.core.tokenizer.symbols()
    lines = TEST_LINES[:400]
    ours = [score.logprob_nats for score in model.score_sentences(lines)]
    ids = [model.core.tokenizer.encode([line]).ids[:-1] for line in lines]
    theirs = [automaton.logprobs([known[number] for number in line])[0] for line in ids]
    assert theirs == pytest.approx(ours, abs=2e-4)
    assert len(theirs) == 400


def pieces(line):
    """Split a line into letters; those that begin a word have a mark."""
    return re.sub(r"\b(\S)|\s", r"▁\1", line).replace("", " ").replace("▁ ", "▁").split()


def test_bigram_of_pieces_scores_the_same_in_lodr(tmp_path):
    """sherpa's table of tokens has neither `<s>` nor `</s>`, and `#0` at its end."""
    kaldilm = pytest.importorskip("kaldilm")
    kaldifst = pytest.importorskip("kaldifst")
    train = corpora.part("english", "train").read_text().splitlines()
    table = sorted({piece for line in [*train, *TEST_LINES] for piece in pieces(line)})
    symbols = "\n".join(
        f"{piece} {number}"
        for number, piece in enumerate(["<blk>", "<sos/eos>", "<unk>", *table, BACKOFF])
    )
    (tmp_path / "tokens.txt").write_text(symbols + "\n")
    text = tmp_path / "pieces.txt"
    lines = [" ".join(table), *(" ".join(pieces(line)) for line in train if line)]
    text.write_text("".join(f"{line}\n" for line in lines))
    model = exported(tmp_path, str(text), "--order", "2")
    grammar = kaldilm.arpa2fst(
        str(tmp_path / "kn.arpa"), disambig_symbol=BACKOFF, max_order=2,
        read_symbol_table=str(tmp_path / "tokens.txt"), max_arpa_warnings=0,
    )  # fmt: skip
    automaton = Automaton(grammar, symbols)
    lines = [" ".join(pieces(line)) for line in TEST_LINES[:400]]
    ours = [score.logprob_nats for score in model.score_sentences(lines)]
    by_backoff, by_lodr = zip(*(automaton.logprobs(line.split()) for line in lines), strict=True)
    assert list(by_backoff) == pytest.approx(ours, abs=2e-4)
    assert list(by_lodr) == pytest.approx(ours, abs=2e-4)
    assert kaldifst.compile(grammar, acceptor=False).start == 0  # where sherpa begins


# ---- A search with our n-gram, then rescoring with our network.

LABELS = ["", " ", *"abcdefghijklmnopqrstuvwxyz"]


def simulated(lines, noise):
    """Return the log-probabilities of labels by frame for each line, blurred by noise."""
    random = np.random.default_rng(1)
    arrays = []
    for line in lines:
        frames: list[int] = []
        for letter in line:
            frames += [LABELS.index(letter)] * int(random.integers(1, 3)) + [0]
        logits = random.normal(size=(len(frames), len(LABELS))) * noise
        logits[np.arange(len(frames)), frames] += 6
        logits -= np.log(np.exp(logits).sum(1, keepdims=True))
        arrays.append(logits.astype(np.float32))
    return arrays


def likeliest(logits):
    """Return the text of the likeliest label of each frame: repetitions are one letter."""
    best = logits.argmax(axis=1)
    kept = best[np.flatnonzero(np.diff(best, prepend=-1))]
    return " ".join("".join(LABELS[label] for label in kept).split())


@pytest.mark.system("links")
def test_two_commands_decode_in_two_stages(words, here, monkeypatch):
    pytest.importorskip("ctc_beam_decoder")
    from rapidfuzz.distance import Levenshtein

    letters = [re.sub(r"[^a-z ]", "", line.lower().replace("-", " ")) for line in TEST_LINES]
    lines = [" ".join(line.split()) for line in letters if 3 <= len(line.split()) <= 20][:400]
    arrays = simulated(lines, noise=2.1)
    (here / "kn.arpa").symlink_to(words[0])
    utterances = [f"u{number:04}" for number in range(len(lines))]
    np.savez("logits.npz", **dict(zip(utterances, arrays, strict=True)))
    transcripts = zip(utterances, lines, strict=True)
    (here / "transcripts.txt").write_text("".join(f"{u} {line}\n" for u, line in transcripts))
    # The program of the page.
    written_files((ROOT / "docs" / "rescoring.md").read_text(encoding="utf-8"))
    monkeypatch.setattr(sys, "argv", ["decode.py", "logits.npz", "nbest.jsonl"])
    with contextlib.redirect_stdout(None):
        runpy.run_path("decode.py")
    nbest = rnnlm.read_nbest("nbest.jsonl")
    demo = [rnnlm.load("demo")]
    rates = rnnlm.rescore(nbest[1::2], demo, rnnlm.tune_weights(nbest[::2], demo)).rates
    errors = sum(
        Levenshtein.distance(likeliest(logits).split(), line.split())
        for logits, line in list(zip(arrays, lines, strict=True))[1::2]
    )
    words_said = sum(len(line.split()) for line in lines[1::2])
    print(errors / words_said, rates.first.wer, rates.rescored.wer, rates.oracle.wer)
    assert errors / words_said > 2 * rates.first.wer
    assert rates.oracle.wer < rates.rescored.wer < rates.first.wer
    assert rates.gain.p_value < 0.05
