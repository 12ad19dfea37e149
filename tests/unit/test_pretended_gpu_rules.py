"""The pretended GPU keeps the rules of a real one: a test for each.

These tests need the pretended device; tests/system/test_pretended_gpu.py runs them with it.
"""

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rnnlm import arrays
from support import pretended_gpu
from support.pretended_gpu import STATE, faults, waits

pytestmark = pretended_gpu.needed()
CUDA = "cuda"


@pytest.fixture
def strict():
    """Make waits raise, as under torch.cuda.set_sync_debug_mode("error")."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def two_devices(monkeypatch):
    monkeypatch.setattr(STATE, "device_count", 2)
    monkeypatch.setattr(STATE, "current_device", 0)


@pytest.fixture
def deterministic(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def on_device(*shape, **settings):
    return torch.ones(shape, device=CUDA, **settings)


# ---- tensors and devices


def test_device_tensors_and_their_results_say_so():
    x = torch.randn(3, device=CUDA)
    assert x.is_cuda and str(x.device) == "cuda:0" and (x + 1).is_cuda and x[:2].is_cuda
    assert torch.zeros_like(x).is_cuda and x.new_zeros(2).is_cuda and not x.cpu().is_cuda
    assert (
        not torch.zeros_like(x, device="cpu").is_cuda
        and torch.zeros_like(x.cpu(), device=CUDA).is_cuda
    )
    assert torch.empty_like(x, device="meta").is_meta
    assert torch.cuda.is_available() and torch.cuda.device_count() == 1


def test_gradients_are_those_of_the_cpu():
    weights = torch.randn(4, 3)
    found = []
    for device in ("cpu", CUDA):
        own = weights.to(device, copy=True).requires_grad_()
        (own.tanh() @ torch.ones(3, 2, device=device)).square().sum().backward()
        assert own.grad.device.type == device
        found.append(own.grad.cpu())
    assert torch.equal(*found)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, host: x + host,
        lambda x, host: x @ host,
        lambda x, host: torch.cat([x, host]),
        lambda x, host: host.copy_(x) + x,
    ],
    ids=["sum", "product", "cat", "after a copy"],
)
def test_tensors_of_two_devices_do_not_mix(mix):
    with pytest.raises(RuntimeError, match="same device, but found at least two devices"):
        mix(on_device(2, 2), torch.ones(2, 2))


def test_a_number_on_the_host_mixes():
    assert (on_device(2) * torch.tensor(3.0)).tolist() == [3, 3]
    assert on_device(2).masked_fill(on_device(2) > 0, torch.tensor(2.0)).tolist() == [2, 2]


def test_a_device_index_cannot_index_a_host_array():
    with pytest.raises(RuntimeError, match="indices should be either on cpu"):
        torch.ones(3)[torch.tensor([1], device=CUDA)]


def test_a_host_generator_cannot_draw_for_the_device():
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator"):
        torch.rand(3, device=CUDA, generator=torch.Generator())


def test_numpy_cannot_read_the_device():
    for read in (lambda x: x.numpy(), lambda x: memoryview(x.__array__())):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            read(on_device(2))
    assert on_device(2).numpy(force=True).tolist() == [1, 1]


def test_whole_numbers_have_no_products():
    whole = torch.ones(2, 2, dtype=torch.int64, device=CUDA)
    with pytest.raises(NotImplementedError, match="addmm_cuda"):
        whole @ whole


def test_tensors_are_pickled_and_copied_with_their_device():
    weight = nn.Parameter(torch.ones(2, device=CUDA))
    for copied in (copy.deepcopy(weight), pickle.loads(pickle.dumps(weight))):
        assert copied.is_cuda and copied.requires_grad and copied.tolist() == [1, 1]
        with torch.no_grad():
            copied += 1
    assert weight.tolist() == [1, 1]


def test_a_parameter_shares_memory_assigned_as_its_data():
    weight, other = nn.Parameter(on_device(2)), on_device(2) * 3
    weight.data = other
    assert weight.tolist() == [3, 3] and weight.requires_grad
    weight.data.add_(1)
    assert weight.tolist() == other.tolist() == [4, 4]
    with pytest.raises(RuntimeError, match="incompatible tensor type"):
        weight.data = torch.ones(2)


def test_the_number_of_devices_can_be_set(two_devices):
    first, second = (torch.ones(2, device=f"cuda:{index}") for index in (0, 1))
    with pytest.raises(RuntimeError, match="found at least two devices, cuda:0 and cuda:1"):
        first + second
    assert second.to("cuda:0").device == first.device
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.ones(2, device="cuda:2")
    with torch.cuda.device(1):
        assert torch.ones(2, device=CUDA).device == second.device


def test_a_module_that_moves_keeps_its_parameters():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    module = nn.Sequential(first, second)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    weight, before = first.weight, first.weight.detach().clone()
    module.to(CUDA)(on_device(1, 3)).sum().backward()
    optimizer.step()
    assert weight is first.weight is second.weight
    assert weight.is_cuda and isinstance(weight, nn.Parameter)
    module.load_state_dict(module.state_dict())
    assert not torch.equal(module.cpu()[0].weight, before) and weight is first.weight


def test_a_device_network_can_be_copied_to_meta():
    module = nn.Linear(3, 2).to(CUDA)
    assert copy.deepcopy(module).to("meta")(torch.ones(4, 3, device="meta")).shape == (4, 2)
    assert module.weight.is_cuda


def test_threads_have_the_device_too():
    x = on_device(3, requires_grad=True)

    def work(_):
        y = torch.rand(3, device=CUDA) * x
        return torch.autograd.grad(y.sum(), x)[0].is_cuda

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(work, range(4)))


# ---- waits


WAITING = {
    "item": lambda x: x.sum().item(),
    "if": lambda x: bool(x.sum() > 0),
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "a mask as an index": lambda x: x[x > 0],
    "an index on the host": lambda x: x[torch.tensor([0])],
    "nonzero": lambda x: x.nonzero(),
    "unique": lambda x: x.unique(),
    "equal": lambda x: torch.equal(x, x),
    "multinomial": lambda x: x.multinomial(1),
    "repeat_interleave": lambda x: x.repeat_interleave(x.long()),
    "svd": lambda x: torch.linalg.svdvals(x[None]),
    "a number to the device": lambda x: torch.tensor(1.0, device=x.device),
    "a copy to the device": lambda x: torch.ones(3).to(x.device),
    "a copy into an array": lambda x: x.copy_(torch.ones(3)),
    "pinned, but not asynchronous": lambda x: torch.ones(3).pin_memory().to(x.device),
    "synchronize": lambda x: torch.cuda.synchronize(),
    "a stream": lambda x: torch.cuda.current_stream().synchronize(),
}


@pytest.mark.parametrize("wait", WAITING.values(), ids=WAITING)
def test_waits_are_listed_and_raise_when_asked_for(wait):
    x = on_device(3)
    with waits() as found:
        wait(x)
    assert len(found) == 1 and "test_pretended_gpu_rules.py:" in found[0], found
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="called a synchronizing CUDA operation"):
            wait(x)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    with pytest.warns(UserWarning, match="called a synchronizing CUDA operation"):
        torch.cuda.set_sync_debug_mode("warn")
        try:
            wait(x)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_what_stays_on_the_device_waits_for_nothing(strict):
    x = on_device(3, requires_grad=True)
    with waits() as found:
        y = torch.where(x > 0, x, 0.0)[torch.arange(2, device=CUDA)].softmax(0)
        (y * torch.rand(2, device=CUDA)).sum().backward()
        F.dropout(x, 0.5).clamp(max=1).masked_fill(x > 0, 0.0)
        x.detach().multinomial(4, replacement=True)
        whole = x.detach().long()
        whole.repeat_interleave(whole, output_size=3)
    assert found == []


def test_a_wait_in_rnnlm_is_named_by_line():
    with waits() as found:
        arrays.as_numpy(on_device(3))
        arrays.as_numpy(on_device(4))
    (note,) = found  # each place once
    place, number, what = note.split(":")
    line = Path(arrays.__file__).read_text(encoding="utf-8").splitlines()[int(number) - 1]
    assert (place, what) == ("rnnlm/arrays.py", " copy to the host") and ".cpu()" in line


def test_copies_wait_only_for_pageable_memory(strict):
    host, place = torch.ones(3), on_device(3)
    with waits() as found:
        assert not host.is_pinned() and host.pin_memory()[1:].is_pinned()
        host.pin_memory().to(CUDA, non_blocking=True)
        torch.empty(3, pin_memory=True).copy_(place, non_blocking=True)
        place.to("cpu", non_blocking=True)
        assert found == []
        host.to(CUDA, non_blocking=True)
        torch.empty(3).copy_(place, non_blocking=True)
    what = [note.partition(": ")[2] for note in found]
    assert what == ["copy from pageable memory", "copy to pageable memory"]


def test_freed_pinned_memory_becomes_pageable_again():
    for _ in range(20):
        torch.empty(1000).pin_memory()
    assert not any(torch.empty(1000).is_pinned() for _ in range(20))


def test_an_event_of_another_device_is_noticed(two_devices):
    source, host = torch.ones(2, device="cuda:1"), torch.empty(2, pin_memory=True)
    with faults() as found:
        host.copy_(source, non_blocking=True)
        torch.cuda.Event().record()
    assert len(found) == 1 and "an event on cuda:0 does not wait for a copy from cuda:1" in found[0]
    torch.cuda.synchronize("cuda:1")
    with faults() as found:
        host.copy_(source, non_blocking=True)
        torch.cuda.Event().record(torch.cuda.current_stream("cuda:1"))
        torch.cuda.Event().record()
        with torch.cuda.device(1):
            host.copy_(source, non_blocking=True)
            torch.cuda.Event().record()
    assert found == []


# ---- random numbers


def test_device_and_host_draw_independently():
    torch.manual_seed(3)
    first = torch.rand(3, device=CUDA), torch.rand(3)
    torch.manual_seed(3)
    torch.rand(5)
    assert torch.equal(torch.rand(3, device=CUDA).cpu(), first[0].cpu())
    torch.manual_seed(3)
    torch.rand(5, device=CUDA)
    assert torch.equal(torch.rand(3), first[1])


def test_the_generator_state_can_be_restored():
    before = torch.cuda.get_rng_state()
    first = torch.rand(3, device=CUDA).tolist()
    with torch.random.fork_rng([torch.device("cuda", 0)]):
        torch.rand(7, device=CUDA)
    second = torch.rand(3, device=CUDA).tolist()
    torch.cuda.set_rng_state(before)
    assert [torch.rand(3, device=CUDA).tolist() for _ in range(2)] == [first, second]


# ---- what CUDA computes only at random


@pytest.mark.parametrize(
    "compute",
    [lambda x: x.cumsum(0), lambda x: x.median(0), lambda x: x.kthvalue(1), lambda x: x.histc(3)],
    ids=["cumsum", "median", "kthvalue", "histc"],
)
def test_nondeterministic_operations_raise_on_request(deterministic, compute):
    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        compute(on_device(3))
    torch.use_deterministic_algorithms(False)
    compute(on_device(3))


def test_whole_numbers_are_summed_deterministically(deterministic):
    assert on_device(3).long().cumsum(0).tolist() == [1, 2, 3]


def test_deterministic_products_need_a_configured_workspace(deterministic, monkeypatch):
    assert (on_device(2, 2) @ on_device(2, 2)).tolist() == [[2, 2], [2, 2]]
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with pytest.raises(RuntimeError, match="CUBLAS_WORKSPACE_CONFIG"):
        on_device(2, 2) @ on_device(2, 2)


# ---- CUDA graphs


def captured(run):
    """Capture a graph of `run`. Return it, and what `run` returned during the capture."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()
    return graph, found


