"""100,000 requests leave memory as it was; a greedy client does not starve others."""

import http.client
import json
import random
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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
    return "POST", "/score", {"model": "demo", "sentences": [draw.choice(LONGEST)[:300]]}, 200


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
    with ThreadPoolExecutor(CLIENTS) as pool:
        for place in range(CLIENTS):
            given = server, count // CLIENTS, seed + place, asked, failures
            pool.submit(ask_again_and_again, *given)
    return failures


def kilobytes(server, what):
    """Return a size in the process's status; RssAnon belongs to it alone, without mapped files."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(what)]
    return int(line.split()[1])


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_stays_over_many_requests(tmp_path):
    tiny_models.save(tmp_path / "kn", tiny_models.fit("ngram", LINES[:2000]), "ngram")
    with serving("-m", tmp_path / "kn", "-m", "demo") as server:
        assert all_asked(server, HEAVY, seed=1, asked=asked_of_network) == []
        assert all_asked(server, WARM - HEAVY, seed=50) == []
        before = kilobytes(server, "RssAnon")
        held = []
        for part in range(4):
            assert all_asked(server, REQUESTS // 4, seed=100 * (part + 2)) == []
            held.append(kilobytes(server, "RssAnon"))
            print(f"kilobytes: {before} after {WARM} requests, then {held}", flush=True)
        assert held[-1] < before * (1 + MOST_GROWTH), (before, held)


# ---- Requests that nobody waits for, and greedy clients.

PEAK_MEGABYTES = 700  # of a server of the shipped model, whatever it is asked for
LINE = "the dog barked at the old man and "
LARGE = {
    "a long line": ("/score", {"sentences": [LINE * 1400]}),
    "many lines": ("/score", {"sentences": [LINE * 10] * 256}),
    "context": ("/score", {"sentences": ["dog"] * 256, "given": LINE * 11}),
    "likely words": ("/score", {"sentences": [LINE * 200], "next_words": 100}),
    "texts": ("/generate", {"num": 16, "max_tokens": 1000, "running": True, "stream": False}),
    "a long prompt": ("/generate", {"prompt": LINE * 1400, "num": 16, "stream": False}),
    "gates": ("/inspect", {"what": "gates", "text": LINE * 60}),
}
GREEDY = {**LARGE, "short scores": ("/score", {"sentences": [LINE] * 60})}
TIMED_OUT = 200
GREEDY_AT_ONCE = 16
MOST_MEDIAN = 0.2  # seconds, of /next beside requests that have timed out
MOST_TIMES = 3.0  # what a client waits beside a greedy one, and alone
SLACK = 0.02  # seconds: another process has the processor


def post(server, path, body, address="127.0.0.1", seconds=120):
    """Ask from an address of this machine; return the status, and how long it took."""
    connection = http.client.HTTPConnection(
        server.host, server.port, timeout=seconds, source_address=(address, 0)
    )
    began = time.monotonic()
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - began
    finally:
        connection.close()


def median_of(server, count, path, body, address):
    """Return the median time of answers to the same request, one after the other."""
    times = []
    for _ in range(count):
        status, seconds = post(server, path, body, address)
        assert status == 200
        times.append(seconds)
    return statistics.median(times)


@pytest.mark.soak
def test_requests_that_timed_out_leave_the_server_free():
    with serving("-m", "demo", "--answer-seconds", 1, OMP_NUM_THREADS="1") as server:
        median_of(server, 5, "/next", {"text": "the ", "n": 3}, "127.0.0.1")
        with ThreadPoolExecutor(GREEDY_AT_ONCE) as pool:
            bodies = list(LARGE.values()) * (TIMED_OUT // len(LARGE) + 1)
            asked = [pool.submit(post, server, *body) for body in bodies[:TIMED_OUT]]
            times = []
            while not all(each.done() for each in asked):
                status, seconds = post(server, "/next", {"text": "the ", "n": 3})
                assert status == 200
                times.append(seconds)
            statuses = [each.result()[0] for each in asked]
        assert set(statuses) <= {200, 429, 503} and statuses.count(503) > TIMED_OUT / 4
        median, peak_megabytes = statistics.median(times), kilobytes(server, "VmHWM") // 1024
        print(f"/next: {len(times)}, median {median:.3f} s; {peak_megabytes} MB")
        assert median < MOST_MEDIAN
        assert peak_megabytes < PEAK_MEGABYTES


@contextmanager
def greedy_client(server, path, body):
    """Ask for as much as possible from an address of its own."""
    is_over = threading.Event()

    def ask():
        while not is_over.is_set():
            try:
                post(server, path, body, "127.0.0.2")
            except OSError:
                time.sleep(0.01)

    with ThreadPoolExecutor(GREEDY_AT_ONCE) as pool:
        for _ in range(GREEDY_AT_ONCE):
            pool.submit(ask)
        time.sleep(2)
        try:
            yield
        finally:
            is_over.set()


@pytest.mark.soak
def test_a_greedy_client_starves_no_other():
    # What others ask for takes some time alone, so that a busy processor is no excuse.
    own = {
        "/score": {"sentences": [LINE * 15] * 8},
        "/generate": {"max_tokens": 30, "running": True, "stream": False},
    }
    with serving("-m", "demo", "--answer-seconds", 20, OMP_NUM_THREADS="1") as server:
        alone = {path: median_of(server, 7, path, own[path], "127.0.0.3") for path in own}
        slow = {}
        for name, (path, body) in GREEDY.items():
            with greedy_client(server, path, body):
                for mine, asked in own.items():
                    beside = median_of(server, 7, mine, asked, "127.0.0.3")
                    print(f"{mine} beside {name}: {beside:.3f} s, alone {alone[mine]:.3f} s")
                    if beside > MOST_TIMES * alone[mine] + SLACK:
                        slow[mine, name] = beside / alone[mine]
        assert slow == {}


@pytest.mark.soak
def test_idle_connections_keep_out_nobody():
    with serving("-m", "demo") as server, ExitStack() as stack:
        for _ in range(600):
            client = socket.create_connection(
                (server.host, server.port), source_address=("127.0.0.2", 0)
            )
            stack.enter_context(client)
        for _ in range(20):
            assert post(server, "/next", {"text": "the "}, "127.0.0.3")[0] == 200
