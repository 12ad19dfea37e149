"""What a network reads for each word, unseen ones too."""

import numpy as np
import pytest
import torch

from reference import characters as reference
from rnnlm.lm.neural import words
from rnnlm.lm.neural.words import SomeUnknown, WordInput
from support.networks import network_settings
from support.tiny_models import make_tokenizer

TEXT = ["the cat sat on the mat", "a dog"]
KINDS = {
    "cnn": {"character_size": 4, "character_filters": "3,4,5"},
    "lstm": {"character_size": 4, "character_hidden_size": 5}, None: {},
}  # fmt: skip
readers = pytest.mark.parametrize("characters", ["cnn", "lstm"])
LINES = ["the tam <unk> dog", "", "god tam sat the"]


def make(characters, tokenizer, **options):
    torch.manual_seed(2)
    own = {"characters": characters, "embedding_size": 7, "init_range": 0.7, **KINDS[characters]}
    settings = network_settings("lstm", **own, **options)
    return WordInput(settings, tokenizer), settings


def ids_of(tokenizer, lines):
    return torch.from_numpy(tokenizer.encode(lines).ids).long().unsqueeze(1)


def vector(module, tokenizer, word):
    return module(ids_of(tokenizer, [word])[:1])[0, 0].detach()


def test_without_characters_it_is_a_table_which_may_be_frozen():
    module, settings = make(None, make_tokenizer(TEXT))
    ids_TB = torch.tensor([[0, 3], [5, 1]])
    assert list(module.state_dict()) == ["embedding.weight"]
    assert module.weight is module.embedding.weight
    assert torch.equal(module(ids_TB), module.weight[ids_TB]) and settings.input_width == 7
    assert 0.5 < module.weight.abs().max() <= 0.7
    tokenizer = make_tokenizer(TEXT).spelling()
    module, _ = make("cnn", tokenizer, characters_beside=True)
    module.weight.requires_grad_(False)
    module(ids_of(tokenizer, LINES)).sum().backward()
    assert module.weight.grad is None and module.characters.reader.vectors.weight.grad is not None


@pytest.mark.parametrize("beside", [False, True])
@readers
def test_numbers_equal_those_of_numpy(characters, beside):
    tokenizer = make_tokenizer(TEXT).spelling()
    module, settings = make(characters, tokenizer, characters_beside=beside)
    x_TBE = module(ids_of(tokenizer, LINES)).detach().numpy()
    stored = module.state_dict().items()
    weights = {name.removeprefix("characters.reader."): part.numpy() for name, part in stored}
    rows = reference.alphabet("".join(TEXT).replace(" ", ""))
    words = ["the", "tam", "<unk>", "dog", "</s>", "</s>", "god", "tam", "sat", "the", "</s>"]
    symbols = tokenizer.symbols()
    for word, found in zip(words, x_TBE[:, 0], strict=True):
        spelled = reference.rows_of(word, rows, {"</s>": 3, "<unk>": 4}.get(word))
        own = (reference.cnn, 1) if characters == "cnn" else (reference.lstm,)
        expected = own[0](weights, spelled, *own[1:])
        if beside:
            known = word if word in symbols else "<unk>"
            own = weights["embedding.weight"][symbols.index(known)]
            expected = np.concatenate([own, expected])
        assert len(expected) == settings.input_width
        np.testing.assert_allclose(found, expected, atol=1e-5)


@readers
def test_an_unseen_word_reads_like_a_known_one(characters):
    tokenizer, wider = make_tokenizer(TEXT).spelling(), make_tokenizer([*TEXT, "tam"]).spelling()
    (module, _), (other, _) = (make(characters, each) for each in (tokenizer, wider))
    other.load_state_dict(module.state_dict())
    assert "tam" in wider.symbols() and "tam" not in tokenizer.symbols()
    found, expected = vector(module, tokenizer, "tam"), vector(other, wider, "tam")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@readers
def test_reading_unique_words_or_all_places_agrees(characters):
    numbers = [str(number) for number in range(words.WORDS_OF_A_LENGTH)]
    tokenizer = make_tokenizer([" ".join(numbers)]).spelling()
    module, _ = make(characters, tokenizer)
    ids_TB = ids_of(tokenizer, [" ".join(numbers[::-1] + numbers[:29])]).view(-1, 2)
    reader, shapes = module.characters.reader, []
    reader.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    on_cpu = module(ids_TB)
    # The numbers and </s>, each once and the shortest first, between two marks.
    assert shapes == [(128, 5), (1, 5)]
    # as on other devices
    everywhere = reader(module.characters.spelled(ids_TB.flatten())).view(*ids_TB.shape, -1)
    torch.testing.assert_close(on_cpu, everywhere, rtol=0, atol=1e-6)


def test_rare_words_are_more_often_read_as_unknown_in_training():
    """a / (a + n): with a = 1, a word seen three times is unknown a quarter of the time."""
    tokenizer = make_tokenizer(["b b b c"])
    drawing = SomeUnknown(1.0, tokenizer)
    torch.manual_seed(0)
    for word, share in (("b", 0.25), ("c", 0.5)):
        ids = torch.full((100, 100), int(tokenizer.encode([word]).ids[0]))
        read = drawing(ids)
        assert set(read.unique().tolist()) == {tokenizer.unk_id, int(ids[0, 0])}
        assert (read == tokenizer.unk_id).double().mean().item() == pytest.approx(share, abs=0.02)
    ends = torch.full((100,), tokenizer.boundary_id)
    assert torch.equal(drawing(ends), ends)
    assert torch.equal(drawing.eval()(ids), ids)
    assert torch.equal(SomeUnknown(0.0, tokenizer)(ids), ids)
    assert torch.equal(SomeUnknown(1.0, make_tokenizer(["b"], tokenizer="byte"))(ids), ids)
