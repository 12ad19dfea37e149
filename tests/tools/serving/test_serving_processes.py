"""`rnnlm serve` as a process: how it starts and ends, and who may ask."""

import http.client
import json
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import tiny_models
from support.served_processes import serving

pytestmark = pytest.mark.processes

TOKEN = "a-token-of-some-length"
# The server sends itself a signal while it computes an answer, and computes on once it shuts down.
SIGNALLED_AT_WORK = """
import signal, threading
from uvicorn import Server
from rnnlm.tools.serving import running
from rnnlm.tools.serving.work import FairScheduler

def interrupted(self, job):
    if not is_ending.is_set():
        signal.raise_signal({number})
        is_ending.wait()
    interrupt(self, job)

def shut_down(self, sockets=None):
    is_ending.set()
    return shutdown(self, sockets)

is_ending, interrupt, shutdown = threading.Event(), FairScheduler._interrupt, Server.shutdown
FairScheduler._interrupt, Server.shutdown = interrupted, shut_down
running.GRACE_SECONDS = 600
"""


@pytest.fixture(scope="module")
def ngrams(tmp_path_factory):
    """Save an n-gram model, which needs no torch; return its options."""
    folder = tmp_path_factory.mktemp("served") / "kn"
    tiny_models.save(folder, tiny_models.fit("ngram"), "ngram")
    return "-m", folder


def score(server, seconds=10.0, **headers):
    """Score a sentence; return the status."""
    return server.request("POST", "/score", {"sentences": ["the cat sat"]}, headers, seconds)[0]


# ---- Signals.