def test_what_is_captured_does_not_run():
    total = torch.zeros(2, device=CUDA)
    graph, found = captured(lambda: total.add_(1) * 2)
    assert total.tolist() == [0, 0]
    assert all(each != each for each in found.tolist()), "no number, before the first replay"
    graph.replay()
    assert total.tolist() == [1, 1] and found.tolist() == [2, 2]


def test_a_replay_reads_and_writes_the_same_arrays():
    x = on_device(2)
    graph, found = captured(lambda: (x[1:] * 3).sum())
    for number in (1.0, 5.0):
        x.fill_(number)
        graph.replay()
        assert found.item() == 3 * number


def test_a_replay_ignores_arrays_swapped_in_later():
    places = {"x": on_device(1)}
    graph, found = captured(lambda: places["x"] * 2)
    places["x"] = on_device(1) * 10
    graph.replay()
    assert found.item() == 2


def test_only_replays_draw_new_random_numbers():
    before = torch.cuda.get_rng_state()
    graph, found = captured(lambda: torch.rand(3, device=CUDA))
    assert torch.equal(torch.cuda.get_rng_state(), before)
    drawn = []
    for _ in range(3):
        graph.replay()
        drawn.append(tuple(found.tolist()))
    assert len(set(drawn)) == 3


def test_a_whole_training_step_can_be_replayed():
    torch.manual_seed(1)
    start = nn.Linear(3, 2, device=CUDA)
    x = torch.randn(4, 3, device=CUDA)
    found = []
    for is_captured in (False, True):
        module = copy.deepcopy(start)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)

        def step(module=module, optimizer=optimizer):
            optimizer.zero_grad()
            module(x).square().mean().backward()
            optimizer.step()

        step()
        run = captured(step)[0].replay if is_captured else step
        for _ in range(3):
            run()
        found.append(module.weight.detach().cpu())
    assert torch.equal(*found) and not torch.equal(found[0], start.weight.cpu())


