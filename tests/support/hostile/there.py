"""What the rows of the tables begin with: models, a text and lists that are whole."""

import pytest

from rnnlm.cli.main import run
from rnnlm.models.loading import load_tokenizer
from rnnlm.text.prepared import encoder
from rnnlm.text.prepared.preparation import prepare
from support import tiny_seq2seq
from support.hostile import arpa, requests


@pytest.fixture(scope="session")
def there(models, tagger, classifier, tmp_path_factory):
    """Make what rows name in braces: models of every kind, a text, lists. No test changes them."""
    folder = tmp_path_factory.mktemp("hostile")
    names = {name: folder / name for name in ("ngram", "mixture", "subwords")}
    (folder / "arpa").write_bytes(arpa.SMALL)
    (folder / "nbest.tsv").write_bytes(requests.GOOD)
    (folder / "pairs.tsv").write_bytes(b"good\tbad\nthe man\tman the\n")
    for command in (
        [
            "train",
            models.text,
            "--model",
            "ngram",
            "--order",
            "2",
            "--tokenizer-from",
            models.lstm,
            "-o",
            names["ngram"],
        ],
        [
            "train",
            models.text,
            "--model",
            "unigram",
            "--tokenizer",
            "sentencepiece",
            "--set",
            "vocab_size=600",
            "-o",
            names["subwords"],
        ],
        [
            "mix",
            models.lstm,
            names["ngram"],
            "--weights",
            "0.5,0.5",
            "--bundle",
            "-o",
            names["mixture"],
        ],
    ):
        assert run([str(argument) for argument in command]) == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoder, "SHARD_BYTES", 4_000)
        list(
            prepare(
                models.text,
                folder / "prepared",
                tokenizer=load_tokenizer(models.unigram),
                workers=0,
            )
        )
    return names | {"lstm": models.lstm, "unigram": models.unigram, "text": models.text,
                    "valid": models.valid, "tagger": tagger.folder,
                    "classifier": classifier.folder,
                    "translator": tiny_seq2seq.saved(folder / "translator"),
                    "arpa": folder / "arpa",
                    "nbest": folder / "nbest.tsv", "pairs": folder / "pairs.tsv",
                    "prepared": folder / "prepared"}  # fmt: skip
