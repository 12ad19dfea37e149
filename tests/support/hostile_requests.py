"""Requests that no honest client sends, by chapter. Each is what a client does over a bare socket,
and the statuses that a server may answer with; CLOSED is a connection that is closed without one.
"""

import json
from dataclasses import dataclass

from support.served_processes import ENDS_BY_FIN, LEAVES

CLOSED = 0
SECRET = "zanzibar"  # in bodies: a text that must not be logged
LARGEST = 1_000_000  # bytes of a body that the server takes


@dataclass(frozen=True)
class Hostile:
    """A request. steps: see `exchanged`."""

    name: str
    steps: tuple
    statuses: frozenset


def hostile(name, *steps, may):
    return Hostile(name, steps, frozenset(may))


def head(method="POST", path="/score", host="localhost", **more):
    """Return the lines before a body. A header that is None is left out."""
    headers = {
        "Host": host,
        "Content-Type": "application/json" if method == "POST" else None,
        "Connection": "close",
    }
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


# A body that would be answered, were it not for all the rest.
GOOD = json.dumps({"sentences": [f"the {SECRET} sat"]}).encode()

# ---- Bodies that are no JSON.

NO_JSON = {
    "nothing": b"",
    "white space": b"  \n\t ",
    "a brace": b"{",
    "a bracket": b"[",
    "a closing brace": b"}",
    "a word": b"sentences",
    "single quotes": b"{'sentences': ['a']}",
    "no quotes": b'{sentences: ["a"]}',
    "a comma too many": b'{"sentences": ["a",]}',
    "a comma too few": b'{"sentences": ["a" "b"]}',
    "no colon": b'{"sentences" ["a"]}',
    "a comment": b'{"sentences": ["a"]} // b',
    "two values": b'{"sentences": ["a"]}{"sentences": ["b"]}',
    "a NUL at the end": b'{"sentences": ["a"]}\x00',
    "a string that does not end": b'{"sentences": ["a',
    "an escape that does not end": b'{"sentences": ["\\',
    "an unknown escape": b'{"sentences": ["\\x41"]}',
    "a short escape": b'{"sentences": ["\\u12"]}',
    "half of a surrogate pair": b'{"sentences": ["\\ud83d"]}',
    "the other half of a pair": b'{"sentences": ["\\ude00"]}',
    "a pair the wrong way round": b'{"sentences": ["\\ude00\\ud83d"]}',
    "a surrogate in UTF-8": b'{"sentences": ["\xed\xa0\xbd"]}',
    "Latin-1": b'{"sentences": ["caf\xe9"]}',
    "UTF-8 cut short": b'{"sentences": ["\xf0\x9f\x98"]}',
    "an overlong slash": b'{"sentences": ["\xc0\xaf"]}',
    "beyond Unicode": b'{"sentences": ["\xf5\x80\x80\x80"]}',
    "UTF-16": '{"sentences": ["a"]}'.encode("utf-16"),
    "UTF-32": '{"sentences": ["a"]}'.encode("utf-32"),
    "a byte order mark": b'\xef\xbb\xbf{"sentences": ["a"]}',
    "a bare line end in a string": b'{"sentences": ["a\nb"]}',
    "a bare NUL in a string": b'{"sentences": ["a\x00b"]}',
    "NaN": b'{"sentences": ["a"], "alternatives": NaN}',
    "Infinity": b'{"sentences": ["a"], "alternatives": Infinity}',
    "minus infinity": b'{"sentences": ["a"], "alternatives": -Infinity}',
    "a leading zero": b'{"sentences": ["a"], "alternatives": 01}',
    "a leading plus": b'{"sentences": ["a"], "alternatives": +1}',
    "a hexadecimal number": b'{"sentences": ["a"], "alternatives": 0x1}',
    "a number without digits": b'{"sentences": ["a"], "alternatives": -}',
    "an exponent without digits": b'{"sentences": ["a"], "alternatives": 1e}',
    "a point without digits": b'{"sentences": ["a"], "alternatives": 1.}',
    "True as in Python": b'{"sentences": ["a"], "words": True}',
    "undefined": b'{"sentences": undefined}',
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "100,000 nested lists": b'{"sentences": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested lists of an unknown field": b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "random bytes": bytes((7 * number * number + 3) % 256 for number in range(2000)),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\x00" * 50,
    "a form": b"sentences=a&words=1",
    "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "YAML": b"!!python/object/apply:os.system ['true']",
    "a pickle": b"cos\nsystem\n(S'true'\ntR.",
}