@pytest.mark.parametrize(
    "wait",
    [lambda x: x.sum().item(), lambda x: torch.ones(3).to(CUDA), lambda x: x[x > 0]],
    ids=["item", "copy", "mask"],
)
def test_a_wait_cannot_be_captured(wait):
    x = on_device(3)
    with pytest.raises(RuntimeError, match="operation not permitted when stream is capturing"):
        captured(lambda: wait(x))
    assert not torch.cuda.is_current_stream_capturing()


# ---- cuDNN's layers


def cudnn_lstm(module, x, **changes):
    """Run `module` over x, called as nn.LSTM calls torch.lstm."""
    zeros = torch.zeros(1, x.shape[1], module.hidden_size, device=CUDA)
    weights = changes.get("weights", module._flat_weights)
    states, is_training = changes.get("states", (zeros, zeros)), changes.get("is_training", True)
    return torch.lstm(x, states, weights, True, 1, 0.0, is_training, False, False)


@pytest.fixture
def lstm():
    torch.manual_seed(2)
    return nn.LSTM(3, 4).to(CUDA)


@pytest.fixture
def x_TBE():
    return torch.randn(5, 2, 3, device=CUDA, requires_grad=True)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_torch_layers_and_gradients_match_the_cpu(kind):
    torch.manual_seed(2)
    host = kind(3, 4, num_layers=2)
    device = copy.deepcopy(host).to(CUDA)
    x_TBE = torch.randn(5, 2, 3)
    for module, x in ((host, x_TBE), (device, x_TBE.to(CUDA))):
        module(x)[0].square().sum().backward()
    for one, other in zip(host.parameters(), device.parameters(), strict=True):
        torch.testing.assert_close(other.grad.cpu(), one.grad)


