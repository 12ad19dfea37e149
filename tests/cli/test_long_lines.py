"""A line that is read as a whole takes memory by its length: one beyond the limit is refused."""

import pytest

from rnnlm.text import batches

LIMIT = 40


@pytest.mark.parametrize("command", ["embed", "embed --words", "translate", "score", "tag"])
def test_a_line_beyond_the_limit_is_refused(
    rnnlm, models, tagger, translator, here, monkeypatch, command
):
    monkeypatch.setattr(batches, "LONGEST_WHOLE", LIMIT)
    lines = [" ".join(["two"] * words) for words in (LIMIT - 2, LIMIT + 1)]
    (here / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    pairs = "english\tfrench\n" + "".join(f"{line}\tdeux\n" for line in lines)
    (here / "pairs.tsv").write_text(pairs, encoding="utf-8")
    name, *options = command.split()
    model = {"embed": models.lstm, "tag": tagger.folder}.get(name, translator.folder)
    given = ("-o", "out.npy") if name == "embed" else ()
    source = (
        ("pairs.tsv", "--column", "english", "--target-column", "french")
        if name == "score"
        else ("lines.txt",)
    )
    ended = rnnlm(name, "-m", model, "--input", *source, *given, *options)
    assert ended.code == 1
    assert " tokens\n  why: it is read as a whole, and the limit is 40\n" in ended.err
    if name in ("embed", "translate"):
        assert ended.err.startswith("error: line 2 has 42 tokens")
    assert not (here / "out.npy").exists()
