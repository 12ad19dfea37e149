"""Malformed and hostile requests over sockets: each is refused, the server goes on."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.saved_models import save_lstm, save_unigram
from support.served_processes import ENDS_BY_FIN, LEAVES, exchanged, serving

pytestmark = pytest.mark.processes

AT_ONCE = 8
LIMIT_SECONDS = 15.0  # for an answer, or the end of the connection
CLOSED = 0  # a connection that is closed without an answer
SECRET = "zanzibar"  # a text that must not be logged
LARGEST = 1_000_000  # bytes of a body that the server takes
GOOD = json.dumps({"sentences": [f"the {SECRET} sat"]}).encode()
NO_HTTP = b"Invalid HTTP request received."  # what uvicorn says by itself


def head(method="POST", path="/score", host="localhost", **more):
    """Return the lines before a body. A header that is None is left out."""
    kind = "application/json" if method == "POST" else None
    headers = {"Host": host, "Content-Type": kind, "Connection": "close"}
    headers.update({name.replace("_", "-"): value for name, value in more.items()})
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def post(body, path="/score", **more):
    """Return a whole POST; the body is bytes, or a value in JSON's types."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    more.setdefault("Content_Length", len(body))
    return head(path=path, **more) + body


def chunks(body, size):
    """Return the headers and the content of a POST in chunks."""
    parts = [head(Transfer_Encoding="chunked")]
    for start in range(0, len(body), size):
        part = body[start : start + size]
        parts.append(b"%x\r\n%s\r\n" % (len(part), part))
    return b"".join([*parts, b"0\r\n\r\n"])


