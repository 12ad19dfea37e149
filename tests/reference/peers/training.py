"""Training beside the plain loop of the tutorials, on one machine in turns.

    python tests/reference/peers/training.py --set coupled_gates=false
    python tests/reference/peers/training.py my.txt --recipe gru --set hidden_size=512

The plain loop has torch's own layers, all logits at once under autocast, and an optimizer with its
defaults; with weight-drop it is AWD-LSTM as its authors' scripts write it (Merity et al. 2018).
torch's LSTM has no coupled gates, which are the default of ours.
Both loops read the same text in as many windows of the same size and precision. The ratio is our
tokens per second over those of the plain loop, as the median over rounds: it holds even if the
machine's speed drifts, which single numbers do not.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from rnnlm.config import Budget, parse_assignments
from rnnlm.errors import RnnlmError
from rnnlm.lm.neural.device import training_products
from rnnlm.lm.neural.settings import ElmanCell
from rnnlm.lm.neural.training.fitting import make_trainer
from rnnlm.lm.neural.training.language_modelling import TextStreams
from rnnlm.training.plan import plan
from rnnlm.training.request import TrainingRequest

KERNELS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
# The forms of cells that torch has.
IN_TORCH = {
    "activation": ("tanh", "relu"), "reset_gate": ("after",), "peepholes": (False,),
    "coupled_gates": (False,), "mogrifier_rounds": (0,),
}  # fmt: skip
START = {"tokens": 0, "epochs": 0.0}  # the part of a source's state that says where it is


# ---- The plain loop.


def is_in_torch(settings):
    """Return whether torch has such layers: word vectors, recurrent kernels, a softmax."""
    if settings.model not in KERNELS or settings.output_layer != "softmax":
        return False
    if settings.characters or settings.connections != "plain":
        return False
    # torch's layers have one width; with weight-drop, each layer is a kernel by itself.
    if len(set(settings.widths)) > 1 and settings.weight_drop <= 0:
        return False
    cell = vars(settings.cell)
    return all(cell.get(name, forms[0]) in forms for name, forms in IN_TORCH.items())


class PlainNetwork(nn.Module):
    """Word vectors, one of nn.RNN, nn.GRU and nn.LSTM, and a layer of logits, tied if asked for."""

    def __init__(self, settings, size):
        super().__init__()
        E, H = settings.embedding_size, settings.widths[-1]
        self.settings = settings
        self.embedding = nn.Embedding(size, E)
        self.projection = nn.Identity()
        if settings.is_tied and E != H:
            self.projection = nn.Linear(H, E)
        self.decoder = nn.Linear(E if settings.is_tied else H, size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        if settings.is_tied:
            self.decoder.weight = self.embedding.weight
        self.make_layers()

    def make_layers(self):
        settings = self.settings
        between = settings.dropout_between if settings.layers > 1 else 0.0
        E, H = settings.embedding_size, settings.widths[0]
        self.kernel = self.make_kernel(E, H, settings.layers, dropout=between)

    def make_kernel(self, *shape, **options):
        if isinstance(self.settings.cell, ElmanCell):
            options["nonlinearity"] = self.settings.cell.activation
        return KERNELS[self.settings.model](*shape, **options)

    def forward(self, inputs_TB, state):
        """Return the logits (T, B, V), the penalty on activations, and the next state."""
        training, settings = self.training, self.settings
        x_TBE = F.dropout(self.embedding(inputs_TB), settings.dropout_input, training)
        y_TBH, state = self.kernel(x_TBE, state)
        y_TBE = F.dropout(self.projection(y_TBH), settings.dropout_output, training)
        return self.decoder(y_TBE), 0.0, state


class WeightDropLayer(nn.Module):
    """One of torch's layers, whose kernel reads a dropped-out copy of the recurrent weights."""

    def __init__(self, kernel, p):
        super().__init__()
        self.p = p
        self.raw = kernel.get_parameter("weight_hh_l0")
        del kernel.weight_hh_l0
        self.kernel = kernel

    def forward(self, x_TBE, state):
        self.kernel.weight_hh_l0 = F.dropout(self.raw, self.p, self.training)
        return self.kernel(x_TBE, state)


class WeightDropNetwork(PlainNetwork):
    """AWD-LSTM: layers of any widths, with its dropouts and penalties."""

    def make_layers(self):
        self.layers = nn.ModuleList()
        for shape in itertools.pairwise((self.settings.embedding_size, *self.settings.widths)):
            self.layers.append(WeightDropLayer(self.make_kernel(*shape), self.settings.weight_drop))

    def forward(self, inputs_TB, states):
        settings, after = self.settings, []
        y_TBH = self.drop(self.embed(inputs_TB), settings.dropout_input)
        for number, layer in enumerate(self.layers):
            x_TBE = self.drop(y_TBH, settings.dropout_between) if number else y_TBH
            y_TBH, state = layer(x_TBE, states[number] if states else None)
            after.append(state)
        # AR penalizes large activations, TAR large changes from step to step.
        y_TBE = self.projection(y_TBH)
        dropped_TBE = self.drop(y_TBE, settings.dropout_output)
        change_TBE = y_TBE[1:] - y_TBE[:-1]
        penalty = settings.activation_penalty * dropped_TBE.float().pow(2).mean()
        penalty = penalty + settings.temporal_penalty * change_TBE.float().pow(2).mean()
        return self.decoder(dropped_TBE), penalty, after

    def embed(self, inputs_TB):
        weight_VE, p = self.embedding.weight, self.settings.dropout_embedding
        if self.training and p:  # whole word types are dropped
            kept_V1 = weight_VE.new_empty(len(weight_VE), 1).bernoulli_(1 - p)
            weight_VE = weight_VE * (kept_V1.expand_as(weight_VE) / (1 - p))
        return F.embedding(inputs_TB, weight_VE)

    def drop(self, x_TBE, p):
        if not self.settings.locked_dropout:
            return F.dropout(x_TBE, p, self.training)
        if not (self.training and p):
            return x_TBE
        return x_TBE * (x_TBE.new_empty(1, *x_TBE.shape[1:]).bernoulli_(1 - p) / (1 - p))


