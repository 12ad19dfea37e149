"""What a request must be to reach an endpoint, asked of a small ASGI application."""

import asyncio
import functools
import json
import logging
import re

import pytest
from starlette.routing import Route

from rnnlm.tools.serving import settings as limits
from rnnlm.tools.serving.guards import guarded
from rnnlm.tools.serving.responses import Refusal
from rnnlm.tools.serving.settings import ServingSettings

TOKEN = "a-token-of-some-length"


class Echo:
    """An application that answers with what it was sent, and keeps it."""

    routes = ()

    def __init__(self, wait=0.0, error=None):
        self.wait, self.error, self.bodies = wait, error, []

    async def __call__(self, scope, receive, send):
        message = await receive()
        self.bodies.append(message["body"])
        await asyncio.sleep(self.wait)
        if self.error:
            raise self.error
        headers = [(b"content-type", b"application/json")]
        if scope["path"] == "/page":
            headers.append((b"content-security-policy", b"default-src 'self'"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": message["body"]})


class Answered:
    """What a server answers."""

    def __init__(self):
        self.status, self.headers, self.body = 0, {}, b""

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            assert len(self.headers) == len(message["headers"])  # none twice
        else:
            self.body += message["body"]

    @property
    def error(self):
        return json.loads(self.body)["error"]


async def ask(app, method="POST", path="/score", body=(b"{}",), pause=0.0, client="1.1.1.1", **own):
    """Send a request whose body comes in these parts."""
    headers = {"host": "localhost:8000", "content-type": "application/json"}
    headers |= {name.replace("_", "-"): value for name, value in own.items()}
    parts = list(body)

    async def receive():
        await asyncio.sleep(pause)
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    pairs = [
        (name.encode(), value.encode("latin-1"))
        for name, value in headers.items()
        if value is not None
    ]
    answered = Answered()
    scope = {
        "type": "http", "method": method, "path": path, "headers": pairs, "client": (client, 1),
    }  # fmt: skip
    await app(scope, receive, answered.send)
    return answered


def answer(settings=None, token=None, app=None, **asked):
    """Ask a guarded application once."""
    app = guarded(app or Echo(), ServingSettings(**(settings or {})), [token] if token else ())
    return asyncio.run(ask(app, **asked))


@pytest.fixture
def lower(monkeypatch):
    """Return a function that lowers a limit of the server."""
    return functools.partial(monkeypatch.setattr, limits)


@pytest.fixture
def logged():
    """Yield the list that the lines of the log go to."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log = logging.getLogger("rnnlm.tools.serving")
    log.addHandler(handler)
    before = log.level
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(handler)
    log.setLevel(before)


def test_bodies_reach_the_application_whole():
    app = Echo()
    answered = answer(app=app, body=(b'{"a"', b": 1", b"}"))
    assert (answered.status, answered.body, app.bodies) == (200, b'{"a": 1}', [b'{"a": 1}'])


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:8000"])
def test_names_of_this_machine_are_answered(host):
    assert answer(host=host).status == 200
    assert answer({"allow_host": ("models.example.org",)}, host=host).status == 200


# A server for others goes by any name, unless some are allowed.
@pytest.mark.parametrize("own, taken, refused", [
    ({"host": "0.0.0.0"}, ["192.168.1.5:8000", "models.example.org"], []),
    ({"host": "0.0.0.0", "allow_host": ("192.168.1.5",)},
     ["192.168.1.5:8000"], ["models.example.org"]),
    ({"host": "::1"}, ["[::1]:8000"], []),
    ({"allow_host": ("Models.example.org",)}, ["models.example.org:443"], ["example.org"]),
    ({"allow_host": ("*.example.org",)}, ["models.example.org"], ["example.com"]),
    ({"allow_host": ("*",)}, ["attacker.example"], []),
])  # fmt: skip
def test_a_server_goes_by_names_that_are_allowed(own, taken, refused):
    assert all(answer(own, host=host).status == 200 for host in taken)
    assert all(answer(own, host=host).status == 400 for host in refused)


@pytest.mark.parametrize("host", [
    "attacker.example", "127.0.0.1.attacker.example", "localhost.attacker.example:8000",
    "localhost@attacker.example", "", None, "localhost:8000, attacker.example", "[::1",
    "192.168.1.5", "\xff", "a" * 5000,
])  # fmt: skip
def test_names_of_other_servers_are_refused(host):
    app = Echo()
    refused = answer(app=app, host=host)
    assert (refused.status, app.bodies) == (400, [])
    assert refused.error["what"] == "Invalid host header"
    assert "--allow-host" in refused.error["hint"]


@pytest.mark.parametrize("given, status", [
    (f"Bearer {TOKEN}", 200), (f"bearer  {TOKEN} ", 200), (None, 401), (TOKEN, 401),
    (f"Basic {TOKEN}", 401), (f"Bearer {TOKEN}x", 401), (f"Bearer {TOKEN[:-1]}", 401),
    ("Bearer ", 401), ("Bearer \xe4", 401),
])  # fmt: skip
def test_only_the_token_opens_the_server(given, status):
    answered = answer(token=TOKEN, authorization=given)
    assert answered.status == status
    if status == 401:
        assert answered.headers["www-authenticate"] == "Bearer"
        assert answered.error["what"] == "this server requires a token"


def test_the_page_and_health_need_no_token():
    for path in ("/", "/health"):
        assert answer(token=TOKEN, method="GET", path=path).status == 200
    for path in ("/models", "/health/", "//", "/openapi.json"):
        assert answer(token=TOKEN, method="GET", path=path).status == 401


@pytest.mark.parametrize("kind, status", [
    ("application/json", 200), ("Application/JSON; charset=UTF-8", 200),
    ('application/json;charset="utf-8"', 200), ("application/json; charset=utf-16", 415),
    ("text/plain", 415), ("application/x-www-form-urlencoded", 415), (None, 415), ("", 415),
    ("multipart/form-data; boundary=application/json", 415), ("application/jsonp", 415),
    ("text/plain; application/json", 415),
])  # fmt: skip
def test_only_json_is_posted(kind, status):
    assert answer(content_type=kind).status == status


def test_compressed_bodies_are_refused():
    assert answer(content_encoding="gzip").status == 415
    assert answer(content_encoding="identity").status == 200


def test_bodies_have_a_limit_announced_or_not(lower):
    lower("MAX_BODY", 10)
    app = Echo()
    assert answer(app=app, content_length="11", body=(b"x" * 11,)).status == 413
    assert answer(app=app, body=(b"x" * 6, b"x" * 5)).status == 413
    assert app.bodies == []
    assert answer(app=app, body=(b"x" * 6, b"x" * 4)).status == 200


def test_slow_bodies_and_long_answers_are_given_up(lower):
    lower("BODY_SECONDS", 0.05)
    slow = answer(body=[b" "] * 50, pause=0.01)
    assert (slow.status, slow.error["why"]) == (408, "the limit is 0.05 seconds")
    answered = answer({"answer_seconds": 0.02}, app=Echo(wait=5))
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")


def test_a_client_that_leaves_is_forgotten():
    app = Echo()
    assert answer(app=app, body=()).status == 0
    assert app.bodies == []


async def _several(app, count, **own):
    asked = [ask(app, **own) for _ in range(count)]
    return [each.status for each in await asyncio.gather(*asked)]


def test_requests_beyond_the_queue_are_put_off(lower):
    lower("MAX_REQUESTS", 3)
    app = guarded(Echo(wait=0.05), ServingSettings())
    assert sorted(asyncio.run(_several(app, 5))) == [200, 200, 200, 503, 503]
    assert asyncio.run(_several(app, 3)) == [200, 200, 200]  # places are given back


def test_a_client_has_a_share_of_the_queue(lower):
    lower("MAX_REQUESTS_OF_CLIENT", 2)
    settings = ServingSettings()

    async def all_ask(app, greedy, other):
        asking = asyncio.create_task(_several(app, 5, **greedy))
        await asyncio.sleep(0.01)
        answered = await ask(app, **other)
        return sorted(await asking), answered.status

    one, two = {"client": "1.1.1.1"}, {"client": "2.2.2.2"}
    app = guarded(Echo(wait=0.05), settings)
    assert asyncio.run(all_ask(app, one, two)) == ([200, 200, 429, 429, 429], 200)
    assert asyncio.run(all_ask(app, one, one)) == ([200, 200, 429, 429, 429], 429)
    # Tokens of their own tell clients apart, whatever their address.
    app = guarded(Echo(wait=0.05), settings, [TOKEN, "another" + TOKEN])
    one, two = ({"authorization": f"Bearer {each}"} for each in (TOKEN, "another" + TOKEN))
    assert asyncio.run(all_ask(app, one, two)) == ([200, 200, 429, 429, 429], 200)
    # Behind a proxy, all have one address.
    app = guarded(Echo(wait=0.05), ServingSettings(trusted_proxy=True))
    assert asyncio.run(all_ask(app, {}, {})) == ([200] * 5, 200)


def test_slow_bodies_take_no_place(lower):
    lower("MAX_REQUESTS", 1)

    async def both(app):
        slow = asyncio.create_task(ask(app, body=[b" "] * 5, pause=0.02))
        await asyncio.sleep(0.01)
        return (await ask(app)).status, (await slow).status

    app = guarded(Echo(), ServingSettings())
    assert asyncio.run(both(app)) == (200, 200)


@pytest.mark.parametrize("path", ["/score", "/page"])
@pytest.mark.parametrize("host", ["localhost", "attacker.example"])
def test_every_answer_has_the_headers_of_safety(path, host):
    headers = answer(path=path, host=host).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control")]
    page = path == "/page" and host == "localhost"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    policy = "default-src 'self'" if page else "default-src 'none'; frame-ancestors 'none'"
    assert headers["content-security-policy"] == policy


PREFLIGHT = {
    "method": "OPTIONS", "access_control_request_method": "POST", "content_type": None,
}  # fmt: skip


def test_pages_of_other_origins_ask_only_if_allowed():
    origin = "https://example.org"
    allowed = {"cors": (origin,)}
    for settings, expected in [({}, None), (allowed, origin), ({"cors": ("*",)}, "*")]:
        answered = answer(settings, origin=origin)
        assert answered.headers.get("access-control-allow-origin") == expected
    other = answer(allowed, origin="https://example.org.attacker.example")
    assert "access-control-allow-origin" not in other.headers
    asked = answer(allowed, token=TOKEN, origin=origin, **PREFLIGHT)
    assert (asked.status, asked.headers["access-control-allow-origin"]) == (200, origin)
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    refused = answer(allowed, token=TOKEN, origin="https://a.example", **PREFLIGHT)
    assert (refused.status, refused.error["what"]) == (400, "Disallowed CORS origin")
    assert "access-control-allow-origin" not in refused.headers
    assert answer(allowed, host="a.example", origin=origin, **PREFLIGHT).status == 400
    # A page that may ask sees why it is refused; without --cors nobody is told that it may.
    unknown = answer(allowed, token=TOKEN, origin=origin)
    assert (unknown.status, unknown.headers["access-control-allow-origin"]) == (401, origin)
    assert answer(token=TOKEN, origin=origin, **PREFLIGHT).status == 401


def test_what_goes_wrong_inside_stays_inside(logged):
    answered = answer(app=Echo(error=ValueError("secret text at /home/somebody")))
    assert answered.status == 500
    assert answered.error == {"what": "the server failed to answer this request"}
    [line] = [line for line in logged if line.startswith("internal error")]
    assert re.fullmatch(r"internal error: ValueError at .*serving/test_guards\.py:\d+", line)
    assert "secret" not in line
    own = answer(app=Echo(error=Refusal(429, "no", retry_after=7)))
    assert (own.status, own.headers["retry-after"]) == (429, "7")


def test_the_log_has_nothing_of_the_request(logged):
    class Known(Echo):
        routes = (Route("/score", lambda request: None),)

    answer(app=Known(), body=(b'{"sentences": ["secret"]}',))
    answer(app=Known(), path="/wp-admin", method="SECRET", authorization="secret")
    answer(app=Known(error=ValueError("secret")), host="secret")
    first, second, third = logged
    assert " 1.1.1.1 POST /score 200 " in first
    assert " 1.1.1.1 - /wp-admin 200 " in second
    assert " 1.1.1.1 POST /score 400 " in third
    assert "secret" not in "".join(logged)
