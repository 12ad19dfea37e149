"""`rnnlm score` and `rnnlm rescore` with an encoder-decoder, in process."""

import csv
import io
import json
from pathlib import Path

import pytest

from support.tiny_seq2seq import saved

TABLE = (
    "id\tenglish\tfrench\titem\nx\ta dog\tun chien\t1\ny\tthe cat sat\tle chat\t2\nz\ta "
    "dog\tun </s>\t3\n"
)
COLUMNS = ("--column", "english", "--target-column", "french")


@pytest.fixture(scope="module")
def fra(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("encoder-decoder") / "fra", attention="general")


@pytest.fixture
def pairs(here):
    (here / "pairs.tsv").write_text(TABLE)
    rows = [line.split("\t") for line in TABLE.splitlines()[1:]]
    for side, column in (("en", 1), ("fr", 2)):
        (here / f"test.{side}").write_text("".join(f"{row[column]}\n" for row in rows))
    return here


def rows(rnnlm, *arguments, suffix="tsv", **more):
    """Return the rows that a command writes into a file."""
    file = Path(f"rows.{suffix}")
    ended = rnnlm("score", "-m", *arguments, "--overwrite", "-o", file, **more)
    assert ended.code == 0, ended.err
    delimiter = "\t" if suffix == "tsv" else ","
    return list(csv.DictReader(io.StringIO(file.read_text()), delimiter=delimiter))


def test_pairs_from_any_source_score_in_all_forms(rnnlm, fra, pairs):
    table = ("--input", "pairs.tsv", *COLUMNS)
    records = rnnlm("score", "-m", fra, *table, "--json").records
    assert [(each["id"], each["english"], each["item"], each["text"]) for each in records[:2]] == [
        ("x", "a dog", "1", "un chien"), ("y", "the cat sat", "2", "le chat")
    ]  # fmt: skip
    nats = [each["logprob_nats"] for each in records]
    assert nats[2] is None and "</s>" in records[2]["reason"]
    found = rows(rnnlm, fra, *table)
    assert [each["logprob_nats"] for each in found] == [repr(nats[0]), repr(nats[1]), ""]
    assert [each["english"] for each in found] == ["a dog", "the cat sat", "a dog"]
    beside = rows(rnnlm, fra, "--input", "test.en", "--target", "test.fr", suffix="csv")
    expected = [(one["english"], one["logprob_nats"]) for one in found]
    assert [(each["source"], each["logprob_nats"]) for each in beside] == expected
    piped = rows(rnnlm, fra, *COLUMNS, "--keep", "item", stdin=TABLE.encode())
    assert [*piped[0]][:3] == ["id", "english", "item"]
    assert piped[1]["logprob_nats"] == repr(nats[1])
    words, tokens = (rows(rnnlm, fra, *table, by) for by in ("--words", "--tokens"))
    assert [each["word"] for each in words] == ["un", "chien", "</s>", "le", "chat", "</s>", ""]
    bits = [each["surprisal_bits"] for each in words]
    assert [each["surprisal_bits"] for each in tokens] == pytest.approx(bits)


def test_targets_of_one_source_are_ranked_and_compared(rnnlm, fra):
    shown = rnnlm("score", "-m", fra, "--source", "a dog", "un chien", "le chat")
    assert shown.code == 0 and "likelier in total" in shown.out
    piped = rnnlm("score", "-m", fra, "--source", "a dog", stdin=b"un chien\nle chat\n")
    nats, again = ({row[-1]: row[0] for row in each.rows[1:3]} for each in (shown, piped))
    assert nats == again


def test_table_compares_no_targets_across_sources(rnnlm, fra, here):
    (here / "pairs.tsv").write_text("".join(TABLE.splitlines(keepends=True)[:3]))
    shown = rnnlm("score", "-m", fra, "--input", "pairs.tsv", *COLUMNS)
    assert shown.rows[0][0] == "english"
    assert "likelier" not in shown.out and "item" not in shown.out