# ---- JSON of another shape, by endpoint.

ODD_SHAPES = {
    "/score": [
        [], None, True, 1, "a", {}, {"sentences": None}, {"sentences": "a"}, {"sentences": 1},
        {"sentences": {}}, {"sentences": []}, {"sentences": [1]}, {"sentences": [None]},
        {"sentences": [["a"]]}, {"sentences": [{"text": "a"}]}, {"sentences": ["a", 1]},
        {"sentences": ["a"], "words": "true"}, {"sentences": ["a"], "words": 1},
        {"sentences": ["a"], "words": None}, {"sentences": ["a"], "tokens": []},
        {"sentences": ["a"], "alternatives": -1}, {"sentences": ["a"], "alternatives": 1.5},
        {"sentences": ["a"], "alternatives": "3"}, {"sentences": ["a"], "alternatives": 2**63},
        {"sentences": ["a"], "alternatives": 2**64}, {"sentences": ["a"], "alternatives": 10**300},
        {"sentences": ["a"], "alternatives": 10**9}, {"sentences": ["a"], "given": None},
        {"sentences": ["a"], "given": 1}, {"sentences": ["a"], "given": ["a"]},
        {"sentences": ["a"], "model": 1}, {"sentences": ["a"], "model": []},
        {"sentences": ["a"], "eos": "no"}, {"sentences": ["a"], "__class__": "x"},
        {"sentences": ["a"], "device": "cuda"}, {"sentences": ["a"], "Sentences": ["b"]},
        {"text": "a"}, {"sentences": ["a"], "source": 1},
    ],
    "/next": [
        [], {"text": 1}, {"text": None}, {"text": ["a"]}, {"n": 0}, {"n": -1}, {"n": 1.5},
        {"n": "3"}, {"n": 10**9}, {"n": None}, {"text": "a", "k": 3}, {"model": 1},
    ],
    "/generate": [
        [], {"prompt": 1}, {"n": 0}, {"n": -1}, {"n": 10**9}, {"max_tokens": 0},
        {"max_tokens": 10**9}, {"max_tokens": -5}, {"temperature": -1}, {"temperature": "hot"},
        {"temperature": None}, {"top_p": 0}, {"top_p": 2}, {"top_p": -0.1}, {"top_p": "all"},
        {"top_k": 0}, {"top_k": 1.5}, {"min_p": 5}, {"seed": -1},
        {"seed": 1.5}, {"seed": "x"}, {"seed": 10**40}, {"stream": "yes"},
        {"repetition_penalty": 0}, {"running": 2},
    ],
    "/look": [
        [], {}, {"what": "gates"}, {"text": "a"}, {"what": "secrets", "text": "a"},
        {"what": "../gates", "text": "a"}, {"what": None, "text": "a"}, {"what": "orders"},
        {"what": "__init__", "text": "a"}, {"what": "gates", "text": 1},
    ],
    "/rescore": [
        [], {}, {"utterances": []}, {"utterances": [], "weights": {}},
        {"utterances": [{"hypotheses": []}], "weights": {}},
        {"utterances": [{"hypotheses": [{"text": "a", "score": "x"}]}], "weights": {}},
        {"utterances": 1, "weights": None}, {"weights": "weights.json", "utterances": ["a"]},
    ],
    "/tag": [
        [], {}, {"sentences": []}, {"sentences": ["a"], "nbest": 0}, {"sentences": [1]},
        {"sentences": ["a"], "probabilities": "no"},
    ],
    "/classify": [[], {}, {"texts": []}, {"texts": ["a"], "top": 0}, {"texts": "a"}],
    "/translate": [[], {}, {"sources": []}, {"sources": ["a"], "beam": 0}, {"sources": 1}],
}  # fmt: skip

