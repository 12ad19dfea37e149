"""The page that shows models: one HTML file with its style and script, which asks the server that
sent it."""

import base64
import functools
import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "page"
_START = "start(new ServerEngine());\n"


@functools.cache
def server_page() -> str:
    """Return the page of `rnnlm serve`."""
    script = f"{{\n{_file('page.js')}\n{_file('engine_server.js')}\n{_START}}}\n"
    parts = {"style": _file("page.css"), "script": script}
    # All at once: the content of a part is never taken for the place of another.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _file("page.html"))


def content_security_policy(html: str) -> str:
    """Return the header that lets this page use its own style and script, ask its own server,
    and do nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash_between(html, '<style>', '</style>')}'",
            f"script-src '{_hash_between(html, '<script>', '</script>')}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _hash_between(html: str, before: str, after: str) -> str:
    content = html.split(before, 1)[1].split(after, 1)[0]
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
