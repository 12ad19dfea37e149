"""Words that differ in case alone have one vector, and characters of their own."""

import torch

from rnnlm.tasks.labelling.networks.network import LowerCasedForms, WordEncoder
from rnnlm.tasks.labelling.settings import network_settings
from support.tiny_models import make_tokenizer

TEXT = ["the The THE cat the cat Paris Paris"]


def ids_of(tokenizer, words):
    return torch.tensor(tokenizer.encode([" ".join(words)]).ids[:-1].tolist())


def test_words_differing_in_case_share_the_commonest_spelling_and_a_vector():
    tokenizer = make_tokenizer(TEXT).spelling()
    forms = LowerCasedForms(tokenizer)
    names = tokenizer.symbols()
    found = forms(ids_of(tokenizer, ["The", "THE", "the", "paris", "PARIS", "Cat", "dog"]))
    expected = ["the", "the", "the", "Paris", "Paris", "cat", "<unk>"]
    assert [names[id] for id in found.tolist()] == expected
    specials = torch.tensor([tokenizer.boundary_id, tokenizer.unk_id])
    assert torch.equal(forms(specials), specials)
    torch.manual_seed(1)
    sizes = {"embedding_size": 3, "hidden_size": 2, "character_size": 4}
    settings = network_settings("tagging", "lstm", character_filters="0,16", **sizes)
    encoder = WordEncoder(settings, tokenizer).eval()
    both_21E = encoder.vectors(
        ids_of(tokenizer, ["the", "The"]).unsqueeze(1), torch.ones(2, 1, dtype=torch.bool)
    )
    assert torch.equal(both_21E[0, 0, :3], both_21E[1, 0, :3])
    assert not torch.equal(both_21E[0, 0, 3:], both_21E[1, 0, 3:])
