"""A run of several processes with only one of them, over gloo and, on a GPU, over NCCL."""

import pytest
import torch
from torch import distributed

from rnnlm.events import Checkpoint, Validated, never
from rnnlm.lm.neural.training import ranks as ranks_module
from rnnlm.lm.neural.training.fitting import language_model_trainer, start_network
from rnnlm.lm.neural.training.language_modelling import RareWords, count_tokens
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, open_group
from rnnlm.lm.neural.training.settings import FittingSettings, RunSettings
from rnnlm.lm.neural.training.step import SharedStep
from rnnlm.system import Rank
from support.devices import ON_EACH_DEVICE
from support.networks import network_settings

NO_DROPOUT = {"dropout_input": 0.0, "dropout_between": 0.0, "dropout_output": 0.0}
NETWORK = network_settings("lstm", hidden_size=16, embedding_size=16, **NO_DROPOUT)
FITTING = FittingSettings(4, 12, optimizer="sgd", learning_rate=1.0, validate_every_steps=6)
RUN = RunSettings(budget="12steps", save_every="4steps")


@pytest.fixture
def group(monkeypatch):
    """Yield a function that opens a group of one process on a device, and close it afterwards."""
    monkeypatch.setattr(ranks_module, "farewell", lambda *_: None)  # there is nobody to wait for

    def open_on(device):
        return open_group(Rank(), torch.device(device), "1m", distributed.HashStore())

    yield open_on
    if distributed.is_initialized():
        distributed.destroy_process_group()


def run_with(ranks, data, device):
    """Return the trainer after its run, and the events of the run."""
    torch.manual_seed(1)
    network = start_network(NETWORK, data.tokenizer, torch.device(device))
    counts_V = count_tokens(data.train, data.tokenizer)
    rare = RareWords.of(data.train, data.tokenizer, counts_V, FITTING.unknown_words, RUN.seed)
    trainer = language_model_trainer(network, FITTING, RUN, data, "fp32", rare, ranks)
    with ranks.together():
        return trainer, list(trainer.train(never))


@ON_EACH_DEVICE
def test_one_rank_trains_as_a_process_without_ranks(make_data, sentences, group, device):
    data = make_data(sentences[:40], sentences[40:60])
    plain, expected = run_with(SINGLE_PROCESS, data, device)
    shared, found = run_with(group(device), data, device)
    # the run has closed the group
    assert type(shared.update) is SharedStep and not distributed.is_initialized()

    weights = plain.network.state_dict()
    torch.testing.assert_close(shared.network.state_dict(), weights, atol=1e-4, rtol=1e-4)
    told = []
    for events in (expected, found):
        assert sum(isinstance(event, Checkpoint) for event in events) == 2
        told.append([event.best for event in events if isinstance(event, Validated)])
    assert len(told[0]) == 2 and told[1] == pytest.approx(told[0], rel=1e-4)


@ON_EACH_DEVICE
def test_gradients_are_exchanged_where_they_are(group, device):
    """A GPU's go over NCCL: gloo would copy each of them to the host."""
    with group(device).together():
        backend = distributed.get_backend_config()
        assert ("cuda:nccl" in backend) == (device == "cuda") and "gloo" in backend
        tensor = torch.full((3,), 2.0, device=device)
        distributed.all_reduce(tensor)
        assert tensor.tolist() == [2.0] * 3
