"""Several ranks take the steps of one process that has all their rows, to rounding."""

import functools
import itertools
import math
import os
import threading
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from torch import distributed

from rnnlm import errors
from rnnlm.events import Checkpoint, RolledBack, Step, TrainingState, Validated
from rnnlm.lm.neural.layers.batch_norm import BatchNorm
from rnnlm.lm.neural.settings import stored
from rnnlm.lm.neural.training import ranks as ranks_module, state as state_module
from rnnlm.lm.neural.training.fitting import language_model_trainer, start_network
from rnnlm.lm.neural.training.language_modelling import RareWords, count_tokens
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, ProcessGroup, join
from rnnlm.lm.neural.training.settings import FittingSettings, RunSettings
from rnnlm.lm.neural.training.step import SharedStep
from rnnlm.lm.neural.training.trainer import Trainer
from rnnlm.system import Rank, bind_device, current_rank
from rnnlm.tasks.labelling import fitting as tasks_fitting
from rnnlm.text import tokenizers
from rnnlm.text.encoding import TrainingData
from rnnlm.text.lines import TextSettings
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support import tiny_pairs, tiny_tasks
from support.forks import FORK, free_port
from support.systems import need
from support.tiny_models import Lines, english_lines

pytestmark = [
    pytest.mark.processes,
    pytest.mark.needs("tasks/labelling", "tasks/seq2seq", "tools/mixtures"),
]

# Two in the suite; three, too, in the long proofs.
COUNTS = (2, pytest.param(3, marks=pytest.mark.soak))