def test_scores_of_the_same_pairs_are_finished(rnnlm, fra, pairs):
    command = ("score", "-m", fra, "--input", "pairs.tsv", *COLUMNS, "-o", "scores.tsv")
    assert rnnlm(*command).code == 0
    assert "scores.tsv is finished" in rnnlm(*command).err
    other = rnnlm(*command, "--source", "a dog")
    assert other.code != 0


def test_accompanying_language_model_scores_the_target_alone(rnnlm, fra, models, pairs):
    shown = rnnlm(
        "score", "-m", fra, "-m", models.unigram, "--input", "pairs.tsv", *COLUMNS, "--json"
    )
    alone = rnnlm(f"score -m {models.unigram} --input pairs.tsv --column french --json")
    first, second, *_ = shown.records
    assert second["logprob_nats"] == alone.records[0]["logprob_nats"] != first["logprob_nats"]
    assert shown.err.count("signature of") == 2


TABLED = "--input pairs.tsv --column english --target-column french"


@pytest.mark.system("links")
@pytest.mark.parametrize(("options", "message"), [
    (f"-m unigram {TABLED}",
     "unigram is a language model, which reads no source"),
    (f"-m unigram {TABLED}", "leave --target-column out"),
    ("-m unigram 'un chien' --source 'a dog'", "leave --source out"),
    ("-m fra 'un chien'", "name it with --source"),
    ("-m fra --pairs minimal.tsv", "minimal pairs have no sources"),
    (f"-m fra {TABLED} --context carry", "reads each target from its own source"),
    (f"-m fra {TABLED} --source 'a dog'", "the source is given twice"),
    ("-m fra --input test.en --target test.fr --column english", "are for tables and sentences only"),
    ("-m fra --input test.en --target test.fr --target-column none-such", "are for tables and"),
    ("-m fra --target test.fr", "--target needs --input FILE with the sources"),
    ("-m fra --source 'a dog' 'un chien' --target test.fr", "--target: only valid with --input"),
    ("-m fra --input test.en", "not a row of a table of pairs"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused(rnnlm, fra, models, pairs, options, message):
    (pairs / "fra").symlink_to(fra)
    (pairs / "minimal.tsv").write_text("good\tbad\nun chien\tle chien\n")
    (pairs / "unigram").symlink_to(models.unigram)
    shown = rnnlm(f"score {options}")
    assert shown.code in (1, 2) and not shown.out and message in shown.err


def test_translations_are_rescored_with_their_sources(rnnlm, fra, models, here):
    sources = ("the dog", "the cat", "a mat", "a cat on the mat")
    lines = []
    for number in range(1, 5):
        lines += [f"{number}\t1\t0\tun chien", f"{number}\t2\t0\tle chat"]
        lines.append(f"{number}\tREF\t\tle chat")
    (here / "list.tsv").write_text("\n".join(lines) + "\n")
    numbered = (f"{number} {source}\n" for number, source in enumerate(sources, start=1))
    (here / "sources").write_text("".join(numbered))
    command = f"rescore --tune list.tsv -m {fra} -m {models.unigram} --nbest-output"
    missing = rnnlm(f"{command} new.jsonl")
    assert missing.code == 1 and "has no source" in missing.err and "--sources" in missing.err
    shown = rnnlm(f"{command} new.jsonl --sources sources")
    assert shown.code == 0, shown.err
    records = [json.loads(line) for line in (here / "new.jsonl").read_text().splitlines()]
    assert [each["source"] for each in records] == list(sources)
    alone = rnnlm("score", "-m", fra, "--source", sources[3], "le chat", "--json").json
    [chosen] = [each for each in records[3]["hypotheses"] if each["text"] == "le chat"]
    nats = pytest.approx(alone["logprob_nats"], abs=1e-5)
    assert any(value == nats for value in chosen["features"].values())
    # what is read is not written over
    assert rnnlm(f"{command} sources --sources sources --overwrite").code == 2
