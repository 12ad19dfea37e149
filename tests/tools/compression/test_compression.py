"""Texts compressed by models: their bytes come back, and the file is as large as the model says."""

import contextlib
import math

import numpy as np
import pytest

from rnnlm.cli.main import run
from rnnlm.errors import ModelError, TextError
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.text.corpus import open_text
from rnnlm.tools.compression import compression
from rnnlm.tools.compression.arithmetic import Coder, bounds_of
from rnnlm.tools.compression.compression import Compressor
from support.failing_files import failing
from support.failures import checked_error

TEXTS = {
    "empty": b"", "blank lines": b"\n \n\t\r\n", "no last line end": b"the cat sat",
    "CRLF": b"The play was to open.\r\n" * 20,
    "blanks": b"\n\n  two  spaces,\tand a tab \n\n the end \n",
    "unknown words": "Zyzzyva na\u00efve \u65e5\u672c\u8a9e zyzzyva the zyzzyva\n".encode(),
    "capitals": b'THE Play wAS to OPEN; i. "The," he\n', "symbols": b"<unk> <s> </s>\n</s>\n",
    "Latin-1": b"caf\xe9 ol\xe9\nthe cat\n", "NUL": b"a\0b\0\n\0\n",
    "UTF-16": "the cat\n".encode("utf-16"), "binary": bytes(range(256)) * 2,
    "one byte": b"a" * 300, "odd": "\ufeffa\u2028b\x0b c\x85 \u00a0x\u3000\n".encode(),
}  # fmt: skip
SPELLING = "hidden_size=8 --set tokenizer=word --set characters=cnn --budget 2steps"
PIECES = "tokenizer=sentencepiece --set vocab_size=400 --model ngram"


@pytest.fixture(scope="module", params=[
    "kn", "lower", "chars", "bytes", "pieces", "kn+unigram",
    *(pytest.param(name, marks=pytest.mark.soak) for name in (
        "lstm", "lstm+cache", "lstm+dynamic", "both", "spelled")),
])  # fmt: skip
def compressor(request, trained, tmp_path_factory):
    """Return a compressor by one kind of model."""
    folder = tmp_path_factory.mktemp("models")
    text = [str(trained / "train.txt"), "--holdout", "0", "--set"]
    makes = {
        "both": ["mix", trained / "lstm", trained / "kn", "--weights", "0.5,0.5"],
        "spelled": ["train", *text, *SPELLING.split()],
        "pieces": ["train", *text, *PIECES.split()],
    }
    if request.param in makes:
        trained = folder
        assert run([*map(str, makes[request.param]), "-o", str(folder / request.param)]) == 0
    return Compressor(str(trained / request.param), "cpu")


def test_every_text_comes_back(compressor):
    for name, text in TEXTS.items():
        data = compressor.compress(text)[0]
        assert b"".join(compressor.decompress(data)) == text, name


def test_known_text_takes_what_the_model_says(compressor, trained, here):
    """Tokens as the tokenizer has them take half a per cent more, and the last bytes."""
    lines = (trained / "train.txt").read_text(encoding="utf-8").split("\n")[:24]
    ids = compressor.tokenizer.encode(lines).ids
    text = compressor.tokenizer.decode(ids) + "\n"
    (here / "known.txt").write_text(text, encoding="utf-8")
    data, bits = compressor.compress(text.encode("utf-8"))
    assert len(data) < 1.005 * bits / 8 + 150  # the header and the last bytes
    nats = evaluate(compressor.model, open_text(("known.txt",))).logprob_nats
    assert bits == pytest.approx(-nats / math.log(2), rel=1e-4)


@pytest.mark.soak
@pytest.mark.parametrize("byte", [b"a", b"\n", b"\xff"])
def test_a_megabyte_of_one_byte(trained, byte):
    compressor = Compressor(str(trained / "kn"), "cpu")
    data = compressor.compress(byte * 1_000_000)[0]
    assert len(data) < 300 and b"".join(compressor.decompress(data)) == byte * 1_000_000


