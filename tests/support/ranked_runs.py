"""Runs of a small network, by one process or by several ranks: the same cases for both, to be
compared by tests/system/test_ranks.py."""

import json
import math
import os
from pathlib import Path

import numpy as np
import torch

import rnnlm.corpora
from rnnlm.errors import RnnlmError
from rnnlm.events import Checkpoint, RolledBack, Step, TrainingState, Validated
from rnnlm.neural.fitting import ranks as ranks_module
from rnnlm.neural.fitting import state as state_module
from rnnlm.neural.fitting.fitting import language_model_trainer, start_network
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, join
from rnnlm.neural.fitting.settings import FittingSettings, Interval, RunSettings
from rnnlm.neural.fitting.trainer import Trainer
from rnnlm.neural.settings import stored
from rnnlm.tasks.labels import fitting as tasks_fitting
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus
from rnnlm.text.encoding import TrainingData
from rnnlm.text.lines import TextSettings
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support import tiny_pairs, tiny_tasks

ROWS = 6  # of all ranks
LSTM = {
    "model": "lstm",
    "layers": 1,
    "embedding_size": 6,
    "hidden_size": 8,
    "tied": True,
    "init_range": 0.1,
}
NO_DROPOUT = {"dropout_input": 0.0, "dropout_between": 0.0, "dropout_output": 0.0}
FITTING = {
    "bptt_tokens": 9, "optimizer": "sgd", "learning_rate": 2.0, "clip_norm": 0.3,
    "schedule": "linear", "warmup": 0.0, "unknown_words": 0.0,
    "validate_every_steps": 6,
}  # fmt: skip
CASES = {
    "lstm": {"activation_penalty": 2.0, "temporal_penalty": 1.0, "l2": 0.01, "momentum": 0.5,
             "bptt_deviation": 3.0, "state_reset": 0.3},
    "documents": {"documents": True, "output_layer": "class", "bptt_tokens": 14,
                  "activation_penalty": 2.0, "budget": "12steps", "validate_every_steps": 4},
    "averaged": {
        "optimizer": "asgd", "nonmonotone_interval": 2, "fine_tune_after": 0.5,
        "output_layer": "mos", "mixture_components": 2,
        "accumulation": 3, "unknown_words": 0.5,
    },
    "gru": {
        "model": "gru", "layers": 2, "optimizer": "adamw", "learning_rate": 0.01,
        "output_layer": "hierarchical", "tied": None,
        "ema_decay": 0.9,
    },
    "tagging": {"task": "tagging", "model": "gru", "output_layer": "crf", "both": True,
                "characters": "lstm", "tokenizer": "word", "budget": "12steps",
                "validate_every_steps": 4},
    "pairs": {"task": "seq2seq", "model": "lstm", "input_feeding": True, "accumulation": 2,
              "learning_rate": 3.0, "budget": "12steps", "validate_every_steps": 4},
}  # fmt: skip
# For the long proofs: what is in them is in the cases above, in other company.
FURTHER_CASES = {
    "accumulated": {"documents": True, "accumulation": 2, "output_layer": "adaptive",
                    "cutoffs": "20,90", "tied": None},
    "classification": {"task": "classification", "model": "lstm", "tokenizer": "char",
                       "accumulation": 2},
}  # fmt: skip
OF_TASKS = {"optimizer": "sgd", "learning_rate": 0.5, "clip_norm": 0.3, "validate_every_steps": 6}
CUT = 8  # steps, in the middle of an epoch
DROPOUT = {**CASES["lstm"], "dropout_output": 0.3, "weight_drop": 0.3}


def data_of(folder: Path, documents: bool = False, lines: int = 60) -> TrainingData:
    """Return training data of the bundled validation text, with documents of one to three lines."""
    text = [
        line
        for line in rnnlm.corpora.part("english", "valid").read_text(encoding="utf-8").split("\n")
        if line.strip()
    ]

    def corpus(part: list[str]) -> Corpus:
        if documents:
            part = [
                each
                for number, line in enumerate(part)
                for each in ([""] if number % 5 in (0, 2, 3) else []) + [line]
            ]
        path = folder / f"text-{os.getpid()}-{len(list(folder.iterdir()))}"
        path.write_text("".join(f"{line}\n" for line in part), encoding="utf-8")
        return Corpus((str(path),), TextSettings(blank_lines="documents" if documents else "skip"))

    train = corpus(text[:lines])
    tokenizer = tokenizers.train(TokenizerSettings(), train.blocks())
    return TrainingData(tokenizer, train.encode(tokenizer), corpus(text[60:70]).encode(tokenizer))