ROWS = 6  # of all ranks
LSTM = {
    "model": "lstm", "layers": 1, "embedding_size": 6, "hidden_size": 8, "tied": True,
    "init_range": 0.1,
}  # fmt: skip
NO_DROPOUT = {"dropout_input": 0.0, "dropout_between": 0.0, "dropout_output": 0.0}
FITTING = {
    "bptt_tokens": 9, "optimizer": "sgd", "learning_rate": 2.0, "clip_norm": 0.3,
    "schedule": "linear", "warmup": 0.0, "unknown_words": 0.0, "validate_every_steps": 6,
}  # fmt: skip
CASES = {
    "lstm": {"activation_penalty": 2.0, "temporal_penalty": 1.0, "l2": 0.01, "momentum": 0.5,
             "bptt_deviation": 3.0, "state_reset": 0.3},
    "documents": {"documents": True, "output_layer": "class", "bptt_tokens": 14,
                  "activation_penalty": 2.0, "budget": "12steps", "validate_every_steps": 4},
    "averaged": {"optimizer": "asgd", "nonmonotone_interval": 2, "fine_tune_after": 0.5,
                 "output_layer": "mos", "mixture_components": 2, "accumulation": 3,
                 "unknown_words": 0.5, "bptt_lookback": 25},
    "gru": {"model": "gru", "layers": 2, "optimizer": "adamw", "learning_rate": 0.01,
            "output_layer": "hierarchical", "tied": None, "ema_decay": 0.9, "long_windows": 0.5},
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

ALL_CASES = CASES | FURTHER_CASES
FURTHER = [pytest.param(case, marks=pytest.mark.soak) for case in FURTHER_CASES]


def data_of(documents: bool) -> TrainingData:
    """Return training data of the bundled validation text, with documents of one to three lines."""
    settings = TextSettings(blank_lines="documents" if documents else "skip")

    def text(lines: list[str]) -> Lines:
        starts = [at for at in range(len(lines)) if at % 5 in (0, 2, 3)]
        return Lines(lines, starts if documents else (), settings)

    lines = english_lines(70)
    train = text(lines[:60])
    tokenizer = tokenizers.train(TokenizerSettings(), train.blocks())
    return TrainingData(tokenizer, train.encode(tokenizer), text(lines[60:]).encode(tokenizer))


def trainer_of(settings, ranks=SINGLE_PROCESS, budget="20steps", initial=None) -> Trainer:
    """Make the trainer of a case, with ROWS rows over all ranks. A budget of its own goes first."""
    budget = settings.get("budget", budget)
    settings = {name: value for name, value in settings.items() if name != "budget"}
    if "task" in settings:
        own = {"ranks": ranks, "batch_rows": ROWS // ranks.count, "initial": initial}
        return task_trainer_of(**{**OF_TASKS, **settings}, **own, budget=budget)
    settings = {**LSTM, **NO_DROPOUT, **FITTING, **settings}
    data = data_of(settings.pop("documents", False))
    torch.manual_seed(1)
    network = start_network(stored(settings), data.tokenizer, torch.device("cpu"))
    ranks.seed_per_rank(1)
    names = FittingSettings.__dataclass_fields__
    fitting = FittingSettings(**{name: settings[name] for name in settings if name in names})
    run_settings = RunSettings(budget=budget, seed=1, save_every="100000steps")
    counts_V = count_tokens(data.train, data.tokenizer)
    rare = RareWords.of(data.train, data.tokenizer, counts_V, fitting.unknown_words, 1)
    shared = (network, fitting, run_settings, data, "fp32", rare)
    trainer = language_model_trainer(*shared, ranks, ROWS)
    if initial is not None:
        state_module.load_state_dict(trainer, state_module.checked(initial))
    return trainer


def task_trainer_of(task, model, ranks, initial, both=False, **settings) -> Trainer:
    """Make a trainer on 19 examples, so that the last batch of an epoch has fewer than ROWS."""
    if task == "seq2seq":
        settings |= {"ranks": ranks, "initial": initial, **NO_DROPOUT}
        return tiny_pairs.trainer_of(model, tiny_pairs.TRAIN[:19], **settings)
    tokenizer = settings.pop("tokenizer")
    resolved = tiny_tasks.settings_of(task, model, **settings)
    train = tiny_tasks.labelled(tiny_tasks.TRAIN[:19], task, both)
    valid = tiny_tasks.labelled(tiny_tasks.VALID, task, both)
    data = tiny_tasks.data_of(resolved, train, valid, tokenizer=tokenizer, min_count=1)
    return tasks_fitting.make_trainer(resolved, data, initial, ranks)


def run(trainer: Trainer, stop=lambda: False, save=lambda: False) -> dict[str, object]:
    """Run the trainer. Return losses, weights, and the perplexities of validations."""
    losses, step, before = [], trainer.step, trainer.source.tokens

    def recording(*given):
        loss, state = step(*given)
        losses.append(float(loss))
        return loss, state

    trainer.step = recording
    *events, fitted = trainer.train(stop, save)
    found = {f"weight.{name}": array for name, array in fitted.model.to_arrays().items()}
    for number, weight in enumerate(trainer.network.parameters()):
        found[f"last.{number}"] = weight.detach().clone().numpy()
    found["losses"] = np.array(trainer.ranks.totals(*losses)) if losses else np.zeros(0)

    reports = [event for event in events if isinstance(event, Step)]
    tokens = np.diff([before, *(event.tokens for event in reports)])
    told = zip(reports, tokens, strict=True)
    found["told"] = sum(event.loss_nats * count for event, count in told)  # however often it was
    rollbacks = [event for event in events if isinstance(event, RolledBack)]
    found["rollbacks"] = [(event.step, event.to_step) for event in rollbacks]
    validated = [event for event in events if isinstance(event, Validated)]
    ppls = [event.ppl_token or math.exp(event.figures["loss_nats"]) for event in validated]
    found["ppls"] = np.array(ppls)
    saved = sum(isinstance(event, Checkpoint) for event in events)
    found["counts"] = (fitted.step, fitted.steps, fitted.tokens, trainer.source.rows, saved)
    found["state"] = fitted.state
    return found


def cut(trainer: Trainer) -> TrainingState:
    """Return the state from which a run resumes that is stopped after CUT steps."""
    return run(trainer, lambda: trainer.step_count >= CUT)["state"]


def faulty(trainer: Trainer) -> Trainer:
    """Have the last rank lose a weight in step 15, just before a state is to be kept."""
    step, place = trainer.step, trainer.ranks.rank_info
    trainer.keeping.most = 5

    def wrapped(*given):
        found = step(*given)
        is_last = place.rank == place.count - 1
        if trainer.step_count == 15 and not trainer.rollbacks.count and is_last:
            with torch.no_grad():
                next(trainer.network.parameters()).view(-1)[0] = torch.nan
        return found

    trainer.step = wrapped
    return trainer


def cases_of_rank(ranks, earlier: dict[int, TrainingState]) -> dict:
    """Run all cases as one of several ranks. earlier: states of runs by other numbers of ranks."""
    found = {case: run(trainer_of(settings, ranks)) for case, settings in CASES.items()}
    found["cut"] = cut(trainer_of(CASES["lstm"], ranks))
    found["resumed"] = run(trainer_of(CASES["lstm"], ranks, initial=found["cut"]))
    for count, state in earlier.items():
        found[f"resumed from {count}"] = run(trainer_of(CASES["lstm"], ranks, initial=state))
    found["faulty"] = run(faulty(trainer_of(CASES["gru"], ranks)))
    found["dropout"] = run(trainer_of(DROPOUT, ranks))
    state = cut(trainer_of(DROPOUT, ranks))
    ends = ("", *(f".{rank}" for rank in range(1, ranks.count)))
    found["draws"] = len({state.arrays[f"random.cpu{end}"].tobytes() for end in ends})
    found["dropout, resumed"] = run(trainer_of(DROPOUT, ranks, initial=state))

    # Each rank has read other rows.
    norm = BatchNorm(1)
    norm.running_mean.fill_(ranks.rank_info.rank)
    ranks.share_statistics(norm)
    found["statistics"] = float(norm.running_mean)

    # What one rank alone is asked, or finds, applies to all.
    is_last = ranks.rank_info.rank == ranks.count - 1
    asked = trainer_of(CASES["lstm"], ranks)
    saves = iter([is_last and step == 3 for step in range(1000)])
    found["asked"] = run(asked, lambda: is_last and asked.step_count >= 5, lambda: next(saves))
    timed = trainer_of({"validate_every_steps": None}, ranks, "0.5s")
    run(timed)
    found["timed"] = timed.step_count
    reading = trainer_of({}, ranks)
    reading.ranks.exchange_signals(lambda: is_last, lambda: False)
    found["stopped validation"] = reading.validation.run(1, lambda: False) is None
    with pytest.raises(errors.RnnlmError) as raised:
        ranks.check_same("the text", bytes([is_last]))
    found["differing"] = str(raised.value)
    return found


def further_cases_of_rank(ranks, earlier) -> dict:
    return {case: run(trainer_of(settings, ranks)) for case, settings in FURTHER_CASES.items()}


def as_rank(rank: int, count: int, port: int, function, *arguments):
    """Return what a function finds as one of several ranks, in a process of its own."""
    place = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "MASTER_PORT": port}
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    ranks_module.BETWEEN_SECONDS = 0.0  # they meet at every step
    ranks = join(torch.device("cpu"), "60s")
    with ranks.together():
        return function(ranks, *arguments)


@functools.cache
def alone(case: str):
    """Return what one process finds."""
    return run(trainer_of(ALL_CASES[case]))


@functools.cache
def cut_off(count: int) -> TrainingState:
    """Return the state in which a run of so many ranks was cut off."""
    return cut(trainer_of(CASES["lstm"])) if count == 1 else together(count)["cut"]


@functools.cache
def together(count: int, function=cases_of_rank) -> dict:
    """Return what the first of several ranks finds; that they find it at all says that they agree."""
    need("fork")
    earlier = {before: cut_off(before) for before in range(1, count)}
    port = free_port()
    with ProcessPoolExecutor(count, FORK) as pool:
        given = [(rank, count, port, function, earlier) for rank in range(count)]
        found = [pool.submit(as_rank, *each) for each in given]
        results = [each.result() for each in found]
    assert len({result["timed"] for result in results if "timed" in result}) <= 1
    return results[0]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Use one thread, as each rank does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    for function in (alone, cut_off, together):
        function.cache_clear()


def assert_same(found, expected, since=0, atol=2e-6):
    """Check equality up to rounding, which Adam magnifies where gradients are small."""
    ppls = found["ppls"]
    np.testing.assert_allclose(found["losses"], expected["losses"][since:], rtol=2e-6)
    np.testing.assert_allclose(ppls, expected["ppls"][-len(ppls) :], rtol=1e-5)
    assert found["counts"] == expected["counts"]
    assert_same_weights(found, expected, atol)


def assert_same_weights(found, expected, atol):
    for name in expected:
        if name.startswith(("weight.", "last.")):
            own = {"rtol": 1e-4, "atol": atol, "err_msg": name}
            np.testing.assert_allclose(found[name], expected[name], **own)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("case", [*CASES, *FURTHER])
def test_ranks_match_one_process_in_losses_and_weights(case, count):
    function = [further_cases_of_rank] if case in FURTHER_CASES else []
    expected, found = alone(case), together(count, *function)[case]  # called alike, run once
    assert len(expected["ppls"]) >= 3 and np.ptp(expected["ppls"]) > 0.1  # the weights move
    assert_same(found, expected, atol=2e-5 if case == "gru" else 2e-6)
    # what is reported is of all rows
    assert found["told"] == pytest.approx(expected["told"], rel=1e-5)


@pytest.mark.soak
@pytest.mark.parametrize("count", COUNTS)
def test_run_interrupted_mid_epoch_resumes_with_its_ranks(count):
    assert_same(together(count)["resumed"], alone("lstm"), since=CUT)


@pytest.mark.parametrize("count", COUNTS)
def test_what_happens_to_one_rank_applies_to_all(count):
    expected, found = run(faulty(trainer_of(CASES["gru"]))), together(count)["faulty"]
    assert expected["rollbacks"] == [(16, 11)]  # states are kept five steps apart
    assert found["rollbacks"] == expected["rollbacks"]
    assert found["counts"] == expected["counts"]
    np.testing.assert_allclose(found["ppls"], expected["ppls"], rtol=1e-5)
    assert_same_weights(found, expected, atol=2e-5)
    found = together(count)
    assert found["statistics"] == (count - 1) / 2  # running ones are the mean of all ranks
    *_, steps, _, _, saved = found["asked"]["counts"]
    assert (steps, saved) == (5, 1)  # stopped after 5 steps; saved once on the way
    assert found["timed"] > 0
    assert found["stopped validation"]
    what = f"process {count} of {count} differs from that of the first process"
    assert what in found["differing"]


MORE = [pytest.param(3, before, marks=pytest.mark.soak) for before in (1, 2)]


@pytest.mark.parametrize("count, before", [(2, 1), *MORE])
def test_it_goes_on_with_another_number_of_ranks(count, before):
    assert_same(together(count)[f"resumed from {before}"], alone("lstm"), since=CUT)


@pytest.mark.parametrize("before", COUNTS)
def test_one_process_resumes_several_warning_of_new_draws(before):
    with pytest.warns(UserWarning, match=f"in 1 process instead of {before}: .*dropout"):
        trainer = trainer_of(CASES["lstm"], initial=cut_off(before))
    assert_same(run(trainer), alone("lstm"), since=CUT)


@pytest.mark.parametrize("count", COUNTS)
def test_ranks_draw_separately_and_resume_the_same_draws(count):
    whole, resumed = together(count)["dropout"], together(count)["dropout, resumed"]
    assert together(count)["draws"] == count  # as many random states as ranks
    np.testing.assert_array_equal(resumed["losses"], whole["losses"][CUT:])
    for name in whole:
        if name.startswith("last."):
            np.testing.assert_array_equal(resumed[name], whole[name])


OF_SUITE, FURTHER_PARTS = (
    [("documents", 4), ("lstm", 2), ("lstm", 100)], [("documents", 2), ("documents", 100), ("lstm", 4)],
)  # fmt: skip


@pytest.mark.parametrize(
    "case, parts",
    OF_SUITE + [pytest.param(*each, marks=pytest.mark.soak) for each in FURTHER_PARTS],
)
def test_accumulated_gradients_give_the_step_of_all_rows(case, parts):
    """More parts than rows are as many as rows."""
    trainer = trainer_of({**CASES[case], "accumulation": parts})
    assert isinstance(trainer.update, SharedStep)
    assert_same(run(trainer), alone(case))


def test_rows_without_targets_still_count_in_the_penalty():
    """In the parts of a window in which some rows have come to their end."""
    trainer = trainer_of({**CASES["documents"], "accumulation": ROWS})
    _, window = next(trainer.source.windows())
    ends = np.where(np.arange(ROWS) == 2, window.start_B, window.end_B)
    short = type(window)(window.start_B, ends, window.fresh_B, window.length)
    whole = trainer_of(CASES["documents"])
    for one in (trainer, whole):
        one.step(one.source.batch(short), one.network.initial_state(ROWS), 0.5)
    for one, other in zip(trainer.network.parameters(), whole.network.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_too_many_ranks_and_settings_against_ranks_are_refused():
    ranks = ProcessGroup(Rank(0, ROWS + 1), "60s")
    with pytest.raises(errors.TrainingError, match="7 processes are too many; there are 6 streams"):
        trainer_of({}, ranks)
    with pytest.raises(errors.SettingsError, match="cuda_graphs and accumulation cannot be"):
        FittingSettings(cuda_graphs=True, accumulation=2)
    with pytest.raises(errors.SettingsError, match="rank_timeout"):
        RunSettings(rank_timeout="5steps")


def test_shares_are_in_order_and_even():
    for count in (1, 2, 3, 7):
        shares = [ProcessGroup(Rank(rank, count), "60s").share(20) for rank in range(count)]
        assert [row for share in shares for row in range(20)[share]] == list(range(20))
        sizes = [share.stop - share.start for share in shares]
        assert max(sizes) - min(sizes) <= 1
    assert SINGLE_PROCESS.share(20) == slice(0, 20)


def test_meetings_are_as_rare_as_time_lets_them():
    ranks = ProcessGroup(Rank(0, 2), "60s")
    clock, met = [50.0], []
    ranks._gather_floats = lambda *values: met.append(step) or [[clock[0], 0.0, 0.0]] * 2
    for step in range(2000):
        ranks.synchronize_periodically(step)
        clock[0] += 0.001
    gaps = np.diff(met)
    assert met[:2] == [0, 1]
    assert all(later <= 2 * max(1, gap) for gap, later in itertools.pairwise(gaps))
    assert 90 <= gaps[-1] <= 110  # a tenth of a second, at a thousandth each


@pytest.mark.parametrize("error", [
    None, RuntimeError("Connection closed by peer"), KeyboardInterrupt(),
], ids=["well", "lost", "interrupted"])  # fmt: skip
def test_rank_leaves_only_after_torch_releases_exchanged_tensors(monkeypatch, error):
    """Torch does so in threads of its own: they need an interpreter that is not ending."""
    ranks, held, held_at_end = ProcessGroup(Rank(0, 2), "60s"), [], []

    def exchanged(found, own):
        held.append((own, *found))
        threading.Timer(0.3, held.clear).start()
        if error:
            raise error
        for each in found:
            each.copy_(own)

    monkeypatch.setattr(distributed, "all_gather", exchanged)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: held_at_end.append(len(held)))
    monkeypatch.setattr(ranks_module, "farewell", lambda *_: None)
    try:
        with ranks.together():
            totals = ranks.totals(1.0, 2.0)
    except (errors.LostProcessError, KeyboardInterrupt):
        held_at_end.append(len(held))
    else:
        assert totals == [2.0, 4.0]
    assert held_at_end == [0]


def environment(monkeypatch, **own):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)


