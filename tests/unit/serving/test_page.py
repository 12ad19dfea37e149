"""The page is one file that asks nobody else, and takes whatever a model holds as text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from rnnlm.serving import page
from rnnlm.serving.app import make_app
from rnnlm.serving.served import ServedModel, ServedModels
from rnnlm.serving.settings import ServingSettings
from support.tiny_models import fit

ENGINE = "const makeEngine = (data) => data;\n"
HOSTILE = [
    "</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "\u2028",
    "{{script}}",
    "\\u003c",
]


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


@pytest.mark.parametrize("word", HOSTILE)
def test_a_hostile_vocabulary_is_text(word):
    html = page.html_text(ENGINE, [{"words": [word]}])
    plain = page.html_text(ENGINE, [{"words": ["plain"]}])
    scripts, expected = Scripts(html), Scripts(plain)
    # The same tags, whatever the words are; and the words come out as they went in.
    assert scripts.tags == expected.tags
    (attributes, data), (_, script) = scripts.found
    assert attributes["type"] == "application/json" and json.loads(data) == [{"words": [word]}]
    assert script == expected.found[1][1]


def test_the_policy_allows_the_pages_own_script():
    html = page.server_page()
    policy = dict(part.split(" ", 1) for part in page.content_security_policy(html).split("; "))
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    script = Scripts(html).found[-1][1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'sha256-{digest}'"
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy["style-src"] == f"'sha256-{digest}'"


def test_no_text_is_read_as_html_or_script():
    for path in page.FOLDER.rglob("*.js"):
        source = path.read_text(encoding="utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in source, path
        assert not re.search(r"new Function|setTimeout\([\"'`]", source), path


def test_the_page_asks_nobody_else():
    html = page.server_page()
    assert not re.search(r"(?:https?:)?//[a-z]", re.sub(r"^\s*//.*$", "", html, flags=re.MULTILINE))
    assert "@import" not in html and "url(" not in html
    assert all("src" not in attributes for attributes, _ in Scripts(html).found)
    assert len(html) < 80_000


def test_the_server_answers_with_the_page():
    from starlette.testclient import TestClient

    models = ServedModels([ServedModel("tiny", fit("ngram"))])
    answer = TestClient(make_app(models, ServingSettings())).get("/")
    assert answer.text == page.server_page()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.content_security_policy(answer.text)
    assert answer.headers["content-security-policy"] == policy
