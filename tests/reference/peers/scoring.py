"""Scoring sentences beside what else scores them, on one machine in turns.

    python tests/reference/peers/scoring.py
    python tests/reference/peers/scoring.py my.txt -m checkpoints/my-5gram      # needs pip install kenlm

An LSTM is compared with a plain PyTorch loop that has its weights: batches of 32 lines in the
order of the text, padded, nn.LSTM, log_softmax over all logits. An n-gram model is compared with
KenLM's Python module, which scores the same n-grams line by line. Both sides start from lines in
memory and end with a log-probability for each. The ratio is our speed over that of the peer, as the
median over rounds; the largest difference of two log-probabilities shows that both do the same.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from training import PlainNetwork, is_in_torch

import rnnlm
import rnnlm.corpora as corpora
from rnnlm.errors import RnnlmError
from rnnlm.lm.ngram.arpa.writing import export_arpa

BATCH_LINES = 32


def plain_loop(model):
    """Return a function that scores lines with nn.LSTM and the weights of an LSTM of ours."""
    ours, tokenizer = model.network, model.tokenizer
    settings = ours.settings
    if settings.model != "lstm" or not is_in_torch(replace(settings, weight_drop=0.0)):
        raise RnnlmError("the plain loop takes LSTMs with plain layers and a softmax")
    # Give torch's own modules the weights. Ours has one bias a layer, torch's have two.
    theirs = PlainNetwork(settings, tokenizer.size).eval()
    with torch.no_grad():
        theirs.embedding.weight.copy_(ours.input.weight)
        theirs.decoder.weight.copy_(ours.tied_VE if settings.is_tied else ours.output.weight)
        theirs.decoder.bias.copy_(ours.output.bias)
        if isinstance(theirs.projection, nn.Linear):
            theirs.projection.load_state_dict(ours.projection.state_dict())
        for number, layer in enumerate(ours.body.layers):
            theirs.kernel.get_parameter(f"weight_ih_l{number}").copy_(layer.weight_ih)
            theirs.kernel.get_parameter(f"weight_hh_l{number}").copy_(layer.weight_hh)
            theirs.kernel.get_parameter(f"bias_ih_l{number}").copy_(layer.bias_ih)
            theirs.kernel.get_parameter(f"bias_hh_l{number}").zero_()

    @torch.no_grad()
    def score(lines):
        logprobs = []
        for start in range(0, len(lines), BATCH_LINES):
            rows = []
            for line in lines[start : start + BATCH_LINES]:
                ids = tokenizer.encode([line]).ids.tolist()
                rows.append(torch.tensor([tokenizer.boundary_id, *ids]))
            padded_TB = pad_sequence(rows, padding_value=-1)
            targets_TB = padded_TB[1:]
            logits_TBV, _, _ = theirs(padded_TB[:-1].clamp(min=0), None)
            logprob_TBV = logits_TBV.log_softmax(dim=2)
            logprob_TB1 = logprob_TBV.gather(2, targets_TB.clamp(min=0).unsqueeze(2))
            logprobs += logprob_TB1.squeeze(2).masked_fill(targets_TB < 0, 0.0).sum(dim=0).tolist()
        return logprobs

    return score


def kenlm_loop(model, folder):
    """Return a function that scores lines with the module `kenlm` and the model's n-grams."""
    try:
        import kenlm
    except ModuleNotFoundError:
        raise RnnlmError(
            "n-grams are compared with the module kenlm", hint="pip install kenlm"
        ) from None
    if model.tokenizer.name != "word" or not model.tokenizer.keeps_text:
        raise RnnlmError("the loop with kenlm takes n-grams of words")
    arpa = Path(folder) / "model.arpa"
    export_arpa(model, arpa)
    theirs = kenlm.Model(str(arpa))
    return lambda lines: [theirs.score(line) * np.log(10) for line in lines]


def seconds_of(score, lines):
    began = time.perf_counter()
    score(lines)
    return time.perf_counter() - began


def measure(model, peer, lines, rounds):
    """Print both speeds in words, the ratio, and the largest difference."""

    def ours(lines):
        return [score.logprob_nats for score in rnnlm.Model(model).score_sentences(lines)]

    difference = np.abs(np.array(ours(lines)) - np.array(peer(lines))).max()  # warms up, too
    our_seconds, peer_seconds, ratios = [], [], []
    for _ in range(rounds):
        our_seconds.append(seconds_of(ours, lines))
        peer_seconds.append(seconds_of(peer, lines))
        ratios.append(peer_seconds[-1] / our_seconds[-1])
    words = sum(len(line.split()) for line in lines)
    print(f"rnnlm: {words / statistics.median(our_seconds):,.0f} words/s")
    print(f"peer:  {words / statistics.median(peer_seconds):,.0f} words/s")
    print(f"ratio: {statistics.median(ratios):.2f}")
    print(f"largest difference: {difference:.2g} nats")


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="?", type=Path, help="[the bundled test text]")
    parser.add_argument("-m", "--model", default="demo", help="[demo]")
    parser.add_argument("--lines", type=int, default=1000, help="the first ones of the text [1000]")
    parser.add_argument("--rounds", type=int, default=3, help="after the one to warm up [3]")
    options = parser.parse_args(arguments)
    text = options.text or corpora.part("english", "test")
    lines = [line for line in text.read_text(encoding="utf-8").splitlines() if line.strip()]
    model = rnnlm.load(options.model).core
    with tempfile.TemporaryDirectory() as folder:
        peer = plain_loop(model) if hasattr(model, "network") else kenlm_loop(model, folder)
        measure(model, peer, lines[: options.lines], options.rounds)


if __name__ == "__main__":
    try:
        main()
    except (RnnlmError, OSError) as error:
        sys.exit(f"error: {error}")
