"""Several ranks take the steps of one process that has all their rows: losses, weights and
perplexities are the same, to rounding."""

import functools
import itertools
import multiprocessing
import threading

import numpy as np
import pytest
import torch
from torch import distributed

from rnnlm.errors import DeviceError, LostProcess, SettingsError, TrainingError, UsageError
from rnnlm.neural.fitting import ranks as ranks_module
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, ProcessGroup
from rnnlm.neural.fitting.settings import FittingSettings, RunSettings
from rnnlm.neural.fitting.step import SharedStep
from rnnlm.system import Rank, bind_device, current_rank
from support.ports import free_port
from support.ranked_runs import (
    CASES,
    CUT,
    FURTHER_CASES,
    ROWS,
    cut,
    faulty,
    rank_of,
    read_state,
    run,
    trainer_of,
    write_state,
)

# Two in the suite; three, too, in the long proofs.
COUNTS = (2, pytest.param(3, marks=pytest.mark.soak))
ALL_CASES = CASES | FURTHER_CASES
FURTHER = [pytest.param(case, marks=pytest.mark.soak) for case in FURTHER_CASES]


def ranks_environment(count: int, rank: int, port: int) -> dict[str, str]:
    own = {
        "RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_RANK": rank,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    return {name: str(value) for name, value in own.items()}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Use one thread, as each rank does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return a folder, and a function from a case to what one process finds. The folder holds the
    state that its run was cut off with."""
    folder = tmp_path_factory.mktemp("ranks")
    found = functools.cache(lambda case: run(trainer_of(folder, ALL_CASES[case])))
    write_state(folder / "state-1.npz", cut(trainer_of(folder, CASES["lstm"])))
    return folder, found


@pytest.fixture(scope="module")
def together(alone):
    """Return a function from the number of ranks to what they find. They are forks of this process,
    which has imported torch. Each number runs once, and once more the further cases."""
    folder, _ = alone

    @functools.cache
    def found_by(count, is_further):
        if count > 2 and not is_further:
            found_by(count - 1, False)  # leaves a state, from which these resume
        context, port = multiprocessing.get_context("fork"), free_port()
        started = [
            context.Process(
                target=rank_of,
                args=(folder, ranks_environment(count, rank, port), is_further),
                daemon=True,
            )
            for rank in range(count)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join(120)
        assert [process.exitcode for process in started] == [0] * count, [
            path.read_text() for path in folder.glob("said-*")
        ]
        return dict(np.load(folder / f"found-{count}.npz"))

    return lambda count, is_further=False: found_by(count, is_further)


def assert_same(found, case, expected, since=0):
    """Check equality up to rounding, which Adam magnifies where gradients are small."""
    np.testing.assert_allclose(found[f"{case}/losses"], expected["losses"][since:], rtol=2e-6)
    np.testing.assert_allclose(
        found[f"{case}/ppls"], expected["ppls"][-len(found[f"{case}/ppls"]) :], rtol=1e-5
    )
    np.testing.assert_array_equal(found[f"{case}/counts"], expected["counts"])
    for name in (name for name in expected if name.startswith(("weight.", "last."))):
        np.testing.assert_allclose(
            found[f"{case}/{name}"],
            expected[name],
            rtol=1e-4,
            atol=2e-5 if case == "gru" else 2e-6,
            err_msg=name,
        )


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("case", [*CASES, *FURTHER])
def test_ranks_match_one_process_in_losses_and_weights(alone, together, case, count):
    expected, found = alone[1](case), together(count, case in FURTHER_CASES)
    assert len(expected["ppls"]) >= 3 and np.ptp(expected["ppls"]) > 0.1  # the weights move
    assert_same(found, case, expected)
    # what is reported is of all rows
    np.testing.assert_allclose(found[f"{case}/told"], expected["told"], rtol=1e-5)


@pytest.mark.parametrize("count", COUNTS)
def test_run_interrupted_mid_epoch_resumes_with_its_ranks(alone, together, count):
    assert_same(together(count), "resumed", alone[1]("lstm"), since=CUT)


@pytest.mark.parametrize("count", COUNTS)
def test_fault_in_one_rank_rolls_all_back_alike(alone, together, count):
    expected = run(faulty(trainer_of(alone[0], CASES["gru"])))
    assert expected["rollbacks"].tolist() == [[15, 10]]  # of the checkpoint before
    np.testing.assert_array_equal(together(count)["faulty/rollbacks"], expected["rollbacks"])
    np.testing.assert_array_equal(together(count)["faulty/counts"], expected["counts"])
    np.testing.assert_allclose(together(count)["faulty/ppls"], expected["ppls"], rtol=1e-5)
    for name in (name for name in expected if name.startswith(("weight.", "last."))):
        np.testing.assert_allclose(
            together(count)[f"faulty/{name}"], expected[name], rtol=1e-4, atol=2e-5, err_msg=name
        )


@pytest.mark.parametrize(
    ("count", "before"),
    [(2, 1), *(pytest.param(3, before, marks=pytest.mark.soak) for before in (1, 2))],
)
def test_it_goes_on_with_another_number_of_ranks(alone, together, count, before):
    assert_same(together(count), f"resumed-from-{before}", alone[1]("lstm"), since=CUT)


@pytest.mark.parametrize("before", COUNTS)
def test_one_process_resumes_several_warning_of_new_draws(alone, together, before):
    folder, found = alone
    together(before)  # leaves its state
    with pytest.warns(UserWarning, match=f"in 1 process instead of {before}: .*dropout"):
        trainer = trainer_of(
            folder, CASES["lstm"], initial=read_state(folder / f"state-{before}.npz")
        )
    resumed = run(trainer)
    assert_same(
        {f"resumed/{name}": array for name, array in resumed.items()},
        "resumed",
        found("lstm"),
        since=CUT,
    )


@pytest.mark.parametrize("count", COUNTS)
def test_ranks_draw_separately_and_resume_the_same_draws(together, count):
    found = together(count)
    assert found["draws"] == count  # as many random states as ranks
    np.testing.assert_array_equal(found["dropout-resumed/losses"], found["dropout/losses"][CUT:])
    for name in (name for name in found if name.startswith("dropout/last.")):
        np.testing.assert_array_equal(
            found[name.replace("dropout/", "dropout-resumed/")], found[name]
        )


@pytest.mark.parametrize("count", COUNTS)
def test_request_to_one_rank_is_followed_by_all(together, count):
    *_, steps, _, _, kept = (int(number) for number in together(count)["asked/counts"])
    assert (steps, kept) == (5, 1)  # stopped after 5 steps; saved once on the way
    assert (
        len(set(together(count)["timed/steps"].tolist())) == 1
        and together(count)["timed/steps"][0] > 0
    )
    assert together(count)["stopped-validation"]
    assert f"process {count} of {count} differs from that of the first process" in str(
        together(count)["differing"]
    )


FURTHER_PARTS = [("documents", 2), ("documents", 100), ("lstm", 4)]


@pytest.mark.parametrize(
    ("case", "parts"),
    [("documents", 4), ("lstm", 2), ("lstm", 100)]
    + [pytest.param(*given, marks=pytest.mark.soak) for given in FURTHER_PARTS],
)
def test_accumulated_gradients_give_the_step_of_all_rows(alone, case, parts):
    """More parts than rows are as many as rows."""
    folder, found = alone
    trainer = trainer_of(folder, {**CASES[case], "accumulation": parts})
    assert isinstance(trainer.update, SharedStep)
    assert_same(
        {f"{case}/{name}": array for name, array in run(trainer).items()}, case, found(case)
    )


def test_rows_without_targets_still_count_in_the_penalty(alone):
    """In the parts of a window in which some rows have come to their end."""
    folder, _ = alone
    trainer = trainer_of(folder, {**CASES["documents"], "accumulation": ROWS})
    _, window = next(trainer.source.windows())
    short = type(window)(
        window.start_B,
        np.where(np.arange(ROWS) == 2, window.start_B, window.end_B),
        window.fresh_B,
        window.length,
    )
    whole = trainer_of(folder, CASES["documents"])
    for one in (trainer, whole):
        one.step(one.source.batch(short), one.network.initial_state(ROWS), 0.5)
    for one, other in zip(trainer.network.parameters(), whole.network.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_more_ranks_than_streams_are_refused(alone):
    ranks = ProcessGroup(Rank(0, ROWS + 1), "60s")
    with pytest.raises(TrainingError, match="7 processes are too many; there are 6 streams"):
        trainer_of(alone[0], {}, ranks)


def test_shares_are_in_order_and_even():
    for count in (1, 2, 3, 7):
        shares = [ProcessGroup(Rank(rank, count), "60s").share(20) for rank in range(count)]
        assert [row for share in shares for row in range(20)[share]] == list(range(20))
        assert (
            max(share.stop - share.start for share in shares)
            - min(share.stop - share.start for share in shares)
            <= 1
        )
    assert SINGLE_PROCESS.share(20) == slice(0, 20)


def test_meetings_are_as_rare_as_time_lets_them():
    ranks = ProcessGroup(Rank(0, 2), "60s")
    clock, met = [50.0], []
    ranks._gather_floats = lambda *values: met.append(step) or [[clock[0], 0.0, 0.0]] * 2
    for step in range(2000):
        ranks.synchronize_periodically(step)
        clock[0] += 0.001
    gaps = np.diff(met)
    assert met[:2] == [0, 1] and all(
        later <= 2 * max(1, gap) for gap, later in itertools.pairwise(gaps)
    )
    assert 90 <= gaps[-1] <= 110  # a tenth of a second, at a thousandth each


@pytest.mark.parametrize(
    "error",
    [None, RuntimeError("Connection closed by peer"), KeyboardInterrupt()],
    ids=["well", "lost", "interrupted"],
)
def test_rank_leaves_only_after_torch_releases_exchanged_tensors(monkeypatch, error):
    """Torch does so in threads of its own, here after a while: they need an interpreter that is not
    ending, and its lock."""
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
    except (LostProcess, KeyboardInterrupt):
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
    with pytest.raises(UsageError, match="RANK, WORLD_SIZE"):
        current_rank()


def test_each_rank_has_a_gpu_of_its_own(monkeypatch):
    environment(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", MASTER_ADDR="here")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (bind_device("auto"), bind_device("cpu")) == ("cpu", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (bind_device("auto"), bind_device("cuda"), bind_device("cpu")) == (
        "cuda:1",
        "cuda:1",
        "cpu",
    )
    with pytest.raises(UsageError, match="8 processes cannot share the device cuda:0"):
        bind_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="no GPU for process 2 of this machine"):
        bind_device("auto")


def test_graphs_and_accumulation_are_refused_with_ranks():
    with pytest.raises(SettingsError, match="cuda_graphs and accumulation cannot be combined"):
        FittingSettings(cuda_graphs=True, accumulation=2)
    with pytest.raises(SettingsError, match="rank_timeout"):
        RunSettings(rank_timeout="5steps")
