"""A served model, asked by lm-evaluation-harness itself: it finds the figures of `python -m
rnnlm.lm_eval` and of `rnnlm score --pairs`. `.ci/doors harness` has an environment for it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from rnnlm import system
from rnnlm.integrations.continuations import score_continuations, text_ids
from rnnlm.models import loading
from support.served_processes import serving
from support.tiny_models import LINES, fit, save

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.soak, pytest.mark.system]

HARNESS = "lm_eval is not installed; .ci/doors harness has it"

TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
"""
PAIRS = """\
output_type: multiple_choice
doc_to_text: ""
doc_to_choice: "{{[good, bad]}}"
doc_to_target: 0
target_delimiter: ""
metric_list: [{metric: acc}]
"""
CHOICES = """\
output_type: multiple_choice
doc_to_text: "{{context}}"
doc_to_choice: "{{choices}}"
doc_to_target: label
metric_list: [{metric: acc}]
"""
ROLLING = """\
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{good}}"
metric_list: [{metric: word_perplexity}]
"""
WRITTEN = """\
output_type: generate_until
doc_to_text: "{{context}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["\\n", "."], max_gen_toks: 8}
metric_list: [{metric: exact_match}]
"""
TASKS = "rnnlm_pairs", "rnnlm_choices", "rnnlm_rolling", "rnnlm_written"
# Two sentences that no model can tell apart, and some with words of the vocabulary alone.
ALIKE = {"good": "the cat sat on the mat", "bad": "the cat sat on the mat"}


def pairs_of(path, most):
    """Return minimal pairs of a bundled file."""
    from rnnlm.scoring.pairs.files import read_pairs

    pairs = read_pairs(str(path)).pairs[:most]
    return [ALIKE, *({"good": pair.good, "bad": pair.bad} for pair in pairs)]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """Make a folder of tasks over local files. Nothing is asked of the network."""
    folder = tmp_path_factory.mktemp("tasks")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
    pytest.importorskip("lm_eval", reason=HARNESS)
    pairs = pairs_of(ROOT / "corpora" / "english" / "agreement.tsv", 60)
    choices = [
        {"context": f"{pair['good']}\n{' '.join(pair['good'].split()[:-1])}",
         "choices": [pair["good"].split()[-1], "dog", "in the end"], "label": 0}
        for pair in pairs
    ]  # fmt: skip
    for name, documents in (("pairs", pairs), ("choices", choices)):
        lines = [json.dumps(document) + "\n" for document in documents]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    kinds = {"pairs": PAIRS, "choices": CHOICES, "rolling": ROLLING, "written": WRITTEN}
    for name, rest in kinds.items():
        data = folder / ("pairs.jsonl" if name in ("pairs", "rolling") else "choices.jsonl")
        (folder / f"{name}.yaml").write_text(TASK.format(name=f"rnnlm_{name}", data=data) + rest)
    return folder


MODELS = {
    "demo": None,
    "kn": ("ngram", {"order": 3}),
    "chars": ("lstm", {"tokenizer": "char"}),
    "pieces": ("gru", {"tokenizer": "sentencepiece", "vocab_size": 280}),
}


@pytest.fixture(scope="module", params=MODELS)
def name(request, tmp_path_factory):
    """Return a model, the shipped one or a small one."""
    made = MODELS[request.param]
    if made is None:
        return request.param
    kind, settings = made
    folder = tmp_path_factory.mktemp("models") / request.param
    # Some lines of the bundled text, so that most pairs are told apart.
    text = (ROOT / "corpora" / "english" / "train.txt").read_text(encoding="utf-8")
    lines = [*LINES, *text.splitlines()[:2000]] if kind == "ngram" else LINES * 5
    save(folder, fit(kind, lines, **settings), kind, **settings)
    return str(folder)


def harness(tasks, kind, batch=1, **arguments):
    """Run the harness with a model of this kind; return (answers of each task, its results)."""
    import lm_eval.models
    from lm_eval.tasks import TaskManager

    import rnnlm.lm_eval  # noqa: F401 - the model type `rnnlm`

    found = lm_eval.simple_evaluate(
        model=kind, model_args=arguments, tasks=list(TASKS), batch_size=batch, log_samples=True,
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0, device="cpu",
    )  # fmt: skip
    answers = {}
    for task in TASKS:
        samples = sorted(found["samples"][task], key=lambda sample: sample["doc_id"])
        answers[task] = [sample["filtered_resps"] for sample in samples]
    return answers, found["results"]


def run(*command):
    """Run a command; return what it prints."""
    return subprocess.run(
        system.python("-m", *map(str, command)),
        check=True, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(system.import_path())},
    ).stdout  # fmt: skip


def assert_same_answers(found, expected):
    """Hold the answers to each item of each task against those of another run."""
    for task in TASKS:
        assert len(found[task]) == len(expected[task]) > 50
        for one, other in zip(found[task], expected[task], strict=True):
            if task == "rnnlm_written":
                assert one == other
                continue
            pairs = zip(_numbers(one), _numbers(other), strict=True)
            for (logprob, *greedy), (its_logprob, *its_greedy) in pairs:
                assert logprob == pytest.approx(its_logprob, rel=1e-6, abs=1e-5)
                assert greedy == its_greedy


def _numbers(answers):
    """Return each answer as numbers; the harness writes some of them into files as texts."""
    numbers = []
    for answer in answers:
        parts = answer if isinstance(answer, list | tuple) else [answer]
        logprob, *greedy = parts
        numbers.append([float(logprob), *(str(each) == "True" for each in greedy)])
    return numbers


