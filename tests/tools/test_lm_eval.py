"""The lm-evaluation-harness itself, on tasks of our own."""

import json
import sys
from types import SimpleNamespace

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.lm.base import loading
from support.tiny_models import LINES, fit, save

TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
doc_to_text: "{{{{context}}}}"
"""
CHOICE = """\
output_type: multiple_choice
doc_to_target: label
doc_to_choice: "{{choices}}"
metric_list: [{metric: acc}]
"""
WRITTEN = """\
output_type: generate_until
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["sat"], max_gen_toks: 3}
metric_list: [{metric: exact_match}]
"""
ROLLING = """\
output_type: loglikelihood_rolling
doc_to_target: "{{context}}"
metric_list: [{metric: word_perplexity}]
"""
DOCUMENTS = [
    {"context": "the cat sat on the", "choices": ["mat", "recognize"], "label": 0},
    {"context": "it is hard", "choices": ["cat dog", "to recognize speech"], "label": 1},
    {"context": "a dog saw", "choices": ["the cat", "mat it"], "label": 0},
]


@pytest.fixture(scope="module")
def door():
    pytest.importorskip("lm_eval", reason="lm_eval is not installed: pip install -e '.[lm-eval]'")
    import rnnlm.tools.lm_eval

    return rnnlm.tools.lm_eval


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "kn"
    save(folder, fit("ngram", order=3), "ngram", order=3)
    return folder


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """Make a folder of tasks over a local file. Nothing is asked of the network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "documents.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name, rest in (("choice", CHOICE), ("written", WRITTEN), ("rolling", ROLLING)):
        (folder / f"{name}.yaml").write_text(TASK.format(name=f"rnnlm_{name}", data=data) + rest)
    return folder


def requests(*arguments):
    return [SimpleNamespace(args=each) for each in arguments]


def test_the_harness_runs_its_kinds_of_tasks(door, model, tasks):
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    names = ["rnnlm_choice", "rnnlm_written", "rnnlm_rolling"]
    found = lm_eval.simple_evaluate(
        model="rnnlm", model_args={"pretrained": str(model)}, tasks=names, task_manager=manager,
        log_samples=True, bootstrap_iters=0,
        device="cpu", batch_size=8,
    )  # fmt: skip
    assert found["results"]["rnnlm_choice"]["acc,none"] == 1
    contexts = [document["context"] for document in DOCUMENTS]
    scores = rnnlm.Model(loading.load(model)).score_sentences(contexts, tokens=True)
    bits = sum(token.surprisal_bits for score in scores for token in score.token_scores[:-1])
    expected = 2 ** (bits / sum(score.words for score in scores))
    rolling = found["results"]["rnnlm_rolling"]["word_perplexity,none"]
    assert rolling == pytest.approx(expected, rel=1e-5)
    written = [sample["resps"][0][0] for sample in found["samples"]["rnnlm_written"]]
    assert len(written) == 3 and not any("sat" in text for text in written)


def test_answers_come_in_the_order_of_the_requests(door, model):
    lm = door.HarnessModel(str(model))
    pairs = [("the cat", " sat"), ("", "a dog"), ("the cat sat on the", " mat")]
    asked = requests(*pairs, ("a dog saw the cat sat on", " it"))
    together = lm.loglikelihood(asked)
    assert together == [lm.loglikelihood([each])[0] for each in asked]
    assert together[2][1] and not together[3][1]
    assert all(logprob < 0 for logprob, _ in together)
    assert lm.loglikelihood_rolling(requests(("a dog",))) == [pytest.approx(together[1][0])]


def test_texts_are_written_by_their_settings(door, model):
    lm = door.HarnessModel(str(model))
    one = {"max_gen_toks": 1}
    asked = requests(("sat on", one), ("sat on", {"until": "mat"}), ("a dog", one))
    written = lm.generate_until(asked)
    assert [len(text.split()) for text in written[::2]] == [1, 1] and "mat" not in written[1]
    assert written[0] == lm.generate_until(asked[:1])[0]


def test_answers_go_into_the_harness_cache(door, model, tmp_path):
    from lm_eval.api.model import CachingLM

    lm = door.HarnessModel(str(model))
    cached = CachingLM(lm, str(tmp_path / "answers.db"))
    first = cached.loglikelihood(requests(("the cat", " sat")))
    lm.model = None  # it is not asked again
    assert cached.loglikelihood(requests(("the cat", " sat"))) == [tuple(first[0])]


def test_settings_of_tasks_are_read(door):
    stops, settings = door.generation_settings(
        {"until": ["\n"], "do_sample": False, "temperature": 0.7, "max_new_tokens": 5}
    )
    assert (stops, settings.temperature, settings.max_tokens) == (["\n"], 0, 5)
    _, sampled = door.generation_settings({"do_sample": True, "top_k": 0, "top_p": 0.9})
    assert (sampled.temperature, sampled.top_k, sampled.top_p) == (1.0, None, 0.9)
    assert sampled.max_tokens == 256
    assert door.generation_settings({"temperature": 0.5})[1].temperature == 0.5
    with pytest.raises(UsageError, match="num_beams"):
        door.generation_settings({"num_beams": 4})


def test_a_model_may_adapt_itself(door, model):
    plain, adapted = door.HarnessModel(str(model)), door.HarnessModel(f"{model}+unigram")
    asked = requests((" ".join(["cat"] * 20),))
    assert adapted.loglikelihood_rolling(asked)[0] > plain.loglikelihood_rolling(asked)[0]


def test_a_device_that_is_not_here_gives_way(door, tmp_path):
    save(tmp_path / "lstm", fit("lstm", LINES), "lstm")
    with pytest.warns(RnnlmWarning, match="cuda:77"):
        door.HarnessModel(str(tmp_path / "lstm"), device="cuda:77")


def test_harness_command_ends_without_a_traceback(door, monkeypatch):
    import lm_eval.__main__
    from lm_eval.api.registry import get_model

    evaluate = lambda: get_model("rnnlm")("nothing-there")  # noqa: E731
    monkeypatch.setattr(lm_eval.__main__, "cli_evaluate", evaluate)
    with pytest.raises(SystemExit, match="no model named 'nothing-there'"):
        door.main()


@pytest.mark.parametrize(("module", "package", "extra"), [
    ("lm_eval", "lm_eval", "lm-eval"), ("pyctcdecode", "pyctcdecode", "pyctcdecode"),
])  # fmt: skip
def test_missing_package_error_says_how_to_install_it(monkeypatch, module, package, extra):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"rnnlm.tools.{module}", raising=False)
    with pytest.raises(UsageError, match=rf"pip install {package}, or .*-e '\.\[{extra}\]'"):
        __import__(f"rnnlm.tools.{module}")
