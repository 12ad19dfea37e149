import asyncio
import socket

import pytest

from rnnlm.errors import UsageError
from rnnlm.tools.serving import running
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


@pytest.mark.parametrize("name", ["models.*", "a*b.example", "**"])
def test_a_name_with_a_star_inside_is_refused(name):
    running.check_access(ServingSettings(allow_host=("*", "*.example.org", "models.example")), None)
    with pytest.raises(UsageError, match="every name below example.org"):
        running.check_access(ServingSettings(allow_host=(name,)), None)


@pytest.mark.parametrize(
    "host, is_local",
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("models.example.org", False)],
)  # fmt: skip
def test_only_loopback_is_local(host, is_local):
    assert ServingSettings(host=host).is_local == is_local
