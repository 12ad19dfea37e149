"""Holds exported folders to what our models compute; needs transformers, and no rnnlm.

`python exported_program.py FOLDER` takes what tests/support/exported_models.py has written.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def check(folder: Path) -> None:
    """Hold the model in `folder` to FOLDER.json."""
    expected = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    texts = expected["texts"]
    boundary = expected["boundary"]
    assert {tokenizer.bos_token_id, tokenizer.eos_token_id} == {boundary}
    assert tokenizer.pad_token_id not in [id for facts in texts for id in facts["ids"]]
    assert model.config.pad_token_id == tokenizer.pad_token_id < model.config.vocab_size
    check_tokenizer(tokenizer, texts)
    for facts in texts:
        check_alone(model, facts, boundary)
    for side in ("left", "right"):
        check_batch(model, tokenizer, texts, side, boundary)
    check_losses(model, tokenizer, texts)
    check_generation(model, tokenizer, texts)
    for options in ({}, {"num_beams": 2, "num_return_sequences": 2}):
        check_going_on(model, texts, use_cache=True, **options)
        check_going_on(model, texts, use_cache=False, **options)
    check_saving(model, folder)
    check_resizing(model, texts)


def check_tokenizer(tokenizer, texts) -> None:
    """Read texts as ids with their places, pad them, write them back, and store the tokenizer."""
    assert tokenizer.is_fast and tokenizer.padding_side == "left"
    with tempfile.TemporaryDirectory() as place:
        tokenizer.save_pretrained(place)
        again = AutoTokenizer.from_pretrained(place)
    for facts in texts:
        read = tokenizer(facts["text"], return_offsets_mapping=True)
        assert set(read) == {"input_ids", "attention_mask", "offset_mapping"}
        assert read["input_ids"] == facts["ids"], facts["text"]
        assert max(end for _, end in read["offset_mapping"]) == len(facts["text"])
        assert again(facts["text"], return_offsets_mapping=True) == read
        assert tokenizer.decode(facts["ids"], skip_special_tokens=True) == facts["decoded"]
    lengths = [len(facts["ids"]) for facts in texts]
    padded = tokenizer([facts["text"] for facts in texts], padding=True)
    for facts, row, mask in zip(texts, *padded.values(), strict=True):
        missing = max(lengths) - len(facts["ids"])
        assert row == [tokenizer.pad_token_id] * missing + facts["ids"]
        assert mask == [0] * missing + [1] * len(facts["ids"])


@torch.no_grad()
def check_alone(model, facts, boundary) -> None:
    """Read a text as a whole, with its loss, and step by step."""
    ids_1T = torch.tensor([facts["ids"]])
    targets_1T = torch.tensor([[*facts["ids"][1:], boundary]])
    ours_1T = torch.tensor([facts["logprobs"]])
    whole = model(ids_1T, output_hidden_states=True)
    torch.testing.assert_close(at_targets(whole.logits, targets_1T), ours_1T, **CLOSE)
    assert len(whole.hidden_states) == model.config.num_hidden_layers + 1
    # Texts side by side in one row, masks of four dimensions and other caches would be misread.
    double = {"input_ids": ids_1T.repeat(1, 2)}
    places_1T = torch.arange(ids_1T.shape[1])[None].repeat(1, 2)
    for wrong in (
        {"position_ids": places_1T},
        {"attention_mask": torch.ones(1, 1, 2, 2)},
        {"past_key_values": transformers.DynamicCache()},
    ):
        try:
            model(**double, **wrong)
        except (TypeError, ValueError):
            continue
        raise AssertionError(f"{list(wrong)} are read")
    mask_BT = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]])
    padded = {"input_ids": mask_BT, "attention_mask": mask_BT}
    positions = torch.tensor([[0, 0, 0, 1], [0, 1, 0, 0]])
    assert torch.equal(model(**padded, position_ids=positions).logits, model(**padded).logits)
    model.config.output_hidden_states = True
    assert model(ids_1T, output_hidden_states=False).hidden_states is None
    model.config.output_hidden_states = False
    torch.testing.assert_close(model(ids_1T, logits_to_keep=1).logits, whole.logits[:, -1:])
    vectors = model.get_input_embeddings()(ids_1T)
    torch.testing.assert_close(model(inputs_embeds=vectors).logits, whole.logits)
    # transformers shifts the labels itself.
    joined = torch.cat((ids_1T, targets_1T[:, -1:]), dim=1)
    torch.testing.assert_close(model(joined, labels=joined).loss, -ours_1T.mean(), **CLOSE)
    name = "cache" if "cache" in whole else "past_key_values"
    cache = None
    for t in range(ids_1T.shape[1]):
        step = model(ids_1T[:, t : t + 1], **{name: cache})
        cache = step[name]
        torch.testing.assert_close(
            at_targets(step.logits, targets_1T[:, t : t + 1]), ours_1T[:, t : t + 1], **CLOSE
        )
    assert cache.get_seq_length() == ids_1T.shape[1]


@torch.no_grad()
def check_batch(model, tokenizer, texts, side, boundary) -> None:
    """Read all texts side by side, padded."""
    batch = tokenizer(
        [facts["text"] for facts in texts], padding=True, padding_side=side, return_tensors="pt"
    )
    logits = model(**batch).logits
    for row, facts in enumerate(texts):
        places_T = batch["attention_mask"][row].nonzero().flatten()
        targets_T = torch.tensor([*facts["ids"][1:], boundary])
        ours_T = torch.tensor(facts["logprobs"])
        torch.testing.assert_close(at_targets(logits[row, places_T], targets_T), ours_T, **CLOSE)


def check_generation(model, tokenizer, texts) -> None:
    """Generate greedily, by beams and samples, with and without a cache, alone and side by side."""
    prompts = [facts["text"] for facts in texts]
    batch = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt")
    length = batch["input_ids"].shape[1]
    options = {"max_new_tokens": 6}
    rows = model.generate(**batch, do_sample=False, **options)[:, length:].tolist()
    for facts, row in zip(texts, rows, strict=True):
        assert row[: len(facts["greedy"])] == facts["greedy"], facts["text"]
    same = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        same.append(
            [
                model.generate(**batch, num_beams=3, use_cache=use_cache, **options).tolist(),
                model.generate(
                    **batch, do_sample=True, num_return_sequences=2, use_cache=use_cache, **options
                ).tolist(),
                model.generate(use_cache=use_cache, do_sample=True, **options).tolist(),
            ]
        )
    assert same[0] == same[1]
    beams = model.generate(**batch, num_beams=3, num_return_sequences=2, **options)
    alone = tokenizer(prompts[1], return_tensors="pt")
    one = model.generate(**alone, num_beams=3, num_return_sequences=2, **options)[
        :, alone["input_ids"].shape[1] :
    ]
    assert beams[2:4, length:][:, : one.shape[1]].tolist() == one.tolist()
    # Stop at a string, here one that is made of several tokens.
    shortest = {"do_sample": False, "min_new_tokens": 6}
    row = model.generate(**alone, **shortest, **options)[0].tolist()
    string = tokenizer.decode(row[:-3])[-4:]
    stopped = model.generate(
        **alone, **shortest, **options, stop_strings=[string], tokenizer=tokenizer
    )[0].tolist()
    assert row[: len(stopped)] == stopped and len(stopped) <= len(row) - 3
    assert string in tokenizer.decode(stopped)


def check_going_on(model, texts, **options) -> None:
    """Generate after vectors, and after states: the whole text, or what is new."""
    ids_1T = torch.tensor([max((facts["ids"] for facts in texts), key=len)])
    T = ids_1T.shape[1]
    vectors = model.get_input_embeddings()(ids_1T)
    mask_1T = torch.ones_like(ids_1T)

    def generated(given=None, cache=None, mask=None, **more):
        if cache is not None:
            more["cache" if "cache" in cache else "past_key_values"] = next(
                cache[name] for name in ("cache", "past_key_values") if name in cache
            )
        lengths = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
        rows = model.generate(given, attention_mask=mask, **lengths, **options, **more)
        return rows[:, -5:].tolist()

    whole = generated(ids_1T)
    # From 5.0 on.
    has_chunks = hasattr(type(model).__mro__[1], "_prefill") and options["use_cache"]
    assert generated(inputs_embeds=vectors) == whole
    assert generated(inputs_embeds=vectors, mask=mask_1T) == whole
    for read in (1, 2, T - 1):
        state = model(ids_1T[:, :read], use_cache=True)
        new_1T = ids_1T[:, read:]
        for mask in (None, mask_1T):
            assert generated(ids_1T, state, mask) == whole
            assert generated(new_1T, state, mask) == whole
            if has_chunks:
                assert generated(ids_1T, state, mask, prefill_chunk_size=2) == whole
                assert generated(new_1T, state, mask, prefill_chunk_size=2) == whole
            assert generated(cache=state, mask=mask, inputs_embeds=vectors) == whole
    ended = model.generate(ids_1T[:, :2], return_dict_in_generate=True, max_new_tokens=2)
    on_1T = torch.cat((ended.sequences, ids_1T[:, 2:]), dim=1)
    assert generated(on_1T, ended) == generated(on_1T)


@torch.no_grad()
def check_losses(model, tokenizer, texts) -> None:
    """Leave padding on either side out of the loss, and have it spoil no entropy."""
    lines = [facts["text"] for facts in texts]
    pad = tokenizer.pad_token_id
    predicted = torch.tensor([logprob for facts in texts for logprob in facts["logprobs"][:-1]])
    for side in ("left", "right"):
        batch = tokenizer(lines, padding=True, padding_side=side, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["input_ids"] == pad, -100)
        for counted in (labels, batch["input_ids"]):
            torch.testing.assert_close(
                model(**batch, labels=counted).loss, -predicted.mean(), **CLOSE
            )
    logp = model(torch.tensor([texts[0]["ids"]])).logits.log_softmax(-1)
    assert logp[..., pad].max() < -90 or pad < logp.shape[-1] - 1
    assert (logp.exp() * logp).sum(-1).isfinite().all()


@torch.no_grad()
def check_resizing(model, texts) -> None:
    """Add words, which change nothing among the old ones."""
    ids_1T = torch.tensor([texts[0]["ids"]])
    V = model.config.vocab_size
    before = model(ids_1T).logits.log_softmax(-1)
    model.resize_token_embeddings(V + 5)
    after = model(ids_1T).logits
    assert after.shape[-1] == V + 5
    torch.testing.assert_close(after[..., :V].log_softmax(-1), before, rtol=1e-5, atol=1e-4)


def check_saving(model, folder) -> None:
    """Save the model again, and make one of its configuration alone."""
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(place)
        again = AutoModelForCausalLM.from_pretrained(place, trust_remote_code=True)
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    # PEFT takes the first weight with V rows for the words.
    V = model.config.vocab_size
    first = next(weight for weight in model.parameters() if weight.shape[0] == V)
    assert first is model.get_input_embeddings().weight
    fresh = AutoModelForCausalLM.from_config(model.config, trust_remote_code=True)
    ids_1T = torch.tensor([[1, 1]])
    fresh(ids_1T, labels=ids_1T).loss.backward()
    assert all(weight.isfinite().all() for weight in fresh.parameters())


def at_targets(logits, targets):
    return torch.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


if __name__ == "__main__":
    for facts_file in sorted(Path(sys.argv[1]).glob("*.json")):
        check(facts_file.with_suffix(""))
        print(f"{facts_file.stem}: equal in transformers {transformers.__version__}")