def test_only_weights_that_are_not_flat_warn(lstm, x_TBE):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cudnn_lstm(lstm, x_TBE)
    with pytest.warns(UserWarning, match="not part of single contiguous chunk"):
        cudnn_lstm(lstm, x_TBE, weights=[weight.clone() for weight in lstm._flat_weights])


def test_autocast_to_fp16_is_reported_as_a_fault(lstm, x_TBE):
    with faults() as found, torch.autocast(CUDA, dtype=torch.bfloat16):
        y, *_ = cudnn_lstm(lstm, x_TBE)
    assert y.dtype == torch.float16 and len(found) == 1 and "fp16" in found[0]
    with faults() as found:
        assert cudnn_lstm(lstm, x_TBE)[0].dtype == torch.float32
    assert found == []


def test_cudnn_has_conditions(lstm, x_TBE):
    with pytest.raises(RuntimeError, match="several types"):
        cudnn_lstm(lstm, x_TBE.double())
    with pytest.raises(RuntimeError, match="not at the same device"):
        cudnn_lstm(lstm, x_TBE, states=(torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)))
    cells = torch.zeros(1, 4, 2, device=CUDA).transpose(1, 2)
    with pytest.raises(RuntimeError, match="not contiguous"):
        cudnn_lstm(lstm, x_TBE, states=(cells, cells))


def test_cudnn_lacks_evaluation_gradients_and_second_derivatives(lstm, x_TBE):
    y, *_ = cudnn_lstm(lstm, x_TBE, is_training=False)
    with pytest.raises(RuntimeError, match="only be called in training mode"):
        y.sum().backward()
    loss = cudnn_lstm(lstm, x_TBE)[0].square().sum()
    (gradient,) = torch.autograd.grad(loss, x_TBE, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_layer_of_cudnn_can_be_captured(lstm, x_TBE):
    graph, found = captured(lambda: cudnn_lstm(lstm, x_TBE)[0])
    with torch.no_grad():
        x_TBE.mul_(2)
    graph.replay()
    torch.testing.assert_close(found.cpu(), cudnn_lstm(lstm, x_TBE)[0].cpu())


def test_a_torch_cell_matches_the_cpu():
    torch.manual_seed(2)
    host = nn.LSTMCell(3, 4)
    x_BE, h_BH, c_BH = torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4)
    expected = host(x_BE, (h_BH, c_BH))
    found = copy.deepcopy(host).to(CUDA)(x_BE.to(CUDA), (h_BH.to(CUDA), c_BH.to(CUDA)))
    torch.testing.assert_close([each.cpu() for each in found], list(expected))


def test_packed_sequences_are_those_of_the_cpu(lstm):
    x_TBE, lengths_B = torch.randn(5, 3, 3), torch.tensor([2, 5, 1])
    found = []
    for module, x in ((copy.deepcopy(lstm).cpu(), x_TBE), (lstm, x_TBE.to(CUDA))):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths_B, enforce_sorted=False)
        y_TBH, _ = nn.utils.rnn.pad_packed_sequence(module(packed)[0])
        y_TBH.square().sum().backward()
        found.append((y_TBH.detach().cpu(), module.weight_ih_l0.grad.cpu()))
    torch.testing.assert_close(*found)


# ---- other functions


def test_a_profile_of_kernels_is_empty():
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        on_device(3) + 1
    devices = {event.device_type for event in profile.events()}
    assert torch.autograd.DeviceType.CUDA not in devices


def test_streams_and_events_are_known(two_devices):
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        assert torch.cuda.current_stream() is side
    assert torch.cuda.current_stream() is not side
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    end.record()
    assert begin.elapsed_time(end) > 0 and end.query()
