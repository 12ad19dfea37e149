"""`rnnlm serve` as a process, or several: how it starts, what signals and dead processes do, who may
ask, and how long a connection may keep it waiting."""

import http.client
import json
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from support import tiny_models
from support.served_processes import exchanged, serving

TOKEN = "a-token-of-some-length"
WORKERS = ("--workers", "2")
ENDED_BY_TERM = 128 + signal.SIGTERM
END_SECONDS = 5.0
SLACK_SECONDS = 2.0  # on a busy machine


@pytest.fixture(scope="module")
def ngrams(tmp_path_factory):
    """Save an n-gram model, which needs no torch; return its options."""
    folder = tmp_path_factory.mktemp("served") / "kn"
    tiny_models.save(folder, tiny_models.fit("ngram"), "ngram")
    return "-m", folder


def score(server, seconds=10.0, **headers):
    """Score a sentence; return the status."""
    asked = {"sentences": ["the cat sat"]}
    return server.request("POST", "/score", asked, headers, seconds)[0]


def workers_of(server):
    """Return the processes that the server has started."""
    tasks = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    return sorted(int(pid) for task in tasks for pid in task.read_text().split())


def waits_for(condition, seconds=30.0):
    """Return whether a condition comes to hold."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def is_running(pid):
    """Return whether a process runs: one that has ended, and nobody has asked about, does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


# ---- Signals.


