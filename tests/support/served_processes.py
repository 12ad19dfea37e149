"""`rnnlm serve` in a process, and bytes sent to it over bare sockets."""

import contextlib
import json
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection

from support.commands import environment, program

START_SECONDS = 60
ENDS_BY_FIN = "fin"  # a step of a client: it says that it sends no more
LEAVES = "reset"  # a step of a client: it is gone at once, without a word


@dataclass
class Server:
    """A server in a process. log: the lines that it has written to standard error."""

    process: subprocess.Popen
    host: str = ""
    port: int = 0
    log: list[str] = field(default_factory=list)
    is_up: threading.Event = field(default_factory=threading.Event)

    def read_log(self):
        """Collect what the process says, until it ends."""
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))
            found = re.search(r"serving at http://([\d.]+):(\d+)", line)
            if found:
                self.host, self.port = found[1], int(found[2])
                self.is_up.set()
        self.is_up.set()

    def request(self, method, path, body=None, headers=None, seconds=10.0):
        """Return the status, the headers and the content of an answer."""
        connection = HTTPConnection(self.host, self.port, timeout=seconds)
        sent = {
            **({"Content-Type": "application/json"} if body is not None else {}),
            **(headers or {}),
        }
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), json.loads(answer.read())
        finally:
            connection.close()

    def end(self, number=signal.SIGTERM):
        """End the process by a signal; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=100)


@contextlib.contextmanager
def serving(*arguments, first="", **variables):
    """Start `rnnlm serve` at a free port, wait until it answers, and end it afterwards. first: code
    that the process runs before, such as one that shortens a timeout."""
    process = subprocess.Popen(
        program("serve", "--port", "0", *arguments, first=first),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        env=environment(**variables),
    )  # fmt: skip
    server = Server(process)
    reading = threading.Thread(target=server.read_log, daemon=True)
    reading.start()
    try:
        assert server.is_up.wait(START_SECONDS), "the server does not start"
        assert server.port, server.log
        yield server
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()
        reading.join(timeout=5)
        # Processes that outlive the server hold the other end, and closing would wait for them.
        if not reading.is_alive():
            process.stderr.close()


def exchanged(server, steps, seconds):
    """Do what a client does, and return all that the server sends until it closes the connection;
    None where it does not close it within `seconds`.

    steps: bytes to send, numbers of seconds to wait, and the steps above.
    """
    received = []
    deadline = time.monotonic() + seconds
    with socket.create_connection((server.host, server.port), timeout=seconds) as client:
        for step in steps:
            # A server that has refused the request may have closed the connection meanwhile.
            try:
                if step == ENDS_BY_FIN:
                    client.shutdown(socket.SHUT_WR)
                elif step == LEAVES:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return b""
                elif isinstance(step, bytes):
                    client.sendall(step)
                else:
                    time.sleep(step)
            except OSError:
                break
        while True:
            client.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                part = client.recv(65536)
            except TimeoutError:
                return None
            except ConnectionError:
                break
            if not part:
                break
            received.append(part)
    return b"".join(received)