def test_last_bits_that_differ_are_noticed_within_a_block(trained, monkeypatch):
    monkeypatch.setattr(compression, "BLOCK", 50)
    compressor = Compressor(str(trained / "kn"), "cpu")
    text = (trained / "valid.txt").read_bytes()
    data = compressor.compress(text)[0]
    tokens = iter(range(10**9))

    def others(p_V):
        return bounds_of(p_V * (1 + 1e-7 * (next(tokens) > 100) * np.arange(len(p_V))))

    monkeypatch.setattr(compression, "bounds_of", others)
    blocks = []
    with pytest.raises(TextError, match="do not come back as they were"):
        blocks.extend(compressor.decompress(data))
    assert blocks and text.startswith(b"".join(blocks))


def test_wrong_and_damaged_files(trained):
    """A file gives back its text or an error: the last bytes may be any."""
    compressor = Compressor(str(trained / "kn"), "cpu")
    text = b"the cat sat on the mat\n"
    data = compressor.compress(text)[0]
    with pytest.raises(ModelError, match=r"another model: kn, \w{12}"):
        next(Compressor(str(trained / "uni"), "cpu").decompress(data))
    cut = [data[:place] for place in range(0, len(data), 5)]
    for wrong in (text, data + b"\0", *cut):
        with pytest.raises((TextError, ModelError)):
            list(compressor.decompress(wrong))
    for place in range(0, len(data), 5):
        damaged = data[:place] + b"\xfe" + data[place + 1 :]
        with contextlib.suppress(TextError, ModelError):
            assert b"".join(compressor.decompress(damaged)) == text


def test_codes_of_any_shares_come_back():
    random = np.random.default_rng(1)
    encoder, wanted = Coder(), []
    for _ in range(2000):
        bounds = bounds_of(random.random(random.integers(1, 50)) ** random.integers(1, 60))
        wanted.append((bounds, int(random.integers(len(bounds) - 1))))
        encoder.code(*wanted[-1])
    encoder.finish()
    decoder = Coder(bytes(encoder.data))
    assert all(decoder.code(bounds, 0) == symbol for bounds, symbol in wanted)
    decoder.finish()
    assert bounds_of(np.zeros(3)).tolist() == [0, 1, 2, 3]


def test_commands(rnnlm, parts):
    text = (parts / "valid.txt").read_bytes()
    shown = rnnlm("compress valid.txt -m kn -o valid.rnz")
    rows = {what: figures for what, *figures in shown.rows}
    size = (parts / "valid.rnz").stat().st_size
    assert rows["text"][0] == f"{len(text):,}" and rows["file"][0] == f"{size:,}"
    assert list(rows) == ["what", "text", "file", "-log2 p", "xz", "zstd"]
    piped = rnnlm("compress", "-", "-m", "kn", "-o", "piped.rnz", "--json", stdin=text).json
    assert [row["bytes"] for row in piped["sizes"]][:2] == [len(text), size]
    assert rnnlm("decompress valid.rnz -m kn -o back.gz").code == 0
    assert (parts / "back.gz").read_bytes() == text
    checked_error(rnnlm("decompress valid.rnz -m kn -o back.gz"), 1, "back.gz already exists")
    checked_error(
        rnnlm("decompress valid.rnz -m uni"), 1, "the text was compressed by another model: kn"
    )


def test_nothing_is_half_written(rnnlm, parts, monkeypatch):
    with failing(parts, ("write",)):
        checked_error(rnnlm("compress valid.txt -m kn -o full"), 1, "cannot write to full")
    assert rnnlm("compress valid.txt -m kn -o valid.rnz").code == 0
    before = sorted(path.name for path in parts.iterdir())

    def interrupted(self, data, progress):
        yield b"the cat"
        raise KeyboardInterrupt

    monkeypatch.setattr(Compressor, "decompress", interrupted)
    assert rnnlm("decompress valid.rnz -m kn -o back.txt").code == 130
    assert sorted(path.name for path in parts.iterdir()) == before and "full" not in before