NO_JSON = [
    b"", b"{", b"}", b"sentences", b"{'sentences': ['a']}", b'{"sentences": ["a",]}',
    b'{"sentences": ["a"]}{"sentences": ["b"]}', b'{"sentences": ["a"]}\x00', b'{"sentences": ["a',
    b'{"sentences": ["\\x41"]}', b'{"sentences": ["\\ud83d"]}', b'{"sentences": ["\xed\xa0\xbd"]}',
    b'{"sentences": ["caf\xe9"]}', '{"sentences": ["a"]}'.encode("utf-16"),
    b'{"sentences": ["a\nb"]}', b'{"sentences": ["a"], "next_words": NaN}',
    b'{"sentences": ["a"], "next_words": 01}', b"[" * 100_000, b'{"a":' * 100_000,
    b'{"sentences": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", b"\x1f\x8b\x08" + bytes(50),
    b"sentences=a&words=1", b" " * LARGEST, b'{"sentences": ["' + b"\\n" * 400_000,
]  # fmt: skip
ODD_SHAPES = {
    "/score": [
        [], None, {}, {"sentences": "a"}, {"sentences": []}, {"sentences": [1]},
        {"sentences": [{"text": "a"}]}, {"sentences": ["a"], "words": "true"},
        {"sentences": ["a"], "next_words": -1}, {"sentences": ["a"], "next_words": 1.5},
        {"sentences": ["a"], "next_words": 2**64}, {"sentences": ["a"], "next_words": 10**300},
        {"sentences": ["a"], "given": ["a"]}, {"sentences": ["a"], "__class__": "x"},
        {"sentences": ["a"], "device": "cuda"}, {"sentences": ["a"], "Sentences": ["b"]},
    ],
    "/next": [[], {"text": 1}, {"n": 0}, {"n": "3"}, {"n": 10**9}, {"text": "a", "k": 3}],
    "/generate": [
        {"num": 0}, {"max_tokens": 10**9}, {"temperature": -1}, {"temperature": "hot"}, {"top_p": 2},
        {"top_k": 1.5}, {"seed": -1}, {"seed": 10**40}, {"repetition_penalty": 0}, {"running": 2},
    ],
    "/inspect": [{}, {"what": "gates"}, {"what": "../gates", "text": "a"}, {"what": "orders"}],
    "/rescore": [{}, {"utterances": []}, {"weights": "weights.json", "utterances": ["a"]}],
    "/tag": [{}, {"sentences": ["a"], "nbest": 0}],
    "/classify": [{}, {"texts": ["a"], "top": 0}],
    "/translate": [{}, {"sources": ["a"], "beam": 0}],
}  # fmt: skip
REFUSED = [
    ("/score", {"sentences": ["a"], "model": "../../etc/passwd"}, 404),
    ("/score", {"sentences": ["a"], "model": "\x00\r\n\x1b[31m"}, 404),
    ("/score", {"sentences": ["a"], "model": "x" * 100_000}, 404),
    ("/score", {"sentences": ["a"] * 257}, 413),
    ("/generate", {"max_tokens": 1001}, 422),
    ("/tag", {"sentences": ["a"]}, 400),
]
HOSTS = ["evil.example", "localhost.evil.example", "[::1", "a" * 5000]
PATHS = [
    "/nothing", "/score/", "//score", "/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
    "/..\\..\\etc\\passwd", "/score%00", "/%ff%fe", "/%", "/SCORE", "/static/page.js", "/.env",
    "http://evil.example/models", "evil", "*", "/" + "a" * 10_000, "/" + "../" * 1000,
]  # fmt: skip
LINE, HOST, EVIL = b"GET /models HTTP/1.1\r\n", b"Host: localhost\r\n", b"Host: evil.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
KNOWN = LINE + HOST + b"\r\n"
START = b"POST /score HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
BROKEN = [
    b"\r\n" * 50, b"GET /models\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes(1000),
    b"GET /models HTTP/x.y\r\n" + HOST + b"\r\n", b"G@T /models HTTP/1.1\r\n" + HOST + b"\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", b"\x16\x03\x01\x00" + b"\x41" * 194,
    b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /\x1b[31m HTTP/1.1\r\n" + HOST + b"\r\n",
    LINE + b"\r\n", LINE + HOST + EVIL + b"\r\n", LINE + HOST + b"nonsense\r\n\r\n",
    LINE + HOST + b"X: a\x00b\r\n\r\n", LINE + b"Host: evil.example\r\n x\r\n\r\n",
    LINE + EVIL + b"X: " + b"a" * 70_000 + b"\r\n\r\n", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n",
    LINE + EVIL + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
    START + b"Content-Length: -1\r\n\r\n" + GOOD, START + b"Content-Length: 0x10\r\n\r\n" + GOOD,
    START + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + GOOD,
    START + b"Content-Length: " + b"9" * 500 + b"\r\n\r\n" + GOOD,
    START + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    START + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n", START + CHUNKED + b"\r\n-1\r\n" + GOOD,
    START + CHUNKED + b"\r\n" + b"F" * 30 + b"\r\n" + GOOD,
    START + CHUNKED + b"\r\n1;" + b"x" * 70_000, START + CHUNKED + b"\r\n0\r\nX\r\n\r\n",
]  # fmt: skip
TOO_LARGE = b'{"sentences": ["' + b"a" * LARGEST + b'"]}'
DRAWN = post({"prompt": SECRET, "num": 16, "max_tokens": 1000}, "/generate")
SCORED = post({"sentences": [f"the {SECRET}"] * 256, "words": True, "next_words": 100})
TWO = head("GET", "/none", Connection=None)  # one more request may follow
# What a client does (see `exchanged`), and the statuses that the server may answer with.
CHAPTERS = {
    "no JSON": [([post(body)], {400, 422}) for body in NO_JSON],
    "other shapes": [
        ([post(value, path)], {400, 422}) for path, values in ODD_SHAPES.items() for value in values
    ]
    + [([post(value, path)], {status}) for path, value, status in REFUSED],
    "headers": [([post(GOOD, host=host)], {400, 421}) for host in HOSTS]
    + [
        ([post(GOOD, Content_Type="text/plain")], {415}),
        ([post(GOOD, Content_Type="application/json\r\nContent-Type: text/plain")], {400, 415}),
        ([post(GOOD, Content_Encoding="gzip")], {415}),
        ([post(b"{", Expect="miracles")], {400, 417}),
    ],
    "paths": [([head("GET", path)], {400, 404, 414}) for path in PATHS]
    + [([head(method)], {400, 404, 405}) for method in ("PUT", "TRACE", "get", "X" * 300)]
    + [([head("GET", "/score")], {405}), ([post(b"{}", "/models")], {405})],
    "no HTTP": [([sent, ENDS_BY_FIN], {CLOSED, 400, 404, 408, 421, 431}) for sent in BROKEN],
    "sizes": [
        ([post(TOO_LARGE)], {413}),
        ([head(Content_Length=LARGEST + 1)], {413}),
        ([head(Content_Length=10**9, Expect="100-continue")], {413}),
        ([chunks(TOO_LARGE, 50_000)], {413, CLOSED}),
        ([chunks(b"{" * 20_000, 1)], {400}),
        ([head("GET", "/models", X="a" * 400_000)], {CLOSED, 400, 431}),
        ([head("GET", Content_Length=2 * LARGEST) + b"a" * (2 * LARGEST)], {405, 413, CLOSED}),
    ],
    "slow": [  # they have a second for a body
        ([head(Content_Length=100)], {CLOSED, 408}),
        ([head(Content_Length=100), *[b"{", 0.2] * 15], {CLOSED, 408}),
        ([head(Transfer_Encoding="chunked"), *[b"1\r\n{\r\n", 0.2] * 15], {CLOSED, 408}),
        ([TWO + b"POST /sc"], {404}),
        ([head("GET", "/none", Connection=None, Content_Length=1000)], {404, 408, CLOSED}),
    ],
    "half-closed": [
        ([ENDS_BY_FIN], {CLOSED}),
        ([LINE + b"Host", ENDS_BY_FIN], {CLOSED, 400}),
        ([head(Content_Length=100) + b"{", ENDS_BY_FIN], {CLOSED, 400}),
        ([head(Transfer_Encoding="chunked") + b"5\r\n{", ENDS_BY_FIN], {CLOSED, 400}),
        ([head("GET", "/none"), ENDS_BY_FIN], {CLOSED, 404}),
        ([head(Content_Length=100) + b"{", LEAVES], {CLOSED}),
        ([DRAWN, 0.1, LEAVES], {CLOSED}),
        ([SCORED, 0.05, LEAVES], {CLOSED}),
    ],
    "repeated": [
        ([TWO * 100], {404}),
        ([post(b"{", Connection=None) + head("GET", "/none")], {400, 404}),
        ([START + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + KNOWN], {400}),
        ([post(b"{" + LINE + HOST + b"X: \x00\r\n\r\n", Content_Length=1)], {400}),
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    save_unigram(folder / "uni")
    save_lstm(folder / "net")
    models = ("-m", folder / "net", "-m", folder / "uni", "--device", "cpu")
    impatient = "from rnnlm.tools.serving import settings; settings.BODY_SECONDS = 1"
    with serving(*models, first=impatient) as server:
        server.folder = str(folder)
        yield server


def fault_of(server, steps, expected):
    """Return what is wrong with how the server takes a request; None where nothing is."""
    shown = [step[:60] if isinstance(step, bytes) else step for step in steps]
    received = exchanged(server, steps, LIMIT_SECONDS)
    if received is None:
        return shown, "the connection stays open"
    if not received:
        return None if CLOSED in expected else (shown, "closed without an answer")
    statuses = {int(each) for each in re.findall(rb"^HTTP/1\.1 (\d+)", received, re.MULTILINE)}
    if not statuses or not statuses <= expected:
        return shown, statuses, received[-200:]
    if NO_HTTP not in received and b'"error"' not in received:
        return shown, "no reason is given", received[-200:]
    if b"Traceback" in received or server.folder.encode() in received:
        return shown, "the answer tells of the server's inside", received[-200:]
    return None


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_hostile_requests_are_refused(server, chapter):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        faults = list(pool.map(lambda request: fault_of(server, *request), CHAPTERS[chapter]))
    assert [fault for fault in faults if fault] == []
    # The server goes on, and answers what it answered.
    asked = {"sentences": ["the cat sat down"], "words": True}
    status, _, answer = server.request("POST", "/score", asked)
    assert status == 200
    assert server.request("POST", "/score", asked)[2] == answer
    assert server.request("GET", "/health")[2]["models"] == 2


def test_log_has_neither_texts_nor_tracebacks(server):
    server.request("POST", "/score", {"sentences": [f"the {SECRET}"]})
    log = "\n".join(server.log)
    assert "POST /score 200" in log
    # Of a request, only the path is in the log, here one that does not exist.
    assert not [word for word in (SECRET, "Traceback", "localhost.evil") if word in log]
    assert all(line.isprintable() for line in server.log)
    # No hostile request is the server's failure.
    assert not re.search(r" 5\d\d ", log)
