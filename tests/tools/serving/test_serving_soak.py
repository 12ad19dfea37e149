"""A server that has answered 100,000 requests holds the memory that it held after the first ones."""

import http.client
import json
import random
import threading
from pathlib import Path

import pytest

from rnnlm import corpora
from support import tiny_models
from support.served_processes import serving

pytestmark = pytest.mark.processes

REQUESTS = 100_000
WARM = 20_000  # more, until everything is loaded and every cache is full
HEAVY = 1_600  # of these, so that the largest batches have been seen: what they took is kept
MOST_GROWTH = 0.05
CLIENTS = 16
ONE_CONNECTION = 50  # requests, before a client takes another one
LINES = corpora.part("english", "test").read_text(encoding="utf-8").split("\n")
LONGEST = sorted(LINES, key=len)[-50:]


def asked(draw):
    """Draw a request: method, path, body and the status that it is answered with."""
    line = draw.choice(LINES)[:300]
    kind = draw.random()
    if kind < 0.80:
        return "POST", "/score", {"model": "kn", "sentences": [line], "words": kind < 0.1}, 200
    if kind < 0.88:
        return "POST", "/score", {"model": "demo", "sentences": [line]}, 200
    if kind < 0.91:
        return "POST", "/next", {"model": "kn", "text": line, "n": 5}, 200
    if kind < 0.93:
        asking = {"model": "kn", "prompt": "the", "max_tokens": 5, "seed": draw.randrange(10**6)}
        return "POST", "/generate", asking, 200
    if kind < 0.95:
        return "GET", draw.choice(["/models", "/health"]), None, 200
    if kind < 0.97:
        return "POST", "/score", {"model": f"none{draw.random()}", "sentences": [line]}, 404
    if kind < 0.99:
        return "GET", f"/{draw.random()}", None, 404
    return "POST", "/score", {"sentences": line}, 422


def asked_of_network(draw):
    """Draw a request that takes as much memory as any."""
    line = draw.choice(LONGEST)[:300]
    return "POST", "/score", {"model": "demo", "sentences": [line]}, 200


def ask_again_and_again(server, count, seed, asked, failures):
    """Ask so many times; collect answers of another status."""
    draw = random.Random(seed)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    try:
        for number in range(count):
            if number % ONE_CONNECTION == 0:
                connection.close()
            method, path, body, expected = asked(draw)
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != expected:
                failures.append((path, body, answer.status, content[:200]))
    except (OSError, http.client.HTTPException) as error:
        failures.append(repr(error))
    finally:
        connection.close()


def all_asked(server, count, seed, asked=asked):
    """Ask so many times, by several clients at once; return what went wrong."""
    failures = []
    share = count // CLIENTS
    clients = [
        threading.Thread(
            target=ask_again_and_again, args=(server, share, seed + place, asked, failures)
        )
        for place in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return failures


def held_kilobytes(server):
    """Return the memory that belongs to the process alone: without mapped files."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1])


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_stays_over_many_requests(tmp_path):
    tiny_models.save(tmp_path / "kn", tiny_models.fit("ngram", LINES[:2000]), "ngram")
    with serving("-m", tmp_path / "kn", "-m", "demo") as server:
        assert all_asked(server, HEAVY, seed=1, asked=asked_of_network) == []
        assert all_asked(server, WARM - HEAVY, seed=50) == []
        before = held_kilobytes(server)
        step = REQUESTS // 4
        held = []
        for part in range(4):
            assert all_asked(server, step, seed=100 * (part + 2)) == []
            held.append(held_kilobytes(server))
            print(f"kilobytes: {before} after {WARM} requests, then {held}", flush=True)
        assert held[-1] < before * (1 + MOST_GROWTH), (before, held)
