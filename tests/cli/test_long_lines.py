"""A line beyond the limit of what is read as a whole has no result; the others have theirs."""

import json

import numpy as np
import pytest

from rnnlm.text import batches

pytestmark = pytest.mark.needs("tasks/labelling", "tasks/seq2seq", "tools/vectors")

LIMIT = 40
WHY = "it is read as a whole, and the limit is 40"


@pytest.fixture(autouse=True)
def _limit(monkeypatch):
    monkeypatch.setattr(batches, "LONGEST_WHOLE", LIMIT)


@pytest.mark.parametrize("command", ["embed", "translate", "score", "tag", "classify"])
def test_one_row_beyond_the_limit_costs_its_own_result(
    rnnlm, models, tagger, classifier, translator, here, command
):
    lines = [" ".join(["two"] * words) for words in (3, LIMIT + 1, 3)]
    rows = [{"english": line, "french": "deux"} for line in [*lines, None]]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folders = {"embed": models.lstm, "tag": tagger.folder, "classify": classifier.folder}
    options = {"embed": ["-o", "-"], "score": ["--target-column", "french", "-o", "out.jsonl"]}
    ended = rnnlm(
        command, "-m", folders.get(command, translator.folder), "--input", "rows.jsonl",
        "--column", "english", *options.get(command, ["--json"]),
    )  # fmt: skip
    assert ended.code == 0, ended.err
    written = (here / "out.jsonl").read_text() if command == "score" else ended.out
    found = [json.loads(line) for line in written.splitlines()]
    reasons = [row.get("reason") for row in found]
    assert reasons[0] is reasons[2] is None and WHY in reasons[1] and "no " in reasons[3]
    # The results beside it are those that the rows have alone.
    result = {
        "embed": "vector", "translate": "text", "score": "logprob_nats", "tag": "labels",
        "classify": "labels",
    }[command]  # fmt: skip
    assert found[0][result] == found[2][result]
    empty = (None, "", {}, {"slots": []}, {"upos": []}, {"2": []})
    assert found[1][result] in empty and found[3][result] in empty
    assert command == "score" or WHY in ended.err


@pytest.mark.parametrize("task", ["tagger", "classifier", "translator"])
def test_evaluation_leaves_a_line_beyond_the_limit_out(rnnlm, request, here, task):
    model = request.getfixturevalue(task)
    data = model.valid
    short = data.read_text()
    words = ["two"] * (LIMIT + 1)
    long = {"tagger": "\n" + "two\tO\n" * len(words), "classifier": f"x\t{' '.join(words)}\n"}
    added = long.get(task, f"{' '.join(words)}\tdeux\n")
    (here / data.name).write_text(short + added)
    found = []
    for file in (data, here / data.name):
        ended = rnnlm("eval", "-m", model.folder, file, "--json")
        found.append(json.loads(ended.out))
        found[-1].pop("seconds", None)
    assert "1 of" in ended.err and f"more than {LIMIT} tokens" in ended.err
    assert found[0] == found[1]


def test_arrays_of_vectors_keep_their_rows(rnnlm, models, here):
    lines = [" ".join(["two"] * words) for words in (3, LIMIT + 1, 3)]
    (here / "lines.txt").write_text("\n".join(lines))
    assert rnnlm("embed", "-m", models.lstm, "--input", "lines.txt", "-o", "a.npy").code == 0
    assert np.isnan(np.load(here / "a.npy")).all(axis=1).tolist() == [False, True, False]
    ended = rnnlm("embed", "-m", models.lstm, "--input", "lines.txt", "--words", "-o", "b.npy")
    assert ended.code == 0 and len(np.load(here / "b.npy")) == 6
