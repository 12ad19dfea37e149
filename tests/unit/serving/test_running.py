import asyncio
import socket

from rnnlm.serving import running
from rnnlm.serving.settings import ServingSettings


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
