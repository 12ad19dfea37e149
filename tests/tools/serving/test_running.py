import asyncio
import errno
import socket

import pytest
import uvicorn
from uvicorn.server import ServerState

from rnnlm.errors import UsageError
from rnnlm.tools.serving import running, settings as limits
from rnnlm.tools.serving.running import limited_protocol
from rnnlm.tools.serving.settings import ServingSettings


def run(work):
    """Run a coroutine in the loop of the server."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(work)


def test_answers_are_sent_at_once():
    """An answer is written in two parts; the second must not wait until the first is confirmed."""
    listener = running._bound(ServingSettings(port=0))
    set_on_connections = []

    async def answer_one():
        def connected(reader, writer):
            connection = writer.get_extra_info("socket")
            set_on_connections.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        server = await asyncio.start_server(connected, sock=listener)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        await reader.read()
        writer.close()
        server.close()

    run(answer_one())
    assert set_on_connections == [1]


def test_a_file_may_hold_several_tokens(tmp_path):
    file = tmp_path / "tokens"
    file.write_text("one-token-of-some-length\n\nanother-of-some-length\n")
    assert running.tokens_from(str(file)) == ["one-token-of-some-length", "another-of-some-length"]
    file.write_text("one-token-of-some-length\nshort\n")
    with pytest.raises(UsageError, match="too short"):
        running.tokens_from(str(file))


def test_an_address_has_few_connections(monkeypatch):
    monkeypatch.setattr(limits, "MAX_CONNECTIONS_OF_ADDRESS", 2)
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.3)

    async def connected(settings):
        """Return how many of four idle connections stay for now, and how many for long."""
        config = uvicorn.Config(lambda scope: None, http=limited_protocol(settings))
        config.load()
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: config.http_protocol_class(config, state, {}), "127.0.0.1", 0
        )
        address = server.sockets[0].getsockname()
        pairs = [await asyncio.open_connection(*address) for _ in range(4)]
        await asyncio.sleep(0.1)
        counts = [len(state.connections)]
        await asyncio.sleep(0.5)
        counts.append(len(state.connections))
        for _, writer in pairs:
            writer.close()
        server.close()
        return counts

    assert run(connected(ServingSettings())) == [2, 0]
    assert run(connected(ServingSettings(trusted_proxy=True))) == [4, 0]


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
LARGE = b"a" * 30_000_000  # more than sockets hold


def answered(sent, answer=b"ok", seconds=0.0, pause=0.0):
    """Return what a client receives until the server closes the connection: it sends these parts,
    each after an answer has begun, pauses and reads. The server answers after some seconds."""

    async def app(scope, receive, send):
        await asyncio.sleep(seconds)
        length = (b"content-length", str(len(answer)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})

    async def ask():
        settings = ServingSettings(port=0)
        config = uvicorn.Config(app, http=limited_protocol(settings), lifespan="off")
        config.load()
        state = ServerState()
        listener = running._bound(settings)
        server = await asyncio.get_running_loop().create_server(
            lambda: config.http_protocol_class(config, state, {}), sock=listener
        )
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        received = b""
        for part in sent:
            writer.write(part)
            received += await reader.read(1)
        writer.write(b"G")  # a head that never ends, or another byte of the body
        await asyncio.sleep(pause)
        received += await reader.read()
        writer.close()
        server.close()
        return received

    return run(asyncio.wait_for(ask(), 60))


@pytest.mark.parametrize("head", [GET, GET + b"Content-Length: 9\r\n"], ids=["head", "body"])
def test_a_connection_that_was_answered_has_a_deadline_for_the_next_head(monkeypatch, head):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
    assert answered([head + b"\r\n"]).endswith(b"\r\n\r\nok")


def test_the_deadline_of_heads_ends_neither_slow_answers_nor_slow_readers(monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)
    assert answered([GET + b"\r\n"], seconds=0.3).endswith(b"ok")
    assert answered([GET + b"\r\n"], answer=LARGE, pause=0.3).endswith(LARGE)


@pytest.mark.parametrize(
    "most, files", [(0, 1024), pytest.param(1024, 4, marks=pytest.mark.system("posix"))]
)
def test_connections_beyond_the_limit_or_the_files_are_answered_with_503(monkeypatch, most, files):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
    assert answered([]) == b""
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", most)
    monkeypatch.setattr(running, "most_open_files", lambda: files)
    answer = answered([])
    assert answer.startswith(b"HTTP/1.1 503 ") and b'"the server is overloaded"' in answer


def test_a_listener_without_files_lets_the_loop_pause(monkeypatch):
    def accept(self):
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket.socket, "accept", accept)
    with running.LimitedListener() as listener:
        for _ in range(2):
            with pytest.raises(OSError, match="too many open files"):
                listener.accept()
            with pytest.raises(BlockingIOError):
                listener.accept()


@pytest.mark.parametrize("name", ["models.*", "a*b.example", "**"])
def test_a_name_with_a_star_inside_is_refused(name):
    running.check_access(ServingSettings(allow_host=("*", "*.example.org", "models.example")))
    with pytest.raises(UsageError, match="every name below example.org"):
        running.check_access(ServingSettings(allow_host=(name,)))


@pytest.mark.parametrize("host, is_local", [
    ("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
    ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("models.example.org", False),
])  # fmt: skip
def test_only_loopback_is_local(host, is_local):
    assert ServingSettings(host=host).is_local == is_local
