"""A language model in the search of encoder-decoders of transformers."""

import warnings

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer as TheirTokenizer

from rnnlm import registry
from rnnlm.arrays import as_numpy
from rnnlm.errors import ArgumentTypeError, RnnlmWarning, SettingsError, UsageError
from rnnlm.events import never
from rnnlm.text.encoding import TrainingData
from rnnlm.tools.huggingface.fusion import ShallowFusion
from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer
from support import foreign_tokenizers as foreign
from support.tiny_models import LINES, Lines, fit, small_settings

START, TIMES = "<|startoftranscript|>", ["<|0.00|>", "<|0.02|>"]
MORE_TIMES = 3  # that the tokenizer does not know


@pytest.fixture(scope="module")
def tokenizer():
    theirs = TheirTokenizer.from_buffer(foreign.make("byte-level")[0])
    theirs.add_special_tokens([START])
    theirs.add_tokens([AddedToken(time, normalized=False) for time in TIMES])
    return HuggingFaceTokenizer(theirs.to_str().encode(), 0)


@pytest.fixture(scope="module", params=["lstm", "ngram"])
def model(request, tokenizer):
    kind = registry.kind_of(request.param)
    resolved = small_settings(kind, tokenizer="huggingface", literal_unk="spell")
    data = TrainingData(tokenizer, Lines(LINES).encode(tokenizer), None)
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return list(kind.fit(resolved, data, never, None))[-1].model


def id_of(tokenizer, token):
    return tokenizer.symbols().index(token)


def line_logprob(model, text):
    """Return log p (nats) of each token of a text and of the end after it."""
    boundary = model.tokenizer.boundary_id
    targets = np.array([[*text, boundary]])
    inputs = np.array([[boundary, *text]])
    return as_numpy(model.score(inputs, targets, model.initial_state(1))[0])[0].astype(float)


def test_only_text_and_its_end_get_anything(model, tokenizer):
    start, first, second = (id_of(tokenizer, token) for token in (START, *TIMES))
    text = tokenizer.encode(["the cat"]).ids[:-1].tolist()
    late = tokenizer.size + 1  # a time that the tokenizer does not know
    rows = [
        [start, first, *text, second, late], [start, start, start, start, *text],
        [*text, 1, start, start, start], [*text, text[0], start, *text[:1], first],
    ]  # fmt: skip
    width = max(map(len, rows))
    input_ids = torch.tensor([[1] * (width - len(row)) + row for row in rows])
    scores = torch.randn(len(rows), tokenizer.size + MORE_TIMES)
    before = scores.clone()
    added = (ShallowFusion(model, 0.5)(input_ids, scores) - scores).double().numpy()
    assert torch.equal(scores, before)
    special = [1, start, first, second, *range(tokenizer.size, tokenizer.size + MORE_TIMES)]
    assert not added[:, special].any()
    for row, read in zip(added, (text, text, [], text[:1]), strict=True):
        for token in (text[0], text[1], 40):
            expected = 0.5 * line_logprob(model, [*read, token])[len(read)]
            assert row[token] == pytest.approx(expected, abs=1e-4)
        assert row[0] == pytest.approx(0.5 * line_logprob(model, read)[-1], abs=1e-4)


def test_hypotheses_may_come_in_any_order(model, tokenizer):
    """What was dropped from the cache is read again."""
    ids = tokenizer.encode(["the cat sat on a mat"]).ids[:-1]
    fusion = ShallowFusion(model, 1.0)
    fusion._prefixes._most_cached = 2
    scores = torch.zeros(2, tokenizer.size)
    draw = np.random.default_rng(1)
    for length in (3, 1, 4, 2, 5, 0):
        rows = np.stack([ids[:length], draw.permutation(ids[:length])])
        found = fusion(torch.tensor(rows.astype(np.int64)), scores)
        for row, read in zip(found, rows.tolist(), strict=True):
            assert row[0] == pytest.approx(line_logprob(model, read)[-1], abs=1e-4)


def test_what_is_ruled_out_and_weights_below_zero(tokenizer):
    from rnnlm.lm.ngram.unigram import UnigramModel

    logprob_V = np.full(tokenizer.size, -np.inf)
    logprob_V[[0, 40]] = np.log(0.5)
    unigram = UnigramModel(logprob_V, tokenizer)
    none = torch.zeros(1, 0, dtype=torch.long)
    scores = torch.zeros(1, tokenizer.size)
    found = ShallowFusion(unigram, 1)(none, scores)[0]
    assert found[50] == -torch.inf and found[40] == pytest.approx(np.log(0.5)) and found[1] == 0
    found = ShallowFusion(unigram, -1)(none, scores)[0]
    assert found[50] == 0 and found[40] == pytest.approx(-np.log(0.5))


