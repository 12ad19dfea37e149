"""The page that shows models: one HTML file with its style and scripts, for a server's models or
for those packed in it."""

import base64
import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "page"


def html_text(engine: str, data: Any = None) -> str:
    """Return the page.

    engine: a script that defines `makeEngine(data)`, which returns the engine that
    page/page.js describes. data: what it is given, in JSON's types; it stands in the page as text.
    """
    script = f"{{\n{_file('page.js')}\n{engine}\n{_START}}}\n"
    parts = {
        "style": _file("page.css"),
        "data": f'<script type="application/json" id="data">{_as_text(data)}</script>',
        "script": script,
    }
    # All at once: what a part holds is never taken for the place of another.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _file("page.html"))


_START = 'start(makeEngine(JSON.parse(document.getElementById("data").textContent)));\n'


@functools.cache
def server_page() -> str:
    """Return the page of `rnnlm serve`, which asks the server that sent it."""
    engine = f"{_file('engine_server.js')}\nconst makeEngine = () => new ServerEngine();\n"
    return html_text(engine)


def content_security_policy(html: str) -> str:
    """Return the header that lets this page use its own style and script, ask its own server,
    and do nothing else."""
    style = _between(html, "<style>", "</style>")
    # The last script runs; the one before it is data.
    script = _between(html[html.rindex("<script>") :], "<script>", "</script>")
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _as_text(data: Any) -> str:
    """Return JSON that no parser of HTML takes for a tag, whatever it holds."""
    return json.dumps(data, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _between(text: str, before: str, after: str) -> str:
    return text.split(before, 1)[1].split(after, 1)[0]


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