def streamed(server, **asked):
    """Ask for a text event by event; return the answer once it has begun."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    kind = {"Content-Type": "application/json"}
    connection.request("POST", "/generate", json.dumps(asked), kind)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.readline().startswith(b"data: ")
    return answer


@pytest.mark.parametrize("processes", [(), WORKERS], ids=["one", "two"])
def test_a_signal_lets_running_answers_end(ngrams, processes):
    with serving(*ngrams, *processes) as server:
        answer = streamed(server, max_tokens=300, running=True)
        server.process.send_signal(signal.SIGTERM)
        lines = answer.read().decode().rstrip().splitlines()
        assert len(lines) > 10  # it was not over when the signal came
        assert '"done":true' in lines[-1]
        assert server.process.wait(30) == ENDED_BY_TERM
        assert workers_of(server) == []


@pytest.mark.parametrize("processes", [(), WORKERS], ids=["one", "two"])
def test_a_signal_waits_for_nobody_forever(ngrams, processes):
    with serving(*ngrams, *processes, "--body-seconds", "60") as server:
        head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        idle = socket.create_connection((server.host, server.port))
        slow = socket.create_connection((server.host, server.port))
        slow.sendall(head + b"Content-Length: 100\r\n\r\n{")
        assert score(server) == 200  # both have been accepted by then
        code, seconds = server.end()
        assert code == ENDED_BY_TERM
        assert seconds < END_SECONDS + SLACK_SECONDS
        for client in (idle, slow):
            client.settimeout(5)
            assert b"HTTP/1.1 200" not in client.recv(4096)
            client.close()


@pytest.mark.parametrize(
    "processes", [(), pytest.param(WORKERS, marks=pytest.mark.soak)], ids=["one", "two"]
)
def test_long_answers_are_given_up_finally(processes):
    # The shipped network: a thread that computes in torch is in the way of an orderly end.
    endless = {"max_tokens": 10**9, "n": 16, "running": True, "stream": False}
    # It may compute for so long; several processes, as long as everywhere.
    grace = None if processes else {"rnnlm.serving.running.GRACE_SECONDS": 0.5}
    with serving("-m", "demo", *processes, "--max-tokens", 10**9, constants=grace) as server:
        answers = []

        def ask():
            answers.append(server.request("POST", "/generate", endless, seconds=30))

        asking = [threading.Thread(target=ask) for _ in range(2)]
        for thread in asking:
            thread.start()
        time.sleep(0.5)
        code, seconds = server.end()
        for thread in asking:
            thread.join()
        assert len(answers) == 2
        for status, headers, error in answers:
            assert (status, headers["retry-after"]) == (503, "1")
            assert error["error"]["what"] == "the server ends"
        assert code == ENDED_BY_TERM
        assert seconds < (END_SECONDS if processes else 2.0) + SLACK_SECONDS


def test_ctrl_c_ends_the_server(ngrams):
    with serving(*ngrams, *WORKERS) as server:
        assert server.end(signal.SIGINT)[0] == 128 + signal.SIGINT


# ---- Processes that die.


class Load:
    """Clients that ask again and again until the context ends. statuses, failures: what came of
    it; longest: the seconds that the slowest request took."""

    def __init__(self, server, clients):
        self.server = server
        self.statuses, self.failures, self.longest = [], [], 0.0
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]

    def ask(self):
        while not self.is_over.is_set():
            began = time.monotonic()
            try:
                self.statuses.append(score(self.server, seconds=20.0))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)
            self.longest = max(self.longest, time.monotonic() - began)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.is_over.set()
        for thread in self.threads:
            thread.join()


def test_a_killed_process_comes_back_under_load(ngrams):
    with serving(*ngrams, *WORKERS) as server:
        before = workers_of(server)
        assert len(before) == 2
        with Load(server, clients=4) as load:
            assert waits_for(lambda: len(load.statuses) > 50)
            os.kill(before[0], signal.SIGKILL)
            asked = len(load.statuses)
            assert waits_for(lambda: len(load.statuses) > asked + 50)
            assert waits_for(lambda: len(set(workers_of(server)) - {before[0]}) == 2)
            time.sleep(0.3)
        # The other one answers meanwhile: at most what the dead one was at is lost, at once.
        assert set(load.statuses) == {200}
        assert len(load.failures) <= 4
        assert not [error for error in load.failures if isinstance(error, TimeoutError)]
        assert load.longest < 10.0
        assert before[1] in workers_of(server)
        assert any("ended by SIGKILL; another one starts" in line for line in server.log)


def test_all_processes_killed_lose_no_waiting_connection(ngrams):
    with serving(*ngrams, *WORKERS) as server:
        before = workers_of(server)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert waits_for(lambda: not any(map(is_running, before)))
        assert score(server, seconds=30.0) == 200  # it waits for a new one


def test_a_process_that_cannot_come_back_says_why(tmp_path):
    folder = tmp_path / "kn"
    tiny_models.save(folder, tiny_models.fit("ngram"), "ngram")
    with serving("-m", folder, *WORKERS) as server:
        shutil.move(folder, tmp_path / "elsewhere")
        first, second = workers_of(server)
        os.kill(first, signal.SIGKILL)
        assert waits_for(lambda: any("has ended: no model at" in line for line in server.log))
        assert second in workers_of(server)
        assert score(server) == 200
        shutil.move(tmp_path / "elsewhere", folder)
        assert waits_for(lambda: len(workers_of(server)) == 2)


def test_processes_end_with_the_one_that_started_them(ngrams):
    with serving(*ngrams, *WORKERS) as server:
        workers = workers_of(server)
        server.process.kill()
        server.process.wait()
        assert waits_for(lambda: not any(map(is_running, workers)))


def test_processes_that_cannot_start_say_why(rnnlm, tmp_path):
    alone = rnnlm("serve", "-m", str(tmp_path / "none"), "--port", "0")
    several = rnnlm("serve", "-m", str(tmp_path / "none"), "--port", "0", *WORKERS)
    assert (several.code, several.errors) == (alone.code, alone.errors)
    assert several.code != 0


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_processes_share_the_tables_of_ngram_models(ngrams):
    _, folder = ngrams
    with serving(*ngrams, *WORKERS) as server:
        for pid in workers_of(server):
            assert str(folder) in Path(f"/proc/{pid}/maps").read_text()


# ---- Who may ask.


def test_a_server_for_others_asks_for_a_token(rnnlm, ngrams, tmp_path):
    refused = rnnlm("serve", *map(str, ngrams), "--host", "0.0.0.0", "--port", "0")
    assert refused.code == 2
    assert "no token is asked of them" in refused.errors[0]
    assert "--no-auth" in refused.errors[-1]

    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    options = ("--host", "0.0.0.0", "--token-file", file, *WORKERS)
    with serving(*ngrams, *options) as server:
        server.host = "127.0.0.1"
        assert score(server) == 401
        assert score(server, Authorization=f"Bearer {TOKEN}") == 200
        assert score(server, Authorization=f"Bearer {TOKEN}", Host="attacker.example") == 421
        assert server.request("GET", "/health")[0] == 200
        commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in workers_of(server)]
        assert TOKEN not in "".join(commands)
        assert TOKEN not in "".join(server.log)


def test_the_token_of_the_environment_is_asked_for(ngrams):
    with serving(*ngrams, RNNLM_TOKEN=TOKEN) as server:
        assert score(server) == 401
        assert score(server, Authorization=f"Bearer {TOKEN}") == 200


def test_no_auth_lets_everybody_in(ngrams):
    with serving(*ngrams, "--host", "0.0.0.0", "--no-auth") as server:
        server.host = "127.0.0.1"
        assert score(server) == 200


@pytest.mark.parametrize("token", ["", "short", "with spaces in between them", "\xe4" * 20])
def test_tokens_that_are_none_are_refused(rnnlm, ngrams, tmp_path, token):
    file = tmp_path / "token"
    file.write_text(token)
    options = ("--port", "0", "--token-file", str(file))
    refused = rnnlm("serve", *map(str, ngrams), *options)
    assert refused.code == 2
    assert str(file) in refused.errors[0]


def test_an_address_in_use_is_said_at_once(rnnlm):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = rnnlm("serve", "-m", "demo", "--port", str(port))
    assert refused.code == 2
    assert f"cannot listen at 127.0.0.1, port {port}" in refused.errors[0]
    assert "--port 0" in refused.errors[-1]


# ---- Connections.


def test_connections_have_a_limit(ngrams):
    with serving(*ngrams, "--max-connections", "3") as server:
        address = (server.host, server.port)
        clients = [socket.create_connection(address) for _ in range(3)]
        # The limit holds once the server has seen them.
        assert waits_for(lambda: refused_by(server))
        answer = refused_by(server)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 1" in answer
        for client in clients:
            client.close()
        assert waits_for(lambda: not refused_by(server))
        assert score(server) == 200


def refused_by(server):
    """Return what a new connection is sent although it has asked for nothing."""
    with socket.create_connection((server.host, server.port), timeout=0.2) as client:
        try:
            return client.recv(4096)
        except TimeoutError:
            return b""


def test_connections_that_wait_are_closed(ngrams):
    with serving(*ngrams, "--body-seconds", "0.5") as server:
        began = time.monotonic()
        assert exchanged(server, [], seconds=20) == b""
        late = exchanged(server, [b"GET /health HTTP/1.1\r\nHost: local"], seconds=20)
        assert late.startswith(b"HTTP/1.1 408")
        answered = exchanged(
            server, [b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he"], seconds=20
        )
        assert answered.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 408" in answered
        assert time.monotonic() - began < 15


def test_many_requests_go_over_one_connection(ngrams):
    with serving(*ngrams, "--body-seconds", "0.5") as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
        until = time.monotonic() + 3  # longer than a connection may wait
        while time.monotonic() < until:
            connection.request("GET", "/health")
            kept = connection.sock
            assert connection.getresponse().read()
            time.sleep(0.1)
            assert connection.sock is kept
        connection.close()
