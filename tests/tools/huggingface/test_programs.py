"""Programs that evaluate models of transformers give our figures for a model of `rnnlm export
--hf`; where they do not, they are held to what docs/huggingface.md says of that.

`.ci/doors` installs each of them. BABYLM names a checkout of
github.com/babylm/evaluation-pipeline-2025.
"""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import rnnlm
from rnnlm import corpora
from rnnlm.tools.huggingface.export import export

pytestmark = pytest.mark.soak
pytest.importorskip("transformers")

CLOSE = {"abs": 1e-4, "rel": 1e-5}
TEXT = [line for line in corpora.part("english", "test").read_text().splitlines() if line]
LINES = [*TEXT[:40], "xyzzy plugh", "The dog barked."]
HALVES = [(" ".join(line.split()[:3]), " ".join(line.split()[3:])) for line in LINES[:40]]
HALVES = [(context, rest) for context, rest in HALVES if rest and context[-1].isalpha()]
PAIRS = corpora.part("english", "homophones.tsv")


@pytest.fixture(scope="module")
def demo():
    return rnnlm.load("demo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "demo"
    export("demo", folder)
    return str(folder)


@pytest.fixture(scope="module")
def endless(demo):
    """Return log p of each line without its end."""
    return [demo.logprob_nats(line, eos=False) for line in LINES]


@pytest.fixture(scope="module")
def continued(demo):
    """Return log p of the second part of each line, given the first."""
    return [demo.logprob_nats(rest, given=context, eos=False) for context, rest in HALVES]


@pytest.fixture(scope="module")
def pairs(demo):
    """Score minimal pairs without sentence ends: two of them are ties."""
    scores = demo.score_pairs(rnnlm.read_pairs(PAIRS), eos=False)
    assert sum(score.is_tie for score in scores) == 2
    return scores


# ---- minicons.


@pytest.fixture(scope="module")
def scorer(folder):
    minicons = pytest.importorskip("minicons.scorer")
    return minicons.IncrementalLMScorer(folder, tokenizer=folder, trust_remote_code=True)


def total(logprobs):
    return logprobs.sum(0).item()


def test_minicons_scores_sentences_without_their_ends(scorer, demo, endless):
    assert scorer.sequence_score(LINES, reduction=total) == pytest.approx(endless, **CLOSE)
    ended = scorer.sequence_score(LINES, reduction=total, eos_token=True)
    assert ended == pytest.approx([demo.logprob_nats(line) for line in LINES], **CLOSE)


def test_minicons_reads_a_second_boundary_with_bos_token(scorer, demo, endless):
    doubled = scorer.sequence_score(LINES, reduction=total, bos_token=True)
    empty = demo.logprob_nats("")
    differences = [two - one - empty for one, two in zip(endless, doubled, strict=True)]
    print("differences with bos_token=True:", min(differences) + empty, max(differences) + empty)
    assert all(abs(two - one) > 1 for one, two in zip(endless, doubled, strict=True))


def test_minicons_gives_the_surprisals_of_words(scorer, demo):
    [line] = scorer.token_score("the dogs bark", surprisal=True, base_two=True)
    ours = demo.surprisal_bits("the dogs bark", eos=False)
    assert [word for word, _ in line] == ["</s>", *(word for word, _ in ours)]
    assert [bits for _, bits in line[1:]] == pytest.approx([bits for _, bits in ours], **CLOSE)


def test_minicons_scores_continuations(scorer, continued):
    contexts, rests = zip(*HALVES, strict=True)
    scores = scorer.conditional_score(contexts, rests, reduction=total)
    assert scores == pytest.approx(continued, **CLOSE)


# ---- lm-evaluation-harness.

TASK = """\
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
"""
CHOICE = """\
task: pairs
output_type: multiple_choice
doc_to_text: ""
doc_to_target: 0
doc_to_choice: "{{[good, bad]}}"
target_delimiter: ""
metric_list: [{metric: acc}]
"""
ROLLING = """\
task: rolling
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
"""


@pytest.fixture(scope="module")
def harness(folder):
    """Return a function that makes the harness's own `hf` with these arguments."""
    pytest.importorskip("lm_eval")
    from lm_eval.models import huggingface

    def make(**options):
        common = {"device": "cpu", "dtype": "float32", "batch_size": 4, "trust_remote_code": True}
        return huggingface.HFLM(pretrained=folder, logits_cache=False, **common, **options)

    return make


def requests(kind, arguments):
    from lm_eval.api.instance import Instance

    return [
        Instance(request_type=kind, doc={}, arguments=each, idx=number)
        for number, each in enumerate(arguments)
    ]


def test_harness_computes_our_log_probabilities(harness, continued, endless):
    model = harness()
    halves = requests("loglikelihood", [(context, f" {rest}") for context, rest in HALVES])
    scores = [logprob for logprob, _ in model.loglikelihood(halves, disable_tqdm=True)]
    assert scores == pytest.approx(continued, **CLOSE)
    alone = requests("loglikelihood", [("", line) for line in LINES])
    scores = [logprob for logprob, _ in model.loglikelihood(alone, disable_tqdm=True)]
    assert scores == pytest.approx(endless, **CLOSE)


def test_harness_rolls_over_texts_without_a_second_boundary(harness, endless):
    texts = requests("loglikelihood_rolling", [(line,) for line in LINES])
    rolled = harness(add_bos_token=False).loglikelihood_rolling(texts, disable_tqdm=True)
    assert rolled == pytest.approx(endless, **CLOSE)
    doubled = harness().loglikelihood_rolling(texts, disable_tqdm=True)
    differences = [two - one for one, two in zip(endless, doubled, strict=True)]
    print("differences with a second boundary:", min(differences), max(differences))
    assert max(differences) < -1


def test_harness_has_our_accuracy_but_for_ties(harness, pairs, endless, tmp_path, monkeypatch):
    import lm_eval
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [{"good": score.pair.good, "bad": score.pair.bad} for score in pairs]
    texts = [{"text": line} for line in LINES]
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name, task, records in (("pairs", CHOICE, rows), ("rolling", ROLLING, texts)):
        data = tmp_path / f"{name}.jsonl"
        data.write_text("".join(json.dumps(record) + "\n" for record in records))
        (tasks / f"{name}.yaml").write_text(TASK.format(data=data) + task)
    manager = TaskManager(include_path=str(tasks), include_defaults=False)

    def results(name, **options):
        evaluated = lm_eval.simple_evaluate(
            model=harness(**options), tasks=[name], task_manager=manager, bootstrap_iters=0
        )
        return evaluated["results"][name]

    points = [score.point for score in pairs]
    ties_right = sum(math.ceil(point) for point in points) / len(points)
    print("accuracy:", sum(points) / len(points), "ties right:", ties_right)
    assert results("pairs")["acc,none"] == pytest.approx(ties_right, abs=1e-9)
    rolled = results("rolling", add_bos_token=False)
    words = sum(len(line.split()) for line in LINES)
    size = sum(len(line.encode()) for line in LINES)
    assert rolled["word_perplexity,none"] == pytest.approx(
        math.exp(-sum(endless) / words), rel=1e-4
    )
    bits = -sum(endless) / math.log(2) / size
    assert rolled["bits_per_byte,none"] == pytest.approx(bits, rel=1e-4)


# ---- BabyLM's evaluation pipeline of 2025.


@pytest.fixture
def babylm(folder, tmp_path):
    """Return a function that runs a script of the pipeline and returns what it predicted."""
    checkout = os.environ.get("BABYLM")
    if not checkout:
        pytest.skip("BABYLM does not name a checkout of evaluation-pipeline-2025")

    def predictions(script, data, *options):
        module = f"evaluation_pipeline.{script}.run"
        arguments = ["--model_path_or_name", folder, "--backend", "causal", "--data_path", data]
        ended = subprocess.run(
            [sys.executable, "-m", module, *arguments, *options, "--output_dir", tmp_path / "out"],
            cwd=checkout, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr[-3000:]
        [found] = (tmp_path / "out").rglob("predictions.json")
        return json.loads(found.read_text()), found.parent

    return predictions


def as_rows(path: Path, records):
    path.mkdir()
    (path / "rows.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_babylm_chooses_our_sentences_but_for_ties(babylm, pairs, tmp_path):
    records = [
        {"sentence_good": score.pair.good, "sentence_bad": score.pair.bad, "field": "english",
         "UID": "homophones", "linguistics_term": "homophones"}
        for score in pairs
    ]  # fmt: skip
    data = as_rows(tmp_path / "blimp", records)
    chosen, out = babylm("sentence_zero_shot", data, "--task", "blimp", "--save_predictions")
    for score, row in zip(pairs, chosen["homophones"]["predictions"], strict=True):
        assert row["pred"] == (score.pair.good if score.point else score.pair.bad)
    right = sum(math.ceil(score.point) for score in pairs) / len(pairs)
    assert f"homophones: {100 * right:.2f}" in (out / "best_temperature_report.txt").read_text()


def test_babylm_computes_our_log_probabilities(babylm, pairs, tmp_path):
    """The task of unknown words prints a probability for each pair."""
    records = [
        {"sentences": f"{score.pair.good}\t{score.pair.bad}", "ratio": number / 400}
        for number, score in enumerate(pairs)
    ]
    data = as_rows(tmp_path / "wug", records)
    chosen, _ = babylm("sentence_zero_shot", data, "--task", "wug_past", "--save_predictions")
    for score, row in zip(pairs, chosen["wug_past"]["predictions"], strict=True):
        gain = score.good.logprob_nats - score.bad.logprob_nats
        assert row["prob"] == pytest.approx(1 / (1 + math.exp(-gain)), abs=1e-4)


READ = (
    "RTfirstfix", "RTfirstpass", "RTgopast", "RTrightbound", "self_paced_reading_time", "ELAN",
    "LAN", "N400", "P600", "EPNP", "PNP", "Subtlex_log10", "length", "context_length",
    "prev_length",
)  # fmt: skip


def test_babylm_gives_the_surprisals_of_words_of_one_token(babylm, demo, tmp_path):
    words = [line.split() for line in LINES[:12]]
    rows = [
        {"item": " ".join(line[:number]), "word": f" {line[number]}",
         "prev_item": " ".join(line[: number - 1]), "prev_word": f" {line[number - 1]}"}
        for line in words
        for number in range(2, len(line))
    ]  # fmt: skip
    data = tmp_path / "reading.csv"
    with open(data, "w", newline="") as file:
        table = csv.DictWriter(file, [*rows[0], *READ])
        table.writeheader()
        random = Random(1)
        for row in rows:
            table.writerow(row | {name: random.random() for name in READ})
    answers, _ = babylm("reading", data)
    same, other = 0, []
    for row, answer in zip(rows, answers["reading"]["predictions"], strict=True):
        score = demo.score_sentences(
            [row["word"].strip()], given=row["item"], eos=False, tokens=True
        )[0]
        if score.tokens == 1:
            assert answer["pred"] == pytest.approx(-score.logprob_nats, **CLOSE)
            same += 1
        else:
            other.append(answer["pred"] + score.logprob_nats)
    print("words of one token:", same, "of several:", len(other), "differences:", other)
    assert same > 50
    assert max(other, key=abs) > 1
