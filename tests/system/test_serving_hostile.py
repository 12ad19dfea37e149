"""More than 300 malformed and hostile requests, over bare sockets: each is refused, or its
connection closed, and the server goes on."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.hostile_requests import CLOSED, SECRET, chapters
from support.saved_models import save_lstm, save_unigram
from support.served_processes import exchanged, serving

CHAPTERS = chapters()
AT_ONCE = 8
NO_HTTP = b"Invalid HTTP request received."  # what uvicorn says by itself
LIMIT_SECONDS = 15.0  # for an answer, or the end of the connection
GOOD = {"sentences": ["the cat sat down"], "words": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    save_unigram(folder / "uni")
    save_lstm(folder / "net")
    models = ("-m", folder / "net", "-m", folder / "uni", "--device", "cpu")
    impatient = "from rnnlm.serving import settings; settings.BODY_SECONDS = 1"
    with serving(*models, first=impatient) as server:
        server.folder = str(folder)
        yield server


def fault_of(server, hostile):
    """Return what is wrong with how the server takes a request; None where nothing is."""
    received = exchanged(server, hostile.steps, LIMIT_SECONDS)
    if received is None:
        return f"{hostile.name}: the connection stays open"
    if not received:
        return None if CLOSED in hostile.statuses else f"{hostile.name}: closed without an answer"
    statuses = {int(each) for each in re.findall(rb"^HTTP/1\.1 (\d+)", received, re.MULTILINE)}
    if not statuses or not statuses <= hostile.statuses:
        return f"{hostile.name}: {sorted(statuses)}, {received[-200:]!r}"

    # What is said has a reason for people, and nothing of the server's inside.
    _, _, body = received.partition(b"\r\n\r\n")
    if NO_HTTP in received:
        return None
    if b'"error"' not in body:
        return f"{hostile.name}: no reason is given, {received[-200:]!r}"
    if b"Traceback" in received or server.folder.encode() in received:
        return f"{hostile.name}: the answer tells of the server's inside, {received[-200:]!r}"
    return None


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_hostile_requests_are_refused(server, chapter):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda hostile: fault_of(server, hostile), CHAPTERS[chapter]))
    assert [fault for fault in found if fault] == []

    # The server goes on, and what it says is what it said.
    status, _, answer = server.request("POST", "/score", GOOD)
    assert status == 200
    assert server.request("POST", "/score", GOOD)[2] == answer
    assert server.request("GET", "/health")[2]["models"] == 2


def test_hostile_requests_are_three_hundred():
    sent = {(name, each.name) for name, chapter in CHAPTERS.items() for each in chapter}
    assert len(sent) >= 300
    assert len(sent) == sum(map(len, CHAPTERS.values()))


def test_log_has_neither_texts_nor_tracebacks(server):
    server.request("POST", "/score", {"sentences": [f"the {SECRET}"]})
    log = "\n".join(server.log)
    assert "POST /score 200" in log
    assert SECRET not in log
    assert "Traceback" not in log
    assert "evil" not in log
    assert all(each.isprintable() for each in server.log)


def test_no_hostile_request_is_the_servers_failure(server):
    assert not [line for line in server.log if re.search(r" 5\d\d ", line)]
