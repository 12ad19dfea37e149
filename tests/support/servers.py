"""Servers of models in this process, and clients that check what they send and get."""

import json
from contextlib import contextmanager
from dataclasses import dataclass

from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from rnnlm.lm.base.loading import load
from rnnlm.tools.serving.app import make_app
from rnnlm.tools.serving.served import ServedModel, ServedModels, Threads
from rnnlm.tools.serving.settings import ServingSettings


def served(models):
    """Serve models, given by name: themselves, or the folders that hold them."""
    if isinstance(models, ServedModels):
        return models
    threads = Threads()
    return ServedModels([
        ServedModel(name, load(each) if isinstance(each, str) else each, threads)
        for name, each in models.items()
    ])  # fmt: skip


@dataclass
class Client:
    """A client whose bodies and answers are held against /openapi.json."""

    http: TestClient
    document: dict

    def get(self, path):
        """Return what an endpoint answers."""
        answer = self.http.get(path)
        self._check(path, "get", answer)
        return answer.json()

    def post(self, path, model=None, **asked):
        """Return what an endpoint answers to this body; with "error" in it where it refuses."""
        if model is not None:
            asked["model"] = model
        answer = self.http.post(path, json=asked)
        if answer.status_code == 200:
            content = self.document["paths"][path]["post"]["requestBody"]["content"]
            self._hold(asked, content["application/json"]["schema"])
        self._check(path, "post", answer)
        return answer.json()

    def events(self, path, **asked):
        """Return the events that an endpoint sends."""
        answer = self.http.post(path, json=asked)
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        content = self.document["paths"][path]["post"]["responses"]["200"]["content"]
        lines = answer.text.split("\n\n")
        assert lines.pop() == ""
        events = [json.loads(line.removeprefix("data: ")) for line in lines]
        for event in events:
            self._hold(event, content["text/event-stream"]["schema"])
        return events

    def _check(self, path, method, answer):
        responses = self.document["paths"][path][method]["responses"]
        content = responses[str(answer.status_code)]["content"]
        assert answer.headers["Content-Type"] == "application/json"
        self._hold(answer.json(), content["application/json"]["schema"])

    def _hold(self, value, schema):
        components = {"components": self.document["components"]}  # what "$ref" leads to
        Draft202012Validator({**schema, **components}).validate(value)


@contextmanager
def client_of(models, **settings):
    """Return a client of a server of these models, given by name."""
    with TestClient(make_app(served(models), ServingSettings(**settings))) as http:
        yield Client(http, http.get("/openapi.json").json())
