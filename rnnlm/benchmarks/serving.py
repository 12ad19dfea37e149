"""How fast `rnnlm serve` answers on this machine, each number beside a reference of the same run.

Servers are processes; the clients are this one. All take turns on the same processors: ratios hold
even if the machine's speed drifts, single numbers do not.
"""

import contextlib
import itertools
import json
import os
import re
import selectors
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm.benchmarks.processes import last_words, run_rnnlm
from rnnlm.errors import RnnlmError
from rnnlm.interface import LanguageModel
from rnnlm.scoring.scorer import score_sentences
from rnnlm.system import python
from rnnlm.text.corpus import Text
from rnnlm.text.lines import no_text, split_words

WORDS = 10  # of a sentence
CLIENTS = 64
START_SECONDS, POLL_SECONDS = 120.0, 0.01
ANSWER_SECONDS = 60.0
NGRAM_LINES = 20_000  # that the n-gram model is trained on

# ---- What is measured.


@dataclass(frozen=True)
class ServingFigure:
    """A number of the server beside its reference, medians over the rounds. ratio: of the two,
    round by round."""

    what: str
    unit: str
    served: float
    reference: str
    beside: float
    ratio: float


def sentences_of(text: Text, count: int) -> list[str]:
    """Return sentences of ten words from a text, which is repeated where it is short."""
    words: list[str] = []
    for block in text.blocks():
        for line in block.lines:
            words += split_words(line)
        if len(words) >= count * WORDS:
            break
    if not words:
        raise no_text(text.sources)
    endless = itertools.cycle(words)
    return [" ".join(itertools.islice(endless, WORDS)) for _ in range(count)]


def bench_serving(
    name: str, model: LanguageModel, text: Text, requests: int, rounds: int
) -> Iterator[ServingFigure]:
    """Yield the numbers of a server of the model called `name`.

    model: the same one, for calls in this process. requests: of each round; the batch that is
    scored beside 64 clients has as many sentences.
    """
    sentences = sentences_of(text, requests)
    with tempfile.TemporaryDirectory() as folder:
        ngrams, lines = Path(folder) / "ngrams", Path(folder) / "sentences.txt"
        lines.write_text("\n".join(sentences) + "\n", encoding="utf-8")
        first = lines.with_name("sentence.txt")
        first.write_text(sentences[0] + "\n", encoding="utf-8")
        yield _start(name, first, rounds)
        with Served(name) as served:
            yield from _one_client(served, model, sentences, rounds)
            yield from _many_clients(served, name, sentences, (first, lines), rounds)
        _train_ngrams(text, ngrams)
        yield from _ngrams(str(ngrams), sentences, rounds)


def _start(name: str, first: Path, rounds: int) -> ServingFigure:
    """Measure the time from the start of the server to its first answer."""
    one = score_request(first.read_text(encoding="utf-8").strip())
    starts, commands = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        with Served(name) as served:
            load(served.address, [one], clients=1)
            starts.append(time.perf_counter() - began)
        commands.append(_command_seconds(name, first))
    return _figure("start to first answer", "s", starts, "rnnlm score, one sentence", commands)


