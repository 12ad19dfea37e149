"""Functions by name, and servers: what `rnnlm doctor` finds out about them, and refuses."""

import http.server
import json
import threading
from contextlib import contextmanager

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import ModelError, UsageError
from rnnlm.tools.scorers import opening
from rnnlm.tools.scorers.scorer_checks import CHECKS

WORDS = ("the", "a", "dog", "cat", "saw", "sat", "on", "mat")
FUNCTIONS = """
import numpy as np

def next_logprobs(ids):
    values = np.random.default_rng([len(ids), *ids[-2:]]).normal(size=30)
    return values - np.log(np.exp(values).sum())

def total(text):
    return sum(float(np.log((ord(letter) % 17 + 1) / 400)) for letter in text)

class Holder:
    total = staticmethod(total)

number = 7
"""


class Server:
    """Answers completions as a server of a model of words would: a word depends on the one before.
    Faults override the parts."""

    def logprobs(self, before):
        """Return the log-probabilities of words; others have one in a million or less."""
        values = np.random.default_rng([ord(letter) for letter in before]).normal(size=len(WORDS))
        return dict(zip(WORDS, np.log(0.9) + values - np.log(np.exp(values).sum()), strict=True))

    def score(self, words, at, row, rows):
        """Return the score of a word. row, rows: which prompt it is in, of how many."""
        rare = np.log(1e-6) - sum(map(ord, words[at])) % 97 / 50
        return self.logprobs(words[at - 1]).get(words[at], rare)

    def tokens(self, words):
        return [words[0], *(f" {word}" for word in words[1:])]

    def answer(self, asked):
        """Return the content of an answer, written word included."""
        choices = []
        for row, prompt in enumerate(asked["prompt"]):
            words = prompt.split(" ") if prompt else [""]
            tops = self.logprobs(words[-1])
            best = sorted(tops, key=lambda word: -tops[word])[: asked["logprobs"]]
            tokens, scores = [f" {best[0]}"], [tops[best[0]]]
            if asked.get("echo"):
                rows = len(asked["prompt"])
                values = [self.score(words, at, row, rows) for at in range(1, len(words))]
                tokens, scores = self.tokens(words) + tokens, [None, *values, *scores]
            top = [{f" {word}": tops[word] for word in best}] * len(tokens)
            logprobs = {"tokens": tokens, "token_logprobs": scores, "top_logprobs": top}
            choices.insert(0, {"index": row, "text": "", "logprobs": logprobs})  # in any order
        return {"model": asked.get("model"), "choices": choices}


class SumsToMore(Server):
    def logprobs(self, before):
        return {word: value + 1 for word, value in super().logprobs(before).items()}


class LeavesOutTokens(Server):
    def tokens(self, words):
        return [words[0], *(f" {word}" for word in words[2:]), ""]


class HasNoScoreForAToken(Server):
    def score(self, words, at, row, rows):
        return None if at == 3 else super().score(words, at, row, rows)


class DependsOnTheBatch(Server):
    def score(self, words, at, row, rows):
        return super().score(words, at, row, rows) - (0.1 if rows > 1 else 0)


class Rises(Server):
    def score(self, words, at, row, rows):
        return 0.5


