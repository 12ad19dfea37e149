"""How long a device worked: the time its kernels cover."""

from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from rnnlm.benchmarks.training import busy_seconds, kernel_seconds


def event(start, end, device=DeviceType.CUDA, is_user_annotation=False):
    return SimpleNamespace(
        time_range=SimpleNamespace(start=start, end=end),
        device_type=device,
        is_user_annotation=is_user_annotation,
    )


def test_overlapping_kernels_count_once_and_gaps_do_not():
    events = [event(500, 600), event(0, 100), event(50, 150), event(60, 70)]
    assert busy_seconds(events) == pytest.approx(250e-6)


def test_the_host_and_annotations_do_not_count():
    assert (
        busy_seconds([event(0, 100, DeviceType.CPU), event(0, 200, is_user_annotation=True)]) == 0
    )
    assert busy_seconds([]) == 0


def test_without_cuda_there_is_nothing_to_time():
    assert kernel_seconds(lambda: pytest.fail("not to be run"), torch.device("cpu")) is None
