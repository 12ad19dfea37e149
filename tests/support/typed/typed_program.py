"""A program over the public API that type checkers accept at their strictest.

It is checked, never run: mypy checks it with the library, pyright in `.ci/doors`. Each function
stands for somebody's use, and says the types that it expects.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import rnnlm
from rnnlm import (
    Comparison,
    Corpus,
    DecodingSettings,
    Evaluation,
    FinishedRun,
    LanguageModel,
    Model,
    RnnlmError,
    SentenceScore,
    SentenceSettings,
    TextEvaluation,
    TextSettings,
    TrainingRun,
    events,
)

# ---- A student trains a first model.


def first_model(folder: Path) -> tuple[Model, float | None]:
    done: FinishedRun = rnnlm.train(
        "my.txt",
        model="gru",
        output=folder,
        valid=["valid.txt", Path("more.txt")],
        budget="200steps",
        seed=1,
        hidden_size=64,
        tied=None,
        layer_sizes=[64, 32],
    ).wait(progress=False)
    best = done.evaluation
    if isinstance(best, TextEvaluation):
        return done.model, best.ppl_token
    return done.model, None


def losses(run: TrainingRun) -> Iterator[tuple[int, float]]:
    for event in run:
        if isinstance(event, rnnlm.Step):
            yield event.step, event.loss_nats
        elif isinstance(event, events.RolledBack):
            raise RuntimeError(event.why)
        elif isinstance(event, events.Fitted):
            break


def followed(lines: Sequence[str]) -> dict[int, float | None]:
    found: dict[int, float | None] = {}
    with rnnlm.train(Corpus.from_lines(lines), recipe="gru") as run:
        for event in run:
            match event:
                case rnnlm.Validated():
                    found[event.step] = event.ppl_token
                case events.Evaluating():
                    assert all(isinstance(text, str) for text in event.texts)
                case _:
                    pass
    columns: dict[str, list[str | int | float | bool | None]] = run.history.to_columns()
    assert "steps" in columns
    return found


def grid(text: str) -> list[str]:
    folders: list[str] = []
    events = rnnlm.train_grid(text, grid={"model": ["rnn", "lstm"], "hidden_size": [64, 128]})
    for event in events:
        if isinstance(event, rnnlm.Finished):
            folders.append(event.folder)
    return folders


# ---- A psycholinguist wants surprisals.


def surprisals(model: Model, stimuli: Sequence[str]) -> list[float]:
    total: list[float] = []
    for stimulus in stimuli:
        words: list[tuple[str, float]] = model.surprisal_bits(stimulus)
        total.append(math.fsum(bits for _, bits in words))
    return total


def by_word(model: Model, stimuli: Sequence[str]) -> list[tuple[str, float | None]]:
    scores = model.score_sentences(
        stimuli, words=True, measures=("entropy", "frequency"), regions="|"
    )
    first: SentenceScore = scores[0]
    assert first.logprob_nats is None or first.tokens > 0
    return [(word.word, word.entropy_bits) for score in scores for word in score.word_scores]


def read(path: Path) -> list[str]:
    settings = SentenceSettings(column="sentence")
    return [sentence.text for sentence in rnnlm.read_sentences(path, settings)]


def pairs(model: Model) -> dict[str, float | None]:
    scores = model.score_pairs(rnnlm.read_pairs("agreement.tsv"), scoring="word")
    return {str(group.group): group.accuracy for group in scores.accuracies()}


# ---- A researcher evaluates and compares.


def evaluated(names: Sequence[str]) -> dict[str, Evaluation]:
    settings = TextSettings(blank_lines="documents")
    found: dict[str, Evaluation] = {}
    for name in names:
        found[name] = rnnlm.load(name).evaluate("test.txt", text_settings=settings)
    return found


def metrics(evaluation: Evaluation) -> list[tuple[str, float | None, str]]:
    return [(metric.name, metric.value, metric.signature) for metric in evaluation.metrics]


def compared(one: Model, other: LanguageModel) -> float | None:
    names = ["a", "b", "c"]
    comparison: Comparison = rnnlm.compare([one, other, "demo"], "test.txt", names=names)
    return comparison.differences[0].p


def mixed(folder: Path) -> tuple[list[float], float | None]:
    both = rnnlm.mix(["demo", folder], on="valid.txt", output=folder / "mixed")
    perplexity = None if both.evaluation is None else both.evaluation.ppl_token
    return [part.weight for part in both.parts], perplexity


# ---- Someone wants text.


def texts(model: Model) -> list[str]:
    drawn = model.generate("the dog", num=3, temperature=0.8, top_p=0.9, seed=2)
    best = model.likeliest("the dog", beam=4)
    return [sample.text for sample in [*drawn, *best]]


def completions(model: Model, text: str) -> list[tuple[str, float]]:
    return [(word.word, word.probability) for word in model.next_words(text, 3)]


def word_by_word(model: Model, words: Sequence[str]) -> float:
    scorer = model.scorer()
    prefix, total = scorer.begin(), 0.0
    for word in words:
        logprob_nats, prefix = scorer.extend(prefix, word)
        total += logprob_nats
    return total


# ---- An engineer labels, translates and rescores.


def tagged(sentences: Sequence[str]) -> list[tuple[str, ...]]:
    return [sentence.labels["upos"] for sentence in rnnlm.load("tagger").tag(sentences)]


def classified(lines: Sequence[str]) -> list[str | None]:
    return [text.label for text in rnnlm.load("classifier").classify(lines)]


def translated(lines: Sequence[str]) -> list[str]:
    settings = DecodingSettings(beam=4, nbest=2)
    found = rnnlm.load("translator").translate(lines, settings=settings)
    return [line.text for line in found]


def rescored(model: Model) -> list[str]:
    lists = list(rnnlm.read_nbest("lists.jsonl"))
    return [utterance.utt for utterance in lists]


def side_by_side(
    models: Mapping[str, Model], lines: Sequence[str]
) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for name, model in models.items():
        found[name] = [score.logprob_nats for score in model.score_sentences(lines)]
    return found


def careful(name: str) -> Model | None:
    try:
        return rnnlm.load(name)
    except RnnlmError as error:
        assert isinstance(error.what, str) and isinstance(error.hint, str)
        return None
