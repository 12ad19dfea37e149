"""Labelled data of a small grammar, and tiny taggers and classifiers that have learned it.

Requests such as "show flights from new york to oslo at noon": `slots` are the spans of places and
times in BIO, `intent` is what is asked.
"""

import json
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rnnlm import registry
from rnnlm.config import ResolvedSettings, SettingsLayer, names_of, resolve
from rnnlm.errors import RnnlmWarning
from rnnlm.events import Event, never
from rnnlm.storage import model_folder
from rnnlm.tasks.labelling import data as codecs
from rnnlm.tasks.labelling.data import PLAIN, TEXT, WORD, Codec, TaskData, encode_examples
from rnnlm.tasks.labelling.formats import schemes
from rnnlm.tasks.labelling.formats.example import Example, LabelledText
from rnnlm.text import tokenizers
from rnnlm.text.lines import Block
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support.commands import Trained, train as train_command

PLACES = ("oslo", "rome", "new york", "san jose", "rio de janeiro")
TIMES = ("noon", "ten", "half past six")
VERBS = {
    "show flights": "flight", "fly me": "flight", "what costs it": "fare", "tell the fare": "fare",
}  # fmt: skip
SMALL = {
    "hidden_size": 8, "embedding_size": 8, "batch_rows": 8, "learning_rate": 0.1,
    "device": "cpu", "precision": "fp32",
    "threads": 1, "unknown_words": 0.0, "dropout_embedding": 0.0, "dropout_input": 0.0,
    "dropout_output": 0.0,
}  # fmt: skip
SMALL_CHARACTERS = {
    "cnn": {"character_size": 4, "character_filters": "0,6"},
    "lstm": {"character_size": 4, "character_hidden_size": 4}, None: {},
}  # fmt: skip
# enough to learn the grammar
TRAINING = ("--budget", "40steps", "--set", "validate_every_steps=40", "--set", "warmup=0.1")


def request(draw: random.Random) -> tuple[list[str], list[str], str]:
    """Draw (words, slots, intent) of one request."""
    verb = draw.choice(list(VERBS))
    words, slots = verb.split(), ["O"] * len(verb.split())
    for marks, names, kind in (
        (("from", "leaving"), PLACES, "place"),
        (("to",), PLACES, "place"),
        (("at",), TIMES, "time"),
    ):
        if draw.random() < 0.7:
            span = draw.choice(names).split()
            words += [draw.choice(marks), *span]
            slots += ["O", f"B-{kind}", *[f"I-{kind}"] * (len(span) - 1)]
    return words, slots, VERBS[verb]


def requests(count: int, seed: int = 1) -> list[tuple[list[str], list[str], str]]:
    """Draw so many requests, the same ones for the same seed."""
    draw = random.Random(seed)
    return [request(draw) for _ in range(count)]


TRAIN, VALID = requests(48), requests(16, seed=2)


def columns(rows: Sequence[tuple[list[str], list[str], str]]) -> str:
    """Format words and slots of requests, a word a line, an empty line after each."""
    return "".join(
        "".join(f"{word} {label}\n" for word, label in zip(words, slots, strict=True)) + "\n"
        for words, slots, _ in rows
    )


def table(rows: Sequence[tuple[list[str], list[str], str]]) -> str:
    """Format requests as a table of their intents and texts."""
    return "label\ttext\n" + "".join(f"{intent}\t{' '.join(words)}\n" for words, _, intent in rows)


def json_lines(rows: Sequence[tuple[list[str], list[str], str]]) -> str:
    """Format requests with slots and intent, one JSON object a line."""
    return "".join(
        json.dumps({"words": " ".join(words), "slots": " ".join(slots), "intent": intent}) + "\n"
        for words, slots, intent in rows
    )


def _trained(place: Path, task: str, write: Any, suffix: str, *options: str) -> Trained:
    """Train a model with `rnnlm train`. Return it and the files it learned from."""
    files = []
    for name, rows in (("train", TRAIN), ("valid", VALID)):
        files.append(place / f"{name}{suffix}")
        files[-1].write_text(write(rows), encoding="utf-8")
    folder = place / "checkpoints" / task
    sets = [f"--set={name}={value}" for name, value in small(task).items()]
    shown = train_command(
        files[0], "--task", task, "--valid", files[1], *options, *sets, *TRAINING, "-o", folder
    )
    return Trained(folder, *files, shown.out, shown.err)


@pytest.fixture(scope="session")
def tagger(made_once):
    """Train a tagger of slots on CoNLL columns (train.conll, valid.conll): spans in BIO."""
    given = ("tagging", columns, ".conll", "--input-format", "columns")
    return made_once("tagger", lambda place: _trained(place, *given))