def trainer_of(
    folder: Path,
    settings: dict,
    ranks=SINGLE_PROCESS,
    budget: str = "20steps",
    initial: TrainingState | None = None,
) -> Trainer:
    """Make the trainer of a case, with ROWS rows over all ranks. A budget among its settings goes
    before `budget`."""
    budget = settings.get("budget", budget)
    settings = {name: value for name, value in settings.items() if name != "budget"}
    if settings.get("task") == "seq2seq":
        return pairs_trainer_of(
            ranks, **{**OF_TASKS, **settings, "budget": budget, "initial": initial}
        )
    if "task" in settings:
        return task_trainer_of(**settings, ranks=ranks, budget=budget, initial=initial)
    settings = {**LSTM, **NO_DROPOUT, **FITTING, **settings}
    data = data_of(folder, settings.pop("documents", False))
    torch.manual_seed(1)
    network = start_network(stored(settings), data.tokenizer, torch.device("cpu"))
    ranks.seed_per_rank(1)
    fitting = FittingSettings(
        **{k: v for k, v in settings.items() if k in FittingSettings.__dataclass_fields__}
    )
    its = RunSettings(budget=budget, seed=1, save_every="100000steps")
    trainer = language_model_trainer(network, fitting, its, data, "fp32", ranks, ROWS)
    if initial is not None:
        state_module.load_state_dict(trainer, state_module.checked(initial))
    return trainer


def task_trainer_of(
    task: str, model: str, ranks, tokenizer: str, initial, both: bool = False, **settings
) -> Trainer:
    """Make a trainer on 19 requests. ROWS does not divide them: the last batch of an epoch has
    fewer."""
    resolved = tiny_tasks.settings_of(
        task, model, **{**OF_TASKS, **settings}, batch_rows=ROWS // ranks.count
    )
    train, valid = (
        tiny_tasks.labelled(rows, task, both) for rows in (tiny_tasks.TRAIN[:19], tiny_tasks.VALID)
    )
    data = tiny_tasks.data_of(resolved, train, valid, tokenizer=tokenizer, min_count=1)
    return tasks_fitting.make_trainer(resolved, data, initial, ranks)


def pairs_trainer_of(ranks, task: str, model: str, **settings) -> Trainer:
    """Make a trainer on 19 pairs of different lengths."""
    return tiny_pairs.trainer_of(
        model,
        tiny_pairs.TRAIN[:19],
        ranks=ranks,
        **NO_DROPOUT,
        **settings,
        batch_rows=ROWS // ranks.count,
    )


def run(trainer: Trainer, stop=lambda: False, save=lambda: False) -> dict[str, np.ndarray]:
    """Run the trainer. Return the loss of each step, the weights (the model has their averages),
    and the perplexities of validations."""
    losses, step, before = [], trainer.step, trainer.source.tokens

    def recording(*given):
        loss, state = step(*given)
        losses.append(float(loss))
        return loss, state

    trainer.step = recording
    *events, fitted = trainer.train(stop, save)
    raw = [weight.detach().clone() for weight in trainer.network.parameters()]
    reports = [event for event in events if isinstance(event, Step)]
    found = {f"weight.{name}": array for name, array in fitted.model.to_arrays().items()} | {
        f"last.{n}": w.numpy() for n, w in enumerate(raw)
    }
    found["losses"] = np.array(trainer.ranks.totals(*losses)) if losses else np.zeros(0)
    tokens = np.diff([before, *(event.tokens for event in reports)])
    # however often it was
    found["told"] = np.array(
        sum(event.loss_nats * count for event, count in zip(reports, tokens, strict=True))
    )
    found["rollbacks"] = np.array(
        [(event.step, event.to_step) for event in events if isinstance(event, RolledBack)]
    )
    found["ppls"] = np.array(
        [
            event.ppl_token or math.exp(event.figures["loss_nats"])
            for event in events
            if isinstance(event, Validated)
        ]
    )
    found["counts"] = np.array(
        [
            fitted.step,
            fitted.steps,
            fitted.tokens,
            trainer.source.rows,
            sum(isinstance(event, Checkpoint) for event in events),
        ]
    )
    found["state"] = fitted.state
    return found