@contextmanager
def serving(server):
    """Serve on this machine; yield the address of the API."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(server.answer(asked)).encode()
            self.send_response(200 if self.path == "/v1/completions" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_address[1]}/v1"
        finally:
            listening.shutdown()
            thread.join()


def results(*given, **options) -> dict[str, str]:
    return {check.name: check.result for check in rnnlm.check_scorer(*given, **options)}


def test_a_sound_server_passes_what_can_be_checked():
    class WithoutNothing(Server):
        def answer(self, asked):
            return super().answer(asked) if all(asked["prompt"]) else "the prompt is empty"

    with serving(WithoutNothing()) as address:
        found = results(address)
    unchecked = dict.fromkeys(("sums in texts", "in parts"), "not checked")
    assert found == dict.fromkeys(CHECKS, "ok") | unchecked


@pytest.mark.parametrize(("server", "check"), [
    (SumsToMore, "sums in texts"), (LeavesOutTokens, "every token"),
    (HasNoScoreForAToken, "twice"), (DependsOnTheBatch, "in a batch"), (Rises, "bits per byte"),
], ids=lambda case: getattr(case, "__name__", case))  # fmt: skip
def test_each_fault_of_a_server_is_found(server, check):
    """Those of scorers of any kind are in test_scorer_checks.py."""
    with serving(server()) as address:
        assert results(address)[check] == "failed"


def test_the_model_of_a_server_is_named_after_the_address():
    asked = []

    class Listening(Server):
        def answer(self, body):
            asked.append(body)
            return super().answer(body)

    with serving(Listening()) as address:
        opening.server_scorer(f"{address}/#small").after(("the",))
        opening.server_scorer(address).scores([("the", "dog"), ("a",)])
    assert asked[0] == {
        "model": "small", "prompt": ["the"], "max_tokens": 1, "temperature": 0, "logprobs": 5,
    }  # fmt: skip
    assert asked[1] == {
        "prompt": ["the dog", "a"], "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True,
    }  # fmt: skip


@pytest.mark.parametrize("answer", [
    {}, {"choices": []}, {"choices": [{"text": "a", "logprobs": None}]},
    {"choices": [{"logprobs": {"tokens": [], "token_logprobs": []}}]}, "no object",
], ids=str)  # fmt: skip
def test_a_server_of_another_form_is_refused(answer):
    class Other(Server):
        def answer(self, asked):
            return answer

    with serving(Other()) as address, pytest.raises(ModelError, match=address):
        rnnlm.check_scorer(address)


def test_a_server_that_is_not_there_is_refused(rnnlm):
    shown = rnnlm("doctor", "http://127.0.0.1:9/v1")
    assert shown.code == 1 and shown.out == ""
    assert "http://127.0.0.1:9/v1/completions cannot be reached" in shown.err


# ---- Functions.


@pytest.fixture
def module(here):
    """Return the name of a module in the current folder, new for each test."""
    name = f"scorers_of_{abs(hash(here))}"
    (here / f"{name}.py").write_text(FUNCTIONS)
    return name


def test_functions_are_checked_by_name(rnnlm, module):
    shown = rnnlm("doctor", f"{module}:next_logprobs", "--path", ".")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[1].startswith("sums in texts\tok\t1, context: ")
    totals = rnnlm("doctor", "-m", f"{module}:Holder.total", "--takes", "text", "--path", ".")
    assert totals.code == 0 and "twice\tok" in totals.out
    assert results(f"{module}:next_logprobs", path=".")["twice"] == "ok"


def test_nothing_is_imported_from_the_current_folder_by_itself(rnnlm, module, monkeypatch):
    for entry in ("", "."):
        monkeypatch.syspath_prepend(entry)
    shown = rnnlm("doctor", f"{module}:next_logprobs")
    assert shown.code == 1
    assert f"error: no function {module}:next_logprobs" in shown.err
    assert "to import it from the current folder, add --path ." in shown.err


def test_names_that_are_no_functions_are_refused(rnnlm, module):
    for name, code, what in [
        (f"{module}:missing", 1, "has no attribute 'missing'"),
        (f"{module}:number", 2, "is no function"), (f"{module}:total", 2, "add --takes text"),
    ]:  # fmt: skip
        shown = rnnlm("doctor", name, "--path", ".")
        assert shown.code == code and what in shown.err
    with pytest.raises(UsageError, match="path"):
        results("demo", path=".")


def test_faults_of_a_function_are_said_to_be_its_own(rnnlm, module, here):
    code = """
def needs_one(ids):
    return [-1.0, ids[-1]]

def words(text):
    return text.count(" ") / 0
"""
    (here / f"{module}_faulty.py").write_text(code)
    (here / f"{module}_broken.py").write_text("def f(:\n")
    for name, takes, what in [
        ("faulty:needs_one", "ids", "the function fails for []"),
        ("faulty:words", "ids", "add --takes text"),
        ("faulty:words", "text", "ZeroDivisionError: division by zero"),
        ("broken:f", "ids", f"module {module}_broken cannot be imported"),
    ]:
        shown = rnnlm("doctor", f"{module}_{name}", "--takes", takes, "--path", ".")
        assert shown.code == 1 and what in shown.err and "internal error" not in shown.err


def test_both_an_argument_and_an_option_are_refused(rnnlm, module):
    assert rnnlm("doctor", f"{module}:total", "-m", f"{module}:total").code == 2
