"""Networks and n-grams trained on another model's pieces: --tokenizer-from hf:FOLDER."""

import huggingface_hub.constants
import pytest
from tokenizers import Tokenizer as TheirTokenizer

import rnnlm as library
from rnnlm.errors import ModelError, UsageError
from rnnlm.lm.base import loading
from rnnlm.tools.huggingface import hub
from support import foreign_tokenizers as foreign
from support.tiny_models import LINES

SMALL = "--budget 2steps --set hidden_size=8 --set embedding_size=8".split()


@pytest.fixture
def folder(here):
    (here / "text.txt").write_text("\n".join(LINES))
    (here / "valid.txt").write_text("the cat saw a dog\n")
    return foreign.save(here / "theirs", "byte-level", vocab_size=384)


def test_models_and_mixtures_share_its_ids(folder, rnnlm):
    given = ["--tokenizer-from", "hf:theirs", "--valid", "valid.txt"]
    ngram = ["train", "text.txt", *given, "--model", "ngram", "-o", "ours"]
    assert rnnlm(*ngram).code == 0
    assert rnnlm("train", "text.txt", *given, *SMALL, "-o", "lstm").code == 0
    loaded = library.load("ours").core.tokenizer
    theirs = TheirTokenizer.from_file(str(folder / "tokenizer.json"))
    for line in LINES:
        assert loaded.encode([line]).ids[:-1].tolist() == theirs.encode(line).ids
    assert loaded.size == 384
    assert loaded.fingerprint == loading.load_tokenizer("hf:theirs").fingerprint
    assert rnnlm("mix", "ours", "lstm", "--on", "valid.txt", "-o", "mixture").code == 0
    shown = rnnlm("eval", "-m", "mixture", "valid.txt", "--json").json
    assert shown["tokens"] == len(theirs.encode("the cat saw a dog").ids) + 1
    words = rnnlm("score", "-m", "lstm", "--words", "the cat's mat").out
    assert "cat's" in words and "mat" in words
    assert rnnlm("doctor", "-m", "ours").code == 0
    # A command that is finished says so; another tokenizer is another run.
    assert "ours is finished" in rnnlm(*ngram).err
    foreign.save(folder, "llama")
    changed = rnnlm(*ngram)
    assert changed.code == 1 and "ours already holds another result" in changed.err


def test_mixtures_with_the_model_itself_line_up(here, rnnlm):
    pytest.importorskip("transformers")
    from support import foreign_models

    foreign_models.save(here / "theirs", "gpt2")
    (here / "text.txt").write_text("\n".join(LINES))
    ngram = ["train", "text.txt", "--tokenizer-from", "hf:theirs", "--model", "ngram", "-o", "ours"]
    assert rnnlm(*ngram, "--holdout", "0").code == 0
    own = library.load("hf:theirs").core.tokenizer
    assert own.fingerprint == library.load("ours").core.tokenizer.fingerprint
    assert rnnlm("mix", "hf:theirs", "ours", "--on", "text.txt", "-o", "mixture").code == 0
    compared = rnnlm("compare", "hf:theirs", "ours", "--on", "text.txt", "--resamples", "20")
    assert "difference in bits" in compared.out  # token by token


def test_texts_are_prepared_and_counted_with_it(folder, rnnlm):
    given = ["--tokenizer-from", "hf:theirs"]
    assert rnnlm("prepare", "text.txt", *given, "-o", "prepared").code == 0
    assert rnnlm("count", "text.txt", *given, "--order", "2", "-o", "counts").code == 0
    wanted = loading.load_tokenizer("hf:theirs").fingerprint
    assert loading.load_tokenizer("prepared").fingerprint == wanted
    counted = rnnlm(
        "train", "--counts", "counts", "--model", "ngram", "--holdout", "0", "-o", "ours"
    )
    assert counted.code == 0
    assert library.load("ours").core.tokenizer.fingerprint == wanted


def test_the_cache_of_the_hub_is_looked_into(here, monkeypatch):
    cache = here / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    repository = cache / "models--owner--name"
    foreign.save(repository / "snapshots" / ("0" * 40), "llama")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    assert loading.load_tokenizer("hf:owner/name").boundary_id == 2
    assert loading.load_tokenizer(f"hf:owner/name@{'0' * 40}").boundary_id == 2
    with pytest.raises(ModelError, match="hf:owner/other is not on this machine") as error:
        loading.load_tokenizer("hf:owner/other")
    assert error.value.hint == "fetch it: add --download"
    with pytest.raises(UsageError, match="hf: names no model"):
        loading.load_tokenizer("hf:")


def test_only_the_files_of_a_tokenizer_are_downloaded():
    files = ["config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin"]
    assert hub._needed(files, needs_model=False) == files[:2]
    assert hub._needed(files, needs_model=True) == files[:3]


@pytest.mark.parametrize("options, message", [
    (["--tokenizer", "huggingface"], "it is the tokenizer of another model"),
    (["--tokenizer-from", "hf:theirs", "--lowercase"], "has lowercase = False"),
    (["--tokenizer-from", "hf:nowhere"], "hf:nowhere is not on this machine"),
    (["--tokenizer-from", "hf:empty"], "empty has no tokenizer"),
])  # fmt: skip
def test_bad_input_is_one_line(folder, rnnlm, options, message):
    (folder.parent / "empty").mkdir()
    failed = rnnlm("train", "text.txt", "--model", "ngram", *options, "-o", "ours")
    assert failed.code and message in failed.err