def test_bad_arguments_are_one_line(model, tokenizer):
    with pytest.raises(SettingsError, match="weight = nan is not a finite number"):
        ShallowFusion(model, float("nan"))
    with pytest.raises(ArgumentTypeError, match="weight must be a float, not a str"):
        ShallowFusion(model, "0.3")
    with pytest.raises(UsageError, match="they have to share their tokenizer"):
        ShallowFusion(model, 1.0)(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 9))
    plain = ShallowFusion(fit("ngram", order=2), 1.0)  # a tokenizer of ours
    assert plain(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 20)).shape == (1, 20)


# ---- In the search of transformers itself.


def whisper(transformers, size, start):
    config = transformers.WhisperConfig(
        vocab_size=size, d_model=16, encoder_layers=1, decoder_layers=1, num_mel_bins=8,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, max_source_positions=8, max_target_positions=32, init_std=0.8,
        decoder_start_token_id=start, eos_token_id=0, pad_token_id=1, bos_token_id=0,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config)
    return model, {"input_features": torch.randn(2, 8, 16)}


def t5(transformers, size, start):
    config = transformers.T5Config(
        vocab_size=size, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        decoder_start_token_id=start, eos_token_id=0, pad_token_id=1, initializer_factor=1.5,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config)
    return model, {"input_ids": torch.randint(3, size, (2, 5))}


SEARCHES = {"greedy": {"num_beams": 1}, "beams": {"num_beams": 4, "num_return_sequences": 4}}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("make", [whisper, t5])
def test_a_search_equals_rescoring_by_hand(make, search, model, tokenizer):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    start = id_of(tokenizer, START)
    decoder, inputs = make(transformers, tokenizer.size + MORE_TIMES, start)
    decoder.eval()

    def generate(*processors):
        return transformers.GenerationMixin.generate(
            decoder, **inputs, **search, do_sample=False, length_penalty=0.0, max_new_tokens=6,
            return_dict_in_generate=True, output_scores=True,
            logits_processor=transformers.LogitsProcessorList(processors),
        )  # fmt: skip

    plain, nothing = generate(), generate(ShallowFusion(model, 0.0))
    fusion = ShallowFusion(model, 0.7)
    fused, again = generate(fusion), generate(fusion)
    assert torch.equal(plain.sequences, nothing.sequences)
    assert torch.equal(fused.sequences, again.sequences)
    assert not torch.equal(plain.sequences, fused.sequences)
    # Score each hypothesis by hand; in a greedy search no other token would have scored higher.
    several = search.get("num_return_sequences", 1)
    for number, sequence in enumerate(fused.sequences.tolist()):
        end = sequence.index(0) + 1 if 0 in sequence else len(sequence)
        ids = sequence[:end]
        one = {name: value[[number // several]] for name, value in inputs.items()}
        with torch.no_grad():
            logits = decoder(**one, decoder_input_ids=torch.tensor([ids])).logits[0, :-1].double()
        expected_TV = fused_by_hand(logits.log_softmax(-1).numpy(), ids[1:], model)
        total = expected_TV[np.arange(len(ids) - 1), ids[1:]].sum()
        if several > 1:
            assert float(fused.sequences_scores[number]) == pytest.approx(total, abs=1e-3)
        else:
            assert expected_TV.argmax(axis=1).tolist() == ids[1:]


def fused_by_hand(logprob_TV, ids, model):
    """Return log-probabilities of a hypothesis: the decoder's and 0.7 of the language model's."""
    tokenizer = model.tokenizer
    is_text_V = tokenizer.is_text_V.copy()
    is_text_V[[id_of(tokenizer, time) for time in TIMES]] = False
    fused_TV, read = logprob_TV.copy(), [0]
    for fused_V, token in zip(fused_TV, ids, strict=True):
        predicted = model.predict(np.array([read]), model.initial_state(1))[0]
        after_V = as_numpy(predicted)[0, -1].astype(float)
        fused_V[: tokenizer.size][is_text_V] += 0.7 * after_V[is_text_V]
        fused_V[0] += 0.7 * after_V[0]
        if token < tokenizer.size and is_text_V[token]:
            read.append(token)
    return fused_TV