def test_the_harness_finds_the_figures_of_both_doors(name, tasks, tmp_path, capsys):
    expected, results = harness(tasks, "rnnlm", pretrained=name)
    ways = [{}]
    if name == "demo":
        ways += [{"batch": 7, "num_concurrent": 3}, {"tokenized_requests": False}]
    with serving("-m", name) as server:
        url = f"http://{server.host}:{server.port}/v1/completions"
        for way in ways:
            model = os.path.basename(name)
            found, served = harness(tasks, "local-completions", model=model, base_url=url, **way)
            assert_same_answers(found, expected)
            assert served["rnnlm_pairs"]["acc,none"] == results["rnnlm_pairs"]["acc,none"]

    # The command's scores of pairs are the same; ties count half there, and nothing here.
    details = tmp_path / "details.jsonl"
    printed = run("rnnlm", "score", "-m", name, "--pairs", tasks / "pairs.jsonl", "--no-eos",
                  "--pairs-details", details, "--json")  # fmt: skip
    accuracy = json.loads(printed.splitlines()[-1])
    records = [json.loads(line) for line in details.read_text().splitlines()]
    for record, answers in zip(records, expected["rnnlm_pairs"], strict=True):
        for side, (logprob, _) in zip(("good", "bad"), _numbers(answers), strict=True):
            assert record[f"{side}_logprob_nats"] == pytest.approx(logprob, rel=1e-6, abs=1e-5)
    points = 0.0
    for record, answers in zip(records, expected["rnnlm_pairs"], strict=True):
        # Of equal choices the harness takes the first, which is the good one.
        (good, _), (bad, _) = _numbers(answers)
        points += record["point"] if record["point"] != 0.5 else float(good >= bad)
    assert points / len(records) == pytest.approx(results["rnnlm_pairs"]["acc,none"])
    with capsys.disabled():
        print(
            f"\n{os.path.basename(name)}: accuracy {accuracy['accuracy']:.4f} by the command, "
            f"{results['rnnlm_pairs']['acc,none']:.4f} by the harness, {accuracy['ties']} ties"
        )


def test_the_commands_of_both_doors_answer_alike(tasks, tmp_path):
    shared = ("--tasks", "rnnlm_pairs", "--include_path", tasks, "--log_samples", "--output_path")
    run("rnnlm.lm_eval", "--model", "rnnlm", "--model_args", "pretrained=demo", *shared,
        tmp_path / "own")  # fmt: skip
    with serving("-m", "demo") as server:
        url = f"http://{server.host}:{server.port}/v1/completions"
        run("lm_eval", "--model", "local-completions", "--model_args", f"model=demo,base_url={url}",
            *shared, tmp_path / "served")  # fmt: skip
    answers = []
    for folder in ("own", "served"):
        [path] = (tmp_path / folder).rglob("samples_*.jsonl")
        lines = sorted(map(json.loads, path.open()), key=lambda line: line["doc_id"])
        answers.append([_numbers(line["filtered_resps"]) for line in lines])
    assert len(answers[0]) == len(answers[1]) > 50
    for own, served in zip(*answers, strict=True):
        for one, other in zip(own, served, strict=True):
            assert one == [pytest.approx(other[0], rel=1e-6, abs=1e-5), other[1]]


def test_the_harness_alone_cuts_long_texts(tmp_path):
    pytest.importorskip("lm_eval", reason=HARNESS)
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    model = loading.load("demo")
    context = "\n".join(["the old man saw the dog in the house", *["the dog barked"] * 800])
    ids = text_ids(model.tokenizer, context + " at the man").tolist()
    assert len(ids) > 2048
    asked = Instance("loglikelihood", {}, (context, " at the man"), 0)
    [whole] = score_continuations(model, [(context, " at the man")])
    with serving("-m", "demo") as server:
        url = f"http://{server.host}:{server.port}/v1/completions"
        for most in (2048, 10_000):
            client = LocalCompletionsAPI(base_url=url, model="demo", max_length=most)
            [(logprob, is_greedy)] = client.loglikelihood([asked], disable_tqdm=True)
            # What it cuts off at the left is not read; the rest is read from the beginning.
            text = model.tokenizer.decode(ids[-(most - 1) :][:-3])
            [read] = score_continuations(model, [(text, " at the man")])
            assert logprob == pytest.approx(read.logprob_nats, abs=1e-5)
            assert is_greedy == read.is_greedy
        assert logprob == pytest.approx(whole.logprob_nats, abs=1e-5)


def test_paths_name_models_of_several_tokenizers(tasks, tmp_path):
    pytest.importorskip("lm_eval", reason=HARNESS)
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    for kind in ("word", "char"):
        save(tmp_path / kind, fit("lstm", tokenizer=kind), "lstm", tokenizer=kind)
    asked = [Instance("loglikelihood", {}, ("the cat", " sat on"), 0)]
    with serving("-m", tmp_path / "word", "-m", tmp_path / "char") as server:
        for kind in ("word", "char"):
            url = f"http://{server.host}:{server.port}/models/{kind}/v1/completions"
            client = LocalCompletionsAPI(base_url=url, model=kind)
            [(logprob, _)] = client.loglikelihood(asked, disable_tqdm=True)
            model = loading.load(tmp_path / kind)
            [expected] = score_continuations(model, [("the cat", " sat on")])
            assert logprob == pytest.approx(expected.logprob_nats, abs=1e-5)