def cut(trainer: Trainer) -> TrainingState:
    """Return the state from which a run resumes that is stopped after CUT steps."""
    return run(trainer, lambda: trainer.step_count >= CUT)["state"]


def faulty(trainer: Trainer) -> Trainer:
    """Have the last rank lose a weight in step 15, just before a checkpoint is due."""
    step, place = trainer.step, trainer.ranks.rank_info
    trainer.saving = Interval.parse("5steps")

    def wrapped(*given):
        found = step(*given)
        if (
            trainer.step_count == 15
            and not trainer.rollbacks.count
            and place.rank == place.count - 1
        ):
            with torch.no_grad():
                next(trainer.network.parameters()).view(-1)[0] = torch.nan
        return found

    trainer.step = wrapped
    return trainer


def write_state(path: Path, state: TrainingState) -> None:
    np.savez(path, **state.arrays, facts=json.dumps(state.facts))


def read_state(path: Path) -> TrainingState:
    stored = dict(np.load(path))
    return TrainingState(json.loads(str(stored.pop("facts"))), stored)


def found_by_ranks(folder: Path, ranks, is_further: bool) -> dict[str, np.ndarray]:
    """Return everything that a number of ranks finds, by case; of the further cases alone, if
    `is_further`."""
    rank, found = ranks.rank_info.rank, {}

    def keep(case: str, result: dict) -> None:
        found.update(
            {
                f"{case}/{name}": array
                for name, array in result.items()
                if isinstance(array, np.ndarray)
            }
        )

    for case, settings in (FURTHER_CASES if is_further else CASES).items():
        keep(case, run(trainer_of(folder, settings, ranks)))
    if is_further:
        return found
    state = cut(trainer_of(folder, CASES["lstm"], ranks))
    if not rank:
        write_state(folder / f"state-{ranks.count}.npz", state)
    keep("resumed", run(trainer_of(folder, CASES["lstm"], ranks, initial=state)))
    for path in sorted(folder.glob("state-*.npz")):
        if path.stem != f"state-{ranks.count}":
            keep(
                f"resumed-from-{path.stem[-1]}",
                run(trainer_of(folder, CASES["lstm"], ranks, initial=read_state(path))),
            )
    keep("faulty", run(faulty(trainer_of(folder, CASES["gru"], ranks))))
    keep("dropout", run(trainer_of(folder, DROPOUT, ranks)))
    state = cut(trainer_of(folder, DROPOUT, ranks))
    found["draws"] = np.array(
        [
            len(
                {
                    state.arrays[f"random.cpu{end}"].tobytes()
                    for end in ("", *(f".{r}" for r in range(1, ranks.count)))
                }
            )
        ]
    )
    keep("dropout-resumed", run(trainer_of(folder, DROPOUT, ranks, initial=state)))
    _wishes(folder, ranks, keep, found)
    return found


def _wishes(folder: Path, ranks, keep, found) -> None:
    """Check that what one rank alone is asked, or finds, applies to all."""
    last = ranks.rank_info.rank == ranks.count - 1
    asked = trainer_of(folder, CASES["lstm"], ranks)
    saves = iter([last and step == 3 for step in range(1000)])
    keep("asked", run(asked, lambda: last and asked.step_count >= 5, lambda: next(saves)))
    timed = trainer_of(folder, {"validate_every_steps": None}, ranks, "0.5s")
    keep("timed", run(timed))
    found["timed/steps"] = torch.stack(ranks.gather(torch.tensor(timed.step_count))).numpy()
    reading = trainer_of(folder, {}, ranks)
    reading.ranks.exchange_signals(lambda: last, lambda: False)
    found["stopped-validation"] = np.array([reading.validation.run(1, lambda: False) is None])
    try:
        ranks.check_same("the text", bytes([last]))
    except RnnlmError as error:
        found["differing"] = np.array(str(error))


def rank_of(folder: Path, environment: dict[str, str], is_further: bool) -> None:
    """Run one rank's process. The first rank writes what all found to FOLDER/found-COUNT.npz."""
    os.environ.update(environment)
    said = os.open(folder / f"said-{environment['RANK']}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1), os.dup2(said, 2)
    torch.set_num_threads(1)
    ranks_module.BETWEEN_SECONDS = 0.0  # they meet at every step
    ranks = join(torch.device("cpu"), "60s")
    with ranks.together():
        found = found_by_ranks(folder, ranks, is_further)
    if not ranks.rank_info.rank:
        np.savez(folder / f"found-{ranks.count}.npz", **found)