def make_plain_loop(settings, size, learning_rate, batches, precision, device):
    """Return a function that trains once over `batches` (inputs_TB, targets_TB) and returns how
    many tokens they have; with weight-drop by SGD, otherwise by AdamW."""
    kind = WeightDropNetwork if settings.weight_drop else PlainNetwork
    optimizer_kind = torch.optim.SGD if settings.weight_drop else torch.optim.AdamW
    network = kind(settings, size).to(device)
    optimizer = optimizer_kind(network.parameters(), lr=learning_rate)

    def loop():
        state, tokens = None, 0
        network.train()
        for inputs_TB, targets_TB in batches:
            with training_products(precision, device):
                logits_TBV, penalty, state = network(inputs_TB, state)
            logits_NV = logits_TBV.flatten(0, 1).float()
            loss = F.cross_entropy(logits_NV, targets_TB.flatten(), ignore_index=-1)
            optimizer.zero_grad()
            (loss + penalty).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.25)
            optimizer.step()
            # Truncated back-propagation: the next window starts from the state, without its past.
            state = tree_map(torch.Tensor.detach, state)
            tokens += targets_TB.numel()
        return tokens

    return loop


# ---- Our loop, with events, budget and clipping.


def make_our_loop(planned, steps):
    """Return the trainer, and a function that trains `steps` steps and returns their tokens."""
    trainer = make_trainer(planned.resolved, replace(planned.data, valid=None))
    # Neither validations nor checkpoints are timed. At the end of its budget, a run reads the last
    # batch once more, to see whether its weights are sound: with one step more it never gets there.
    trainer.clock.budget = Budget(steps=steps + 1)
    trainer.resumable = False
    trainer.rollbacks.limit = 0

    def loop():
        trainer.step_count = 0
        trainer.source.load_state_dict(trainer.source.state_dict() | START)
        for _ in trainer.train(lambda: trainer.step_count >= steps):
            pass
        return trainer.source.tokens

    return trainer, loop


def plain_loop_beside(trainer, planned, steps) -> Callable[[], int] | None:
    """Return the plain loop over as many windows of the text; None if torch lacks its layers."""
    settings, tokenizer = trainer.network.settings, planned.data.tokenizer
    if not is_in_torch(settings):
        return None
    streams = TextStreams(
        planned.data.train, tokenizer.boundary_id, trainer.settings, 1, trainer.device,
        multiple=trainer.source.multiple,
    )  # fmt: skip
    windows = itertools.islice(streams.windows(), steps)
    batches = [streams.batch(window).tensors for _, window in windows]
    rate = trainer.settings.learning_rate
    return make_plain_loop(
        settings, tokenizer.size, rate, batches, trainer.precision, trainer.device
    )


def tokens_per_second(loop, device):
    began = time.perf_counter()
    tokens = loop()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return tokens / (time.perf_counter() - began)


def measure(planned, rounds, steps):
    """Return medians over the rounds, after one to warm up."""
    trainer, ours = make_our_loop(planned, steps)
    plain = plain_loop_beside(trainer, planned, steps)
    our_speeds, plain_speeds, ratios = [], [], []
    for number in range(rounds + 1):
        our_speed = tokens_per_second(ours, trainer.device)
        plain_speed = tokens_per_second(plain, trainer.device) if plain else None
        if number:
            our_speeds.append(our_speed)
            if plain_speed is not None:
                plain_speeds.append(plain_speed)
                ratios.append(our_speed / plain_speed)
    return {
        "tokens_per_second": statistics.median(our_speeds),
        "plain_tokens_per_second": statistics.median(plain_speeds) if plain else None,
        "ratio_plain": statistics.median(ratios) if plain else None,
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="*", help="[the bundled corpus]")
    parser.add_argument("--recipe", default="demo", help="of a language model [demo]")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--rounds", type=int, default=5, help="after the one to warm up [5]")
    parser.add_argument("--steps", type=int, default=50, help="of each loop in a round [50]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    text, assignments = tuple(options.text), parse_assignments(options.set)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        planned = plan(
            TrainingRequest(text, recipe=options.recipe, assignments=assignments, output=output)
        )
        if not planned.kind.trains_in_steps:
            raise RnnlmError(f"a {planned.kind.name} has no training loop to time")
        measured = measure(planned, options.rounds, options.steps)
    if options.json:
        print(json.dumps(measured))
        return
    print(f"rnnlm:      {measured['tokens_per_second']:,.0f} tokens/s")
    if measured["ratio_plain"] is None:
        print("plain loop: none, since torch has no such layers")
    else:
        print(f"plain loop: {measured['plain_tokens_per_second']:,.0f} tokens/s")
        print(f"ratio:      {measured['ratio_plain']:.2f}")


if __name__ == "__main__":
    try:
        main()
    except RnnlmError as error:
        sys.exit(f"error: {error}")
