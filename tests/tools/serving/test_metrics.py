"""What operators see: metrics, readiness, the log, and loading anew; the page on it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from rnnlm.tools.serving import settings as limits
from rnnlm.tools.serving.app import make_app
from rnnlm.tools.serving.guards import guarded, shown_path
from rnnlm.tools.serving.metrics import Metrics
from rnnlm.tools.serving.served import ServedModels
from rnnlm.tools.serving.settings import ServingSettings

PAGE = Path(__file__).parents[3] / "docs" / "operate.md"
TOKEN = "a-token-of-some-length"


def values_of(text):
    """Return the value of each sample, by its name and labels."""
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    return {(each.name, *each.labels.values()): each.value for each in samples}


@pytest.fixture
def client(models):
    metrics = Metrics()
    served = ServedModels.load([str(models.unigram)], metrics=metrics)
    app = make_app(served, ServingSettings(), metrics)
    with TestClient(guarded(app, ServingSettings(), [TOKEN], metrics), "http://localhost") as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        yield http


def test_requests_are_counted_by_route_and_status(client):
    body = {"sentences": ["the cat", "sat", "on the mat"]}
    assert [client.post("/score", json=body).status_code for _ in range(2)] == [200, 200]
    assert client.post("/score", json={"sentence": "the cat"}).status_code == 422
    assert client.get("/made-up-by-a-client").status_code == 404
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")

    values = values_of(answer.text)
    assert values["rnnlm_requests_total", "/score", "200"] == 2
    assert values["rnnlm_requests_total", "/score", "422"] == 1
    assert values["rnnlm_requests_total", "other", "404"] == 1
    assert "made-up" not in answer.text
    assert values["rnnlm_request_seconds_count", "/score"] == 3
    assert 0 < values["rnnlm_request_seconds_sum", "/score"] < 60
    # Two calls of three sentences each.
    assert values["rnnlm_batch_sentences_count",] == 2
    assert values["rnnlm_batch_sentences_sum",] == 6
    assert values["rnnlm_batch_sentences_bucket", "2.0"] == 0
    assert values["rnnlm_batch_sentences_bucket", "4.0"] == 2
    assert values["rnnlm_memory_bytes",] > 10_000_000
    assert {name[1] for name in values if name[0] == "rnnlm_queue"} == {"scoring", "small", "long"}
    assert values["rnnlm_requests_in_work",] == 0  # asking for metrics is no such request


def test_metrics_need_the_token_and_probes_do_not(client):
    client.headers["Authorization"] = "Bearer wrong"
    statuses = [client.get(path).status_code for path in ("/metrics", "/ready", "/health")]
    assert statuses == [401, 200, 200]


def test_a_full_server_is_healthy_but_not_ready(client, monkeypatch):
    assert client.get("/ready").json() == {"status": "ready", "models": 1, "in_work": 0}
    monkeypatch.setattr(limits, "MAX_REQUESTS", 0)
    assert client.post("/score", json={"sentences": ["a"]}).status_code == 503
    refused = client.get("/ready")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["what"] == "the server is overloaded"
    assert client.get("/health").status_code == 200
    assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize(("path", "shown"), [
    ("/wp-admin.php", "/wp-admin.php"),
    ("/a b\n2026-01-01 forged", "/a%20b%0A2026-01-01%20forged"),
    ('/"\x1b[31mé\ud800', "/%22%1B%5B31m%C3%A9%3F"),
    ("/" + "a" * 200, "/" + "a" * 99 + "..."),
])  # fmt: skip
def test_a_path_that_is_none_of_ours_is_one_word_of_the_log(path, shown):
    assert shown_path(path) == shown


# ---- The page.


def block(language):
    """Return the block of the page in this language."""
    [found] = re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return found


def test_the_page_is_short():
    assert len(PAGE.read_text(encoding="utf-8").split()) <= 600


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_reads_the_unit(tmp_path):
    unit = tmp_path / "rnnlm.service"
    text = block("ini").replace("/opt/rnnlm/.venv/bin/rnnlm", sys.executable)
    unit.write_text(text)
    verify = ["systemd-analyze", "verify", unit]
    done = subprocess.run(verify, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(text.replace("Restart=", "Restart=un"))  # it does find faults
    assert "un" in subprocess.run(verify, capture_output=True, text=True).stderr


def test_the_dockerfile_runs_as_nobody_special_and_checks_its_health():
    lines = block("dockerfile").replace("\\\n", " ").splitlines()
    instructions = [line.split(maxsplit=1) for line in lines if line and line[0] not in "# "]
    names = [name for name, _ in instructions]
    assert names[0] == "FROM" and names[-1] == "ENTRYPOINT"
    assert dict(instructions)["USER"] not in ("root", "0")
    assert "/health" in dict(instructions)["HEALTHCHECK"]
    [torch] = re.findall(r"\btorch==\S+", block("dockerfile"))
    assert torch in (PAGE.parents[1] / "constraints.txt").read_text("utf-8").splitlines()
    assert names.index("USER") > max(n for n, name in enumerate(names) if name in ("RUN", "COPY"))
