import asyncio
import socket

import pytest
import uvicorn
from uvicorn.server import ServerState

from rnnlm.errors import UsageError
from rnnlm.tools.serving import running
from rnnlm.tools.serving import settings as limits
from rnnlm.tools.serving.connections import limited_protocol
from rnnlm.tools.serving.settings import ServingSettings


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

    asyncio.run(answer_one())
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

    assert asyncio.run(connected(ServingSettings())) == [2, 0]
    assert asyncio.run(connected(ServingSettings(trusted_proxy=True))) == [4, 0]


@pytest.mark.parametrize("name", ["models.*", "a*b.example", "**"])
def test_a_name_with_a_star_inside_is_refused(name):
    running.check_access(ServingSettings(allow_host=("*", "*.example.org", "models.example")))
    with pytest.raises(UsageError, match="every name below example.org"):
        running.check_access(ServingSettings(allow_host=(name,)))


@pytest.mark.parametrize(
    "host, is_local",
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("models.example.org", False)],
)  # fmt: skip
def test_only_loopback_is_local(host, is_local):
    assert ServingSettings(host=host).is_local == is_local
