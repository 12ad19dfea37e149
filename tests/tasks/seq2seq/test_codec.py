"""Two tokenizers in a model's folder."""

import json

import pytest

from rnnlm.errors import ModelError, RnnlmError
from rnnlm.tasks.seq2seq.data import FILE, PairCodec, codec, make_codec
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request
from support.tiny_pairs import TRAIN, fit, save
from support.tiny_seq2seq import SOURCE, TARGET
from support.tiny_translators import parallel_text


@pytest.mark.parametrize("target", [TARGET, None], ids=["two", "shared"])
def test_it_comes_back_from_its_files(target):
    stored = PairCodec(SOURCE, target, {"spelled": True, "column": "english"})
    found = codec(SOURCE, stored.to_files())
    assert found.fingerprint == stored.fingerprint
    assert found.is_shared == (target is None)
    assert found.details == stored.details
    assert found.target.symbols() == (target or SOURCE).symbols() and found.spelled


@pytest.mark.parametrize("changed, message", [
    (None, "is missing"), (b"{", "damaged"), ({"shared": 3}, "damaged"),
    ({"target": {"tokenizer": "nothing"}}, "damaged"),
], ids=str)  # fmt: skip
def test_a_damaged_file_of_pairs_is_refused(changed, message):
    files = PairCodec(SOURCE, TARGET).to_files()
    if changed is None:
        del files[FILE]
    else:
        if isinstance(changed, dict):
            changed = json.dumps(json.loads(files[FILE]) | changed).encode()
        files[FILE] = changed
    with pytest.raises(ModelError, match=message):
        codec(SOURCE, files)


# ---- The tokenizers of another encoder-decoder: one of each side, or one of both, and nothing
# else than it brings.


@pytest.fixture(scope="module", params=["true", "false"], ids=["shared", "two"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "model"
    settings = {"shared_vocabulary": request.param == "true"}
    save(folder, fit("lstm", **settings), **settings)
    return request.param == "true", str(folder)


def codec_of(folder, **settings):
    given = {"tokenizer_from": folder, "assignments": settings}
    request = TrainingRequest(text=("pairs.tsv",), task="seq2seq", **given)
    _, _, resolved = resolve_request(request)
    codec, resolved = make_codec(request, resolved, parallel_text(TRAIN), {})
    return codec, resolved.values


def test_a_shared_vocabulary_is_taken_over_and_may_share_vectors(model):
    is_shared, folder = model
    codec, values = codec_of(folder)
    assert codec.is_shared == values["shared_vocabulary"] == is_shared
    expected = codec.fingerprint
    assert codec_of(folder, shared_vocabulary=str(is_shared).lower())[0].fingerprint == expected
    if is_shared:
        assert codec_of(folder, tied_embeddings="all")[0].is_shared
        return
    with pytest.raises(RnnlmError, match="tied_embeddings = all needs one vocabulary"):
        codec_of(folder, tied_embeddings="all")


@pytest.mark.parametrize("settings", [
    {"shared_vocabulary": None}, {"target_tokenizer": "char"}, {"target_lowercase": "true"},
    {"tokenizer": "byte"},
], ids=str)  # fmt: skip
def test_what_they_are_not_is_refused(model, settings):
    is_shared, folder = model
    given = {name: value or str(not is_shared).lower() for name, value in settings.items()}
    with pytest.raises(RnnlmError, match=f"`tokenizer_from` has {next(iter(given))} = "):
        codec_of(folder, **given)


def test_a_label_models_tokenizer_serves_both_sides(tagger):
    codec, values = codec_of(str(tagger.folder), shared_vocabulary="true")
    assert codec.is_shared and codec.source.name == values["tokenizer"] == "word"
