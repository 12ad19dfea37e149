"""How much of its time a CUDA device works: the rest it waits for the host to launch the next kernel."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.autograd import DeviceType


def kernel_seconds(run: Callable[[], int], device: torch.device) -> float | None:
    """Seconds in which kernels and copies ran while `run` did; None where there is no CUDA, or nobody can look into it."""
    if device.type != "cuda":
        return None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize(device)
    return busy_seconds(profile.events()) or None


def busy_seconds(events: Iterable[Any]) -> float:
    """Seconds covered by the `events` (torch's, times in microseconds) of the device: where some overlap, once."""
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    )
    busy, until = 0.0, 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy / 1e6