def _one_client(
    served: "Server", model: LanguageModel, sentences: Sequence[str], rounds: int
) -> Iterator[ServingFigure]:
    """Measure how long one client waits, beside the call in this process."""
    requests = [score_request(sentence) for sentence in sentences]
    some = sentences[: max(1, len(sentences) // 4)]
    load(served.address, requests[:CLIENTS], clients=1)
    _calls(model, some[:CLIENTS])
    waits, calls, latest = [], [], []
    for _ in range(rounds):
        called = _calls(model, some)
        seconds = load(served.address, requests, clients=1).seconds
        calls.append(1000 * statistics.median(called))
        waits.append(1000 * statistics.median(seconds))
        latest.append(1000 * float(np.percentile(seconds, 99)))
    yield _figure("one client, median", "ms", waits, "call in process", calls)
    yield _figure("one client, 99 % within", "ms", latest, "its median", waits)


def _calls(model: LanguageModel, sentences: Sequence[str]) -> list[float]:
    """Score sentence by sentence in this process; return the seconds of each call."""
    seconds = []
    for sentence in sentences:
        began = time.perf_counter()
        score_sentences(model, [sentence])
        seconds.append(time.perf_counter() - began)
    return seconds


def _many_clients(
    served: "Server", name: str, sentences: Sequence[str], files: tuple[Path, Path], rounds: int
) -> Iterator[ServingFigure]:
    """Measure the sentences per second of 64 clients, beside those of the command, whose start does
    not count, and beside those of one client. files: with the first sentence, and with all."""
    requests = [score_request(sentence) for sentence in sentences]
    first, lines = files
    load(served.address, requests[: 4 * CLIENTS])
    speeds, commands, alone = [], [], []
    for _ in range(rounds):
        alone.append(load(served.address, requests[: len(requests) // 4], clients=1).per_second)
        speeds.append(load(served.address, requests).per_second)
        start, whole = _command_seconds(name, first), _command_seconds(name, lines)
        commands.append((len(sentences) - 1) / max(1e-9, whole - start))
    what = f"{CLIENTS} clients"
    yield _figure(what, "sentences/s", speeds, "rnnlm score --input", commands)
    yield _figure(what, "sentences/s", speeds, "one client", alone)


def _command_seconds(name: str, lines: Path) -> float:
    return run_rnnlm("score", "-m", name, "--input", str(lines), "--json").seconds


def _train_ngrams(text: Text, folder: Path) -> None:
    """Train a model of the text's first lines."""
    lines = folder.with_name("ngrams.txt")
    found: list[str] = []
    for block in text.blocks():
        found += block.lines
        if len(found) >= NGRAM_LINES:
            break
    lines.write_text("\n".join(found[:NGRAM_LINES]) + "\n", encoding="utf-8")
    run_rnnlm("train", str(lines), "--model", "ngram", "-o", str(folder))


def _ngrams(name: str, sentences: Sequence[str], rounds: int) -> Iterator[ServingFigure]:
    """Measure requests per second of an n-gram model, beside an application that answers the same
    requests with as many bytes that it has ready."""
    requests = [score_request(sentence) for sentence in sentences]
    with Served(name) as served:
        size = load(served.address, requests[:1], clients=1).size
        with EmptyServer(size) as empty:
            for each in (served, empty):
                load(each.address, requests[: 4 * CLIENTS])
            for clients in (1, CLIENTS):
                speeds, references = [], []
                for _ in range(rounds):
                    speeds.append(load(served.address, requests, clients).per_second)
                    references.append(load(empty.address, requests, clients).per_second)
                what = f"n-gram model, {clients} client{'s' * (clients > 1)}"
                reference = f"an empty answer of {size:,} bytes"
                yield _figure(what, "requests/s", speeds, reference, references)


def _figure(
    what: str, unit: str, served: Sequence[float], reference: str, beside: Sequence[float]
) -> ServingFigure:
    ratios = [ours / theirs for ours, theirs in zip(served, beside, strict=True)]
    return ServingFigure(
        what,
        unit,
        statistics.median(served),
        reference,
        statistics.median(beside),
        statistics.median(ratios),
    )


# ---- Clients.

Address = tuple[str, int]


@dataclass(frozen=True)
class Load:
    """How a server took some requests. seconds: until each was answered, in no order. size: bytes
    of the last answer's content."""

    seconds: list[float]
    total_seconds: float
    size: int

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.total_seconds


def load(address: Address, requests: Sequence[bytes], clients: int = CLIENTS) -> Load:
    """Send all requests, and wait for their answers. Each client has a connection, and sends the
    next request once it has the answer to the one before."""
    waiting = iter(requests)
    seconds: list[float] = []
    size = 0
    with contextlib.ExitStack() as closed_at_end:
        # Connect all clients before the first request is sent.
        selector = closed_at_end.enter_context(selectors.DefaultSelector())
        for _ in range(min(clients, len(requests))):
            client = socket.create_connection(address, timeout=ANSWER_SECONDS)
            closed_at_end.enter_context(client)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client, selectors.EVENT_READ, _Client(client))

        # Whoever has an answer sends the next request at once.
        began = time.perf_counter()
        for key in list(selector.get_map().values()):
            key.data.send(next(waiting))
        while len(seconds) < len(requests):
            ready = selector.select(ANSWER_SECONDS)
            if not ready:
                raise RnnlmError("the server does not answer", f"for {ANSWER_SECONDS:.0f} s")
            for key, _ in ready:
                answer = key.data.receive()
                if answer is None:
                    continue
                seconds.append(time.perf_counter() - key.data.sent_at)
                size = answer
                request = next(waiting, None)
                if request is not None:
                    key.data.send(request)
        return Load(seconds, time.perf_counter() - began, size)


class _Client:
    """A connection that asks one thing after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.connection.sendall(request)

    def receive(self) -> int | None:
        """Receive what has come. Return the size of the answer's content once it is complete."""
        part = self.connection.recv(1 << 16)
        self.received += part
        head, end, body = self.received.partition(b"\r\n\r\n")
        if part and not end:
            return None
        status = head[:12].removeprefix(b"HTTP/1.1 ")
        length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
        if status != b"200" or length is None or not part:
            told = (body or head).decode("utf-8", "replace")
            raise RnnlmError("the server refused a request", told or "it closed the connection")
        if len(body) < int(length[1]):
            return None
        self.received = b""
        return len(body)


def score_request(sentence: str) -> bytes:
    """Return the bytes of a request to score a sentence."""
    body = json.dumps({"sentences": [sentence]}).encode()
    head = [
        "POST /score HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


# ---- Servers.


class Server:
    """A server in a process, from its start until it answers; it ends with the context. A line of
    its standard error says where it listens."""

    command: list[str]

    def __enter__(self) -> "Server":
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.said
        )
        try:
            self.address = self._waited_for()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.said.close()

    def _waited_for(self) -> Address:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.said.seek(0)
            said = self.said.read().decode("utf-8", "replace")
            found = re.search(r"serving at http://([\d.]+):(\d+)", said)
            if found:
                return found[1], int(found[2])
            if self.process.poll() is not None:
                raise RnnlmError("the server did not start", last_words(said))
            time.sleep(POLL_SECONDS)
        raise RnnlmError("the server did not start", f"in {START_SECONDS:.0f} s")


class Served(Server):
    """`rnnlm serve` with one model."""

    def __init__(self, name: str) -> None:
        self.command = python("-m", "rnnlm", "serve", "-m", name, "--port", "0")


class EmptyServer(Server):
    """A bare application that takes a body and answers with so many bytes."""

    def __init__(self, size: int) -> None:
        self.command = python("-c", f"from {__name__} import answer_emptily as go; go({size})")


def answer_emptily(size: int) -> None:
    """Answer each POST with the same JSON text of so many bytes, until a signal comes."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    content = b'"%s"' % (b"a" * (size - 2))

    async def endpoint(request: Request) -> Response:
        await request.body()
        return Response(content, media_type="application/json")

    app = Starlette(routes=[Route("/score", endpoint, methods=["POST"])])
    config = uvicorn.Config(app, log_level="critical", access_log=False)
    # asyncio sends at once (TCP_NODELAY) only where the socket names its protocol.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        _, port = listener.getsockname()
        os.write(2, f"serving at http://127.0.0.1:{port}\n".encode())
        uvicorn.Server(config).run([listener])
