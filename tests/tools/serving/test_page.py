"""The page is one file that asks nobody but its server, and takes whatever a model holds as text."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from rnnlm.tools.serving import app
from rnnlm.tools.serving.app import make_app
from rnnlm.tools.serving.served import ServedModel, ServedModels
from rnnlm.tools.serving.settings import ServingSettings
from support.tiny_models import fit


class Scripts(HTMLParser):
    """Collects the scripts of a page, as a browser finds them."""

    def __init__(self, html):
        super().__init__(convert_charrefs=False)
        self.found = []
        self.tags = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "script":
            self.found.append([dict(attrs), ""])

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script" and self.found:
            self.found[-1][1] += data

    def handle_endtag(self, tag):
        self.tags.append(f"/{tag}")


def test_the_page_is_what_its_files_say():
    html = app.server_page()
    [(attributes, script)] = Scripts(html).found
    assert attributes == {} and "{{" not in html
    for name in ("page.js", "engine_server.js"):
        assert (app.PAGE_FOLDER / name).read_text(encoding="utf-8") in script


def test_the_policy_allows_the_pages_own_script():
    html = app.server_page()
    policy = dict(part.split(" ", 1) for part in app.content_security_policy(html).split("; "))
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    digest = base64.b64encode(hashlib.sha256(Scripts(html).found[-1][1].encode()).digest()).decode()
    assert policy["script-src"] == f"'sha256-{digest}'"
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy["style-src"] == f"'sha256-{digest}'"


def test_no_text_is_read_as_html_or_script():
    for path in app.PAGE_FOLDER.rglob("*.js"):
        source = path.read_text(encoding="utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in source, path
        assert not re.search(r"new Function|setTimeout\([\"'`]", source), path


def test_the_page_asks_nobody_else():
    html = app.server_page()
    assert not re.search(r"(?:https?:)?//[a-z]", re.sub(r"^\s*//.*$", "", html, flags=re.MULTILINE))
    assert "@import" not in html and "url(" not in html
    assert all("src" not in attributes for attributes, _ in Scripts(html).found)
    assert len(html) < 80_000


def test_the_server_answers_with_the_page():
    from starlette.testclient import TestClient

    models = ServedModels([ServedModel("tiny", fit("ngram"))])
    answer = TestClient(make_app(models, ServingSettings())).get("/")
    assert answer.text == app.server_page()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == app.content_security_policy(answer.text)