# ---- Settings and texts that cannot be, and more than a request may have.

REFUSED = [
    ("/score", {"sentences": ["a"], "model": "../../etc/passwd"}, 404),
    ("/score", {"sentences": ["a"], "model": "/etc/passwd"}, 404),
    ("/score", {"sentences": ["a"], "model": ""}, 404),
    ("/score", {"sentences": ["a"], "model": "https://example.org/model"}, 404),
    ("/score", {"sentences": ["a"], "model": "x" * 100_000}, 404),
    ("/score", {"sentences": ["a"], "model": "\x00\r\n\x1b[31m"}, 404),
    ("/score", {"sentences": ["a"] * 257}, 413),
    ("/score", {"sentences": ["a"] * 100_000}, 413),
    ("/score", {"sentences": ["a " * 60_000]}, 413),
    ("/score", {"sentences": ["a"], "given": "b " * 60_000}, 413),
    ("/score", {"sentences": ["a" * 100_001]}, 413),
    ("/score", {"sentences": ["a"], "alternatives": 101}, 422),
    ("/next", {"text": "a " * 60_000}, 413),
    ("/next", {"text": "a", "n": 101}, 422),
    ("/next", {"text": "a", "model": "none"}, 404),
    ("/generate", {"prompt": "a " * 60_000}, 413),
    ("/generate", {"n": 17}, 422),
    ("/generate", {"max_tokens": 1001}, 422),
    ("/generate", {"model": "none"}, 404),
    ("/look", {"what": "gates", "text": "a", "model": "none"}, 404),
    ("/tag", {"sentences": ["a"]}, 400),
    ("/classify", {"texts": ["a"]}, 400),
    ("/translate", {"sources": ["a"]}, 400),
]

# ---- Headers of bodies.

NO_JSON_TYPES = [
    None, "", "text/plain", "text/plain; charset=utf-8", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x", "text/html", "application/xml", "application/jsonp",
    "application/json5", "json", "application/*", "*/*", "application/json; charset=latin-1",
    "application/json; charset=utf-16", "application/json, text/plain",
    "text/plain; application/json", "application /json", "application/octet-stream",
]  # fmt: skip
ENCODINGS = ["gzip", "br", "deflate", "zstd", "gzip, identity", "x", "identity, gzip"]

# ---- Other servers' names.

OTHER_HOSTS = [
    "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
    "127.0.0.1@evil.example", "evil.example@localhost", "localhost:80:80", "localhost:evil",
    "localhost/evil", "localhost,evil.example", "localhost evil.example", "[::1", "::1]", "[evil]",
    "local\u00e9host", "a" * 5000, ".", "-", "xn--lcalhost-n1a", "localhostx", "1.2.3", "0x7f.1",
    "%6cocalhost", "localhost%00.evil.example",
]  # fmt: skip

# ---- Methods and paths.

