"""Clients of servers in this process."""

from contextlib import contextmanager

from starlette.testclient import TestClient

from rnnlm.serving.app import make_app
from rnnlm.serving.served import LongWork, ServedModel, ServedModels
from rnnlm.serving.settings import ServingSettings


def served(models):
    """Serve models of this process, given by name."""
    long_work = LongWork()
    return ServedModels([ServedModel(name, core, long_work) for name, core in models.items()])


@contextmanager
def client_of(models, **settings):
    """Return a client of a server of these models, given by name."""
    with TestClient(make_app(served(models), ServingSettings(**settings))) as client:
        yield client