def streamed(server, headers=(), **asked):
    """Ask for a text event by event; return the answer once it has begun."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=100)
    headers = {"Content-Type": "application/json", **dict(headers)}
    connection.request("POST", "/generate", json.dumps(asked), headers)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.readline().startswith(b"data: ")
    return answer


def test_a_signal_lets_running_answers_end(ngrams):
    with serving(*ngrams, first=SIGNALLED_AT_WORK.format(number=int(signal.SIGTERM))) as server:
        answer = streamed(server, max_tokens=300, running=True)
        assert '"done":true' in answer.read().decode().rstrip().splitlines()[-1]
        assert server.process.wait(100) == 0
    assert server.log[-1].endswith(" ended by SIGTERM")


@pytest.mark.system("signals")
def test_hup_lets_a_network_answer():
    # A thread that computes in torch would abort the process if the signal ended it at once.
    asked = {"max_tokens": 20, "running": True, "stream": False}
    with serving("-m", "demo", first=SIGNALLED_AT_WORK.format(number=int(signal.SIGHUP))) as server:
        assert server.request("POST", "/generate", asked, seconds=100)[0] == 200
        assert server.process.wait(100) == 0
    assert server.log[-1].endswith(" ended by SIGHUP")


def test_a_signal_waits_for_nobody_forever(ngrams):
    # It would wait longer for the body than this test for its end.
    limits = "from rnnlm.tools.serving import running, settings\n"
    limits += "settings.BODY_SECONDS = 600; running.GRACE_SECONDS = 0.1"
    with serving(*ngrams, first=limits) as server:
        head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        idle = socket.create_connection((server.host, server.port))
        slow = socket.create_connection((server.host, server.port))
        slow.sendall(head + b"Content-Length: 100\r\n\r\n{")
        assert score(server) == 200  # both have been accepted by then
        assert server.end() == 0
        for client in (idle, slow):
            client.settimeout(100)
            assert b"HTTP/1.1 200" not in client.recv(4096)
            client.close()


def test_long_answers_are_given_up_finally():
    # The shipped network: a thread that computes in torch is in the way of an orderly end.
    endless = {"max_tokens": 10**9, "num": 16, "running": True, "stream": False}
    impatient = "from rnnlm.tools.serving import running; running.GRACE_SECONDS = 0.1"
    with serving("-m", "demo", "--max-tokens", 10**9, first=impatient) as server:
        with ThreadPoolExecutor(2) as pool:
            asked = ["POST", "/generate", endless, None, 100]
            asking = [pool.submit(server.request, *asked) for _ in range(2)]
            while server.request("GET", "/ready", seconds=100)[2]["in_work"] < 2:
                time.sleep(0.01)
            code = server.end()
        for each in asking:
            status, headers, error = each.result()
            assert (status, headers["retry-after"]) == (503, "1")
            assert error["error"]["what"] == "the server is shutting down"
        assert code == 0


# ---- Loading anew.


def reload(server, line):
    """Send SIGUSR1, and wait until the log has a line with this."""
    seen = len(server.log)
    server.process.send_signal(signal.SIGUSR1)
    until = time.monotonic() + 100
    while time.monotonic() < until:
        if any(line in each for each in server.log[seen:]):
            return
        time.sleep(0.05)
    raise AssertionError(server.log)


@pytest.mark.system("signals")
def test_usr1_loads_models_and_tokens_anew(tmp_path):
    folder, file = tmp_path / "kn", tmp_path / "token"
    tiny_models.save(folder, tiny_models.fit("ngram"), "ngram")
    file.write_text(TOKEN)
    with serving("-m", folder, "--token-file", file) as server:
        before = server.request("GET", "/models", headers={"Authorization": f"Bearer {TOKEN}"})
        own = {"Authorization": f"Bearer {TOKEN}"}
        running = streamed(server, own, max_tokens=300, running=True)

        # Another model of the same name, and another token.
        shutil.rmtree(folder)
        tiny_models.save(folder, tiny_models.fit("unigram"), "unigram")
        file.write_text("another-" + TOKEN)
        reload(server, " loaded anew: kn, 1 token")
        assert score(server, Authorization=f"Bearer {TOKEN}") == 401
        headers = {"Authorization": f"Bearer another-{TOKEN}"}
        after = server.request("GET", "/models", headers=headers)
        assert after[2]["models"][0]["kind"] == "unigram" != before[2]["models"][0]["kind"]
        assert score(server, **headers) == 200
        assert '"done":true' in running.read().decode()  # with the model that it began with
        assert TOKEN not in "".join(server.log)

        # What cannot be loaded leaves the old models.
        (folder / "config.json").write_text("{")
        reload(server, " not loaded anew, so the old models stay: ")
        assert score(server, **headers) == 200
        assert server.end() == 0


# ---- Who may ask.


def test_a_server_for_others_asks_for_a_token(rnnlm, ngrams, tmp_path):
    refused = rnnlm("serve", *map(str, ngrams), "--host", "0.0.0.0", "--port", "0")
    assert refused.code == 2
    assert "is reachable from other machines, but no token is set" in refused.errors[0]
    assert "--no-auth" in refused.errors[-1]
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    options = ("--host", "0.0.0.0", "--token-file", file, "--allow-host", "models.example")
    with serving(*ngrams, *options) as server:
        server.host = "127.0.0.1"
        assert score(server) == 401
        assert score(server, Authorization=f"Bearer {TOKEN}") == 200
        assert score(server, Authorization=f"Bearer {TOKEN}", Host="attacker.example") == 400
        assert server.request("GET", "/health")[0] == 200
        assert TOKEN not in "".join(server.log)


def test_the_token_of_the_environment_is_asked_for(ngrams):
    with serving(*ngrams, RNNLM_TOKEN=TOKEN) as server:
        assert score(server) == 401
        assert score(server, Authorization=f"Bearer {TOKEN}") == 200
        assert server.end(signal.SIGINT) == 0
    assert "Traceback" not in "".join(server.log) and server.log[-1].endswith(" ended by SIGINT")


def test_no_auth_lets_everybody_in(ngrams):
    with serving(*ngrams, "--host", "0.0.0.0", "--no-auth") as server:
        server.host = "127.0.0.1"
        assert score(server) == 200


@pytest.mark.parametrize("token", ["", "short", "with spaces in between them", "\xe4" * 20])
def test_tokens_that_are_none_are_refused(rnnlm, ngrams, tmp_path, token):
    file = tmp_path / "token"
    file.write_text(token)
    refused = rnnlm("serve", *map(str, ngrams), "--port", "0", "--token-file", str(file))
    assert refused.code == 2 and str(file) in refused.errors[0]


def test_an_address_in_use_is_said_at_once(rnnlm):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = rnnlm("serve", "-m", "demo", "--port", str(port))
    assert refused.code == 2
    assert f"cannot listen at 127.0.0.1, port {port}" in refused.errors[0]
    assert "--port 0" in refused.errors[-1]