POST_PATHS = ["/score", "/next", "/generate", "/look", "/rescore", "/tag"]
GET_PATHS = ["/models", "/health", "/openapi.json"]
METHODS = ["PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "FOO", "get", "PROPFIND", "X" * 300]
ODD_PATHS = [
    "/nothing", "/score/", "//score", "/./score", "/../score", "/../../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/..\\..\\etc\\passwd", "/score%00",
    "/%00", "/%ff%fe", "/%", "/%zz", "/score;x", "/SCORE", "/models/../score", "/static/page.js",
    "/page/page.js", "/.git/config", "/.env", "/admin", "/docs", "/redoc", "/wp-login.php",
    "http://evil.example/models", "http://localhost/models", "evil", "*", "/" + "a" * 10_000,
    "/" + "%41" * 3000, "/" + "../" * 1000, "/models/1", "/v1", "/v2/models", "/health/..;/models",
]  # fmt: skip

# ---- What is not HTTP, or is so twice.

LINE = b"GET /models HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"
EVIL = b"Host: evil.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
JSON = b"Content-Type: application/json\r\n"
START = b"POST /score HTTP/1.1\r\n" + HOST + JSON
BROKEN = {
    "only line ends": b"\r\n" * 50,
    "no version": b"GET /models\r\n\r\n",
    "HTTP 0.9": b"GET /\n\n",
    "HTTP 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP 9.9": b"GET /models HTTP/9.9\r\n" + EVIL + b"\r\n",
    "small letters": b"GET /models http/1.1\r\n" + HOST + b"\r\n",
    "a version of letters": b"GET /models HTTP/x.y\r\n" + HOST + b"\r\n",
    "four words": b"GET /models now HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces": b"GET  /models HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab": b"GET\t/models\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "a space first": b" GET /models HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method of signs": b"G@T /models HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a TLS greeting": bytes.fromhex("16030100c8010000c40303") + b"\x41" * 194,
    "an SSH greeting": b"SSH-2.0-OpenSSH_9.6\r\n",
    "an SMTP greeting": b"EHLO evil.example\r\n",
    "a reply": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "zeros": b"\x00" * 1000,
    "bytes": bytes(range(256)) * 4,
    "a path with raw bytes": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path with NUL": b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path with an escape": b"GET /\x1b[31m HTTP/1.1\r\n" + HOST + b"\r\n",
    "no Host": LINE + b"\r\n",
    "no Host in HTTP 1.0": b"GET /models HTTP/1.0\r\n\r\n",
    "two Hosts": LINE + HOST + b"Host: evil.example\r\n\r\n",
    "the same Host twice": LINE + HOST + HOST + b"\r\n",
    "an empty Host": LINE + b"Host:\r\n\r\n",
    "a header without a colon": LINE + HOST + b"nonsense\r\n\r\n",
    "a header without a name": LINE + HOST + b": x\r\n\r\n",
    "a space before the colon": LINE + HOST + b"X : y\r\n\r\n",
    "a header's name of signs": LINE + HOST + b"X(y): z\r\n\r\n",
    "a header with NUL": LINE + HOST + b"X: a\x00b\r\n\r\n",
    "a header with a bare return": LINE + HOST + b"X: a\rb\r\n\r\n",
    "a header that goes on": LINE + b"Host: evil.example\r\n x\r\n\r\n",
    "a header that goes on first": LINE + b" x: y\r\n" + HOST + b"\r\n",
    "a large header": LINE + EVIL + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
    "a large header's name": LINE + EVIL + b"X" * 70_000 + b": a\r\n\r\n",
    "many headers": LINE + EVIL + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
    "a large line": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a negative length": START + b"Content-Length: -1\r\n\r\n" + GOOD,
    "a length of letters": START + b"Content-Length: abc\r\n\r\n" + GOOD,
    "a hexadecimal length": START + b"Content-Length: 0x10\r\n\r\n" + GOOD,
    "a length with a plus": START + b"Content-Length: +10\r\n\r\n" + GOOD,
    "a length with a point": START + b"Content-Length: 1.0\r\n\r\n" + GOOD,
    "two lengths": START + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + GOOD,
    "two lengths in one": START + b"Content-Length: 5, 6\r\n\r\n" + GOOD,
    "a length of many digits": START + b"Content-Length: " + b"9" * 500 + b"\r\n\r\n" + GOOD,
    "chunks in gzip": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an unknown transfer": START + b"Transfer-Encoding: identity\r\n\r\n" + GOOD,
    "a transfer that is spelled oddly": START + b"Transfer-Encoding: xchunked\r\n\r\n" + GOOD,
    "chunks twice": START + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "a chunk's size of letters": START + CHUNKED + b"\r\nzz\r\n" + GOOD,
    "a negative chunk": START + CHUNKED + b"\r\n-1\r\n" + GOOD,
    "a chunk's size of many digits": START + CHUNKED + b"\r\n" + b"F" * 30 + b"\r\n" + GOOD,
    "a chunk without an end": START + CHUNKED + b"\r\n3\r\nabcdef\r\n0\r\n\r\n",
    "an endless chunk's extension": START + CHUNKED + b"\r\n1;" + b"x" * 70_000,
    "a broken trailer": START + CHUNKED + b"\r\n0\r\nX\r\n\r\n",
    "an upgrade to sockets": LINE + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\nX: \x00\r\n\r\n",
}

# ---- Sizes.

TOO_LARGE = b'{"sentences": ["' + b"a" * LARGEST + b'"]}'


def _chunks(body, size):
    parts = []
    for start in range(0, len(body), size):
        part = body[start : start + size]
        parts.append(b"%x\r\n%s\r\n" % (len(part), part))
    return b"".join([*parts, b"0\r\n\r\n"])


OVERSIZED = [
    hostile("a body that is too large", post(TOO_LARGE), may={413}),
    hostile("a length that is too large", head(Content_Length=LARGEST + 1), may={413}),
    hostile("a length of 10**18", head(Content_Length=10**18), may={413}),
    hostile(
        "a length that is too large, after asking",
        head(Content_Length=10**9, Expect="100-continue"),
        may={413},
    ),
    hostile(
        "large chunks",
        head(Transfer_Encoding="chunked") + _chunks(TOO_LARGE, 50_000),
        may={413, CLOSED},
    ),
    hostile(
        "one large chunk",
        head(Transfer_Encoding="chunked") + _chunks(TOO_LARGE, 2 * LARGEST),
        may={413, CLOSED},
    ),
    hostile(
        "chunks of a byte that are no JSON",
        head(Transfer_Encoding="chunked") + _chunks(b"{" * 20_000, 1),
        may={400},
    ),
    hostile(
        "a GET with a body that is too large",
        head("GET", "/models", Content_Length=2 * LARGEST) + b"a" * (2 * LARGEST),
        may={413, CLOSED},
    ),
    hostile("an expectation of another kind", post(b"{", Expect="miracles"), may={400, 417}),
    hostile("a megabyte of white space", post(b" " * LARGEST), may={400}),
    hostile("a megabyte of escapes", post(b'{"sentences": ["' + b"\\n" * 400_000), may={400}),
    hostile(
        "a list of 400,000", post(b'{"sentences": [' + b"1," * 400_000 + b"1]}"), may={413, 422}
    ),
]

# ---- Clients that are slow, or gone. They have a second for a body.

SLOW = [
    hostile("no body", head(Content_Length=100), may={CLOSED, 408}),
    hostile("half a body", head(Content_Length=100) + b'{"sentences"', may={CLOSED, 408}),
    hostile("a body byte by byte", head(Content_Length=100), *[b"{", 0.2] * 15, may={CLOSED, 408}),
    hostile("no chunk", head(Transfer_Encoding="chunked"), may={CLOSED, 408}),
    hostile(
        "chunks one by one",
        head(Transfer_Encoding="chunked"),
        *[b"1\r\n{\r\n", 0.2] * 15,
        may={CLOSED, 408},
    ),
    hostile("no last chunk", head(Transfer_Encoding="chunked") + b"1\r\n{\r\n", may={CLOSED, 408}),
    hostile(
        "half a request after a whole one",
        head("GET", "/none", Connection=None) + b"POST /sc",
        may={404},
    ),
    hostile("nothing after a whole request", head("GET", "/none", Connection=None), may={404}),
    hostile(
        "a body of a GET that does not come",
        head("GET", "/none", Connection=None, Content_Length=1000),
        may={404, 408, CLOSED},
    ),
    hostile(
        "a body that does not come, of a request that is refused",
        head("POST", "/score", Connection=None, Content_Type="text/plain", Content_Length=1000),
        may={415},
    ),
]
HALF_CLOSED = [
    hostile("at once", ENDS_BY_FIN, may={CLOSED}),
    hostile("in the line", b"GET /mod", ENDS_BY_FIN, may={CLOSED, 400}),
    hostile("in the headers", LINE + b"Host", ENDS_BY_FIN, may={CLOSED, 400}),
    hostile("before the body", head(Content_Length=100), ENDS_BY_FIN, may={CLOSED, 400}),
    hostile("in the body", head(Content_Length=100) + b"{", ENDS_BY_FIN, may={CLOSED, 400}),
    hostile(
        "in a chunk", head(Transfer_Encoding="chunked") + b"5\r\n{", ENDS_BY_FIN, may={CLOSED, 400}
    ),
    hostile("after a request", head("GET", "/none"), ENDS_BY_FIN, may={CLOSED, 404}),
    hostile("after a body", post(b"{"), ENDS_BY_FIN, may={CLOSED, 400}),
    hostile("gone at once", LEAVES, may={CLOSED}),
    hostile("gone in the headers", LINE + b"Host", LEAVES, may={CLOSED}),
    hostile("gone in the body", head(Content_Length=100) + b"{", LEAVES, may={CLOSED}),
    hostile("gone after a body", post(GOOD), LEAVES, may={CLOSED}),
    hostile(
        "gone while text is drawn",
        post({"prompt": SECRET, "n": 16, "max_tokens": 1000}, "/generate"),
        0.1,
        LEAVES,
        may={CLOSED},
    ),
    hostile(
        "gone while many are scored",
        post({"sentences": [f"the {SECRET}"] * 256, "words": True, "alternatives": 100}),
        0.05,
        LEAVES,
        may={CLOSED},
    ),
]
REPEATED = [
    hostile("a hundred at once", head("GET", "/none", Connection=None) * 100, may={404}),
    hostile(
        "a refused one, and one after it",
        post(b"{", Connection=None) + head("GET", "/none"),
        may={400, 404},
    ),
    hostile(
        "a length and chunks",
        START + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\nGET /models HTTP/1.1\r\n",
        may={400, 415},
    ),
    hostile(
        "more than the length says",
        post(b"{" + LINE + HOST + b"X: \x00\r\n\r\n", Content_Length=1, Connection=None),
        may={400},
    ),
]


def chapters():
    """Return all requests, by chapter."""
    # What is no JSON further on may be of another shape at its beginning.
    bodies = [hostile(name, post(body), may={400, 422}) for name, body in NO_JSON.items()]

    # Texts in JSON have other types than they should.
    shapes = []
    for path, values in ODD_SHAPES.items():
        for value in values:
            name = f"{path} {json.dumps(value)[:60]}"
            shapes.append(hostile(name, post(value, path), may={400, 422}))
    for path, value, status in REFUSED:
        sent = json.dumps(value)
        name = f"{path} {sent[:60]} ({len(sent):,})"
        shapes.append(hostile(name, post(value, path), may={status}))

    types = []
    for kind in NO_JSON_TYPES:
        types.append(hostile(f"type {kind}", post(GOOD, Content_Type=kind), may={400, 415}))
    for encoding in ENCODINGS:
        types.append(hostile(encoding, post(GOOD, Content_Encoding=encoding), may={415}))
    twice = post(GOOD, Content_Type="application/json\r\nContent-Type: text/plain")
    types.append(hostile("two types", twice, may={400, 415}))

    hosts = [hostile(host[:40], post(GOOD, host=host), may={400, 421}) for host in OTHER_HOSTS]

    methods = []
    for method in METHODS:
        for path in ("/score", "/models", "/"):
            methods.append(hostile(f"{method[:9]} {path}", head(method, path), may={400, 404, 405}))
    methods += [hostile(f"GET {path}", head("GET", path), may={405}) for path in POST_PATHS]
    methods += [hostile(f"POST {path}", post(b"{}", path), may={405}) for path in GET_PATHS]

    paths = [hostile(path[:40], head("GET", path), may={400, 404, 414}) for path in ODD_PATHS]
    broken = []
    for name, sent in BROKEN.items():
        broken.append(hostile(name, sent, ENDS_BY_FIN, may={CLOSED, 400, 404, 408, 421, 431}))
    return {
        "no JSON": bodies,
        "other shapes": shapes,
        "content types": types,
        "hosts": hosts,
        "methods": methods,
        "paths": paths,
        "no HTTP": broken,
        "sizes": OVERSIZED,
        "slow": SLOW,
        "half-closed": HALF_CLOSED,
        "repeated": REPEATED,
    }