def test_the_environment_says_which_rank_this_is(monkeypatch):
    environment(monkeypatch)
    assert current_rank() == Rank(0, 1, 0) and bind_device("cuda:3") == "cuda:3"
    environment(monkeypatch, RANK="1")
    assert current_rank().count == 1
    environment(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", MASTER_ADDR="here")
    assert current_rank() == Rank(5, 8, 1) and str(current_rank()) == "process 6 of 8"


@pytest.mark.parametrize(("rank", "count"), [("2", "2"), ("-1", "2"), ("0", "x"), ("0", "0")])
def test_nonsense_in_the_environment_is_an_error(monkeypatch, rank, count):
    environment(monkeypatch, RANK=rank, WORLD_SIZE=count, MASTER_ADDR="here")
    with pytest.raises(errors.UsageError, match="RANK, WORLD_SIZE"):
        current_rank()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_gpus_each_rank_is_on_the_cpu(monkeypatch):
    environment(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", MASTER_ADDR="here")
    assert (bind_device("auto"), bind_device("cpu")) == ("cpu", "cpu")


def test_each_rank_has_a_gpu_of_its_own(two_gpus, monkeypatch):
    environment(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", MASTER_ADDR="here")
    found = [bind_device(asked) for asked in ("auto", "cuda", "cpu")]
    assert found == ["cuda:1", "cuda:1", "cpu"]
    with pytest.raises(errors.UsageError, match="8 processes cannot share the device cuda:0"):
        bind_device("cuda:0")
    environment(monkeypatch, RANK="6", WORLD_SIZE="8", LOCAL_RANK="2", MASTER_ADDR="here")
    with pytest.raises(errors.DeviceError, match="no GPU for process 3 of this machine"):
        bind_device("auto")