@pytest.fixture(scope="session")
def classifier(made_once):
    """Train a classifier of intents on a table (train.tsv, valid.tsv; columns label and text)."""
    return made_once("classifier", lambda place: _trained(place, "classification", table, ".tsv"))


@pytest.fixture(scope="session")
def slot_tagger(made_once):
    """Train a tagger of slots and intents on JSON lines (words, slots, intent), with a CRF."""
    options = (
        "--column=words", "--label-column=slots", "--set=sentence_label_column=intent",
        "--set=output_layer=crf",
    )  # fmt: skip
    given = ("tagging", json_lines, ".jsonl", *options)
    return made_once("slot_tagger", lambda place: _trained(place, *given))


def labelled(
    rows: Sequence[tuple[Sequence[str], Sequence[str], str]],
    task: str,
    both: bool = False,
    scheme: str = schemes.BIO,
) -> LabelledText:
    """Return requests in memory: slots for a tagger, intents for a classifier, or both."""
    has_slots, has_intent = task == "tagging", both or task == "classification"
    examples = tuple(
        Example(tuple(words), (tuple(slots),) * has_slots, (intent,) * has_intent, line, "memory")
        for line, (words, slots, intent) in enumerate(rows, start=1)
    )
    names = ("slots",) * has_slots, ("intent",) * has_intent
    return LabelledText(examples, *names, "columns", {"slots": scheme} if has_slots else {})


def small(task: str, **settings: Any) -> dict[str, Any]:
    """Return settings that make a network tiny, and `settings`."""
    characters = settings.get("characters", "cnn" if task == "tagging" else None)
    return {**SMALL, **SMALL_CHARACTERS[characters], **settings}


def settings_of(task: str, name: str, **settings: Any) -> ResolvedSettings:
    """Return all settings of a tiny network of a kind of model for a task."""
    kind = registry.kind_of(name, task)
    values = {"budget": "6steps", **small(task, **settings)}
    if kind.is_counted:  # there is no network
        known = names_of(kind.all_settings)
        values = {name: value for name, value in values.items() if name in known}
    values |= {"model": name, "task": task}
    return resolve(kind.all_settings, [SettingsLayer("test", values)])


def data_of(
    resolved: ResolvedSettings,
    train: LabelledText,
    valid: LabelledText | None = None,
    form: str = PLAIN,
    **tokenizer: Any,
) -> TaskData:
    """Return examples in the form that a network reads. Words that occur once are unknown."""
    lines = [Block([" ".join(each.words) for each in train.examples], [])]
    trained = tokenizers.train(TokenizerSettings(**{"min_count": 2, **tokenizer}), lines)
    tokenizer_used = trained.spelling() if resolved.values.get("characters") else trained
    node_loss = resolved.values.get("node_loss")
    codec = Codec(tokenizer_used, _columns(resolved, train, form), node_loss=node_loss)
    encoded_valid = valid and encode_examples(codec, valid, valid)
    return TaskData(codec, encode_examples(codec, train, train), encoded_valid)


def run(
    task: str, name: str, train: LabelledText | None = None, valid: LabelledText | None = None,
    both: bool = False, form: str = PLAIN, tokenizer: str = "word", **settings: Any,
) -> list[Event]:  # fmt: skip
    """Return the events of a short training run in memory."""
    resolved = settings_of(task, name, **settings)
    words = {} if tokenizer == "word" else {"tokenizer": tokenizer, "min_count": 1}
    text = labelled(TRAIN, task, both) if train is None else train
    data = data_of(resolved, text, valid, form, **words)
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return list(registry.kind_of(name, task).fit(resolved, data, never, None))


def fit(task: str, name: str, train: LabelledText | None = None, **settings: Any) -> Any:
    """Train a model of a kind for a task for a few steps."""
    return run(task, name, train, **settings)[-1].model


def save(folder: Path, model: Any, **settings: Any) -> Any:
    """Save a model of :func:`fit`, which had these settings, in `folder`; its manifest."""
    name = model.network.settings.model
    values = settings_of(model.task, name, **settings).values
    return model_folder.save(folder, model, name, values, 6, {})


def _columns(
    resolved: ResolvedSettings, train: LabelledText, form: str
) -> list[codecs.LabelColumn]:
    values, found = resolved.values, []
    is_bioes = values.get("output_layer") == "crf" or values.get("constrained")
    for place, name in enumerate(train.word_columns):
        scheme = train.scheme[name]
        rows = [(each.word_labels[place], each.words) for each in train.examples]
        inner = schemes.BIOES if is_bioes and scheme != schemes.NONE else scheme
        found.append(codecs.column_of(name, WORD, rows, scheme, inner, PLAIN))
    for place, name in enumerate(train.text_columns):
        rows = [(each.text_labels[place].split("|"), ()) for each in train.examples]
        found.append(codecs.column_of(name, TEXT, rows, schemes.NONE, schemes.NONE, form))
    return found
