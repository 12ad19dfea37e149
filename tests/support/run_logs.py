"""Logs of runs, event by event."""

import json

STARTED = {"event": "started", "model": "lstm", "train_tokens": 1000}


def validated(step, ppl, **more):
    return {
        "event": "validated", "step": step, "epoch": step / 10, "ppl_token": ppl,
        "seconds": step / 2, **more,
    }  # fmt: skip


def loss(step, nats, **more):
    return {
        "event": "step", "step": step, "epoch": step / 10, "tokens": 95 * step, "seconds": step / 2,
        "loss_nats": nats, **more,
    }  # fmt: skip


def logged(folder, *events):
    """Make the folder of a run with these events, and return it."""
    folder.mkdir(parents=True)
    lines = "".join(f"{json.dumps(event)}\n" for event in events)
    (folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
    return folder
