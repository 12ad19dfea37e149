"""The tables of tasks, kinds of models, ways to adapt, tokenizers of other programs and libraries
of other models: of each, by name, where its parts live.

`rnnlm/__init__.py` hands them to :mod:`rnnlm.registry`, which imports what they name when it
is used.
"""

from typing import Any

from rnnlm.registry import LANGUAGE_MODEL, Kind

# The object of each task (rnnlm/training/task.py), by name.
TASKS = {
    LANGUAGE_MODEL: "rnnlm.training.language_model:TASK",
    "tagging": "rnnlm.tasks.labelling.task:TAGGING",
    "classification": "rnnlm.tasks.labelling.task:CLASSIFICATION",
    "seq2seq": "rnnlm.tasks.seq2seq.task:TASK",
}

# The ways in which a model adapts to what it reads: the function that makes one do so.
ADAPTATIONS = dict.fromkeys(
    ("dynamic", "cache", "unigram"), "rnnlm.lm.mixtures.adaptation:as_tuned"
)

# The tokenizers of other programs, which are not trained here: the class of each, by name.
TOKENIZERS = {"huggingface": "rnnlm.tools.huggingface.tokenizer:HuggingFaceTokenizer"}

# The libraries whose models are read where they store them, by the prefix of names.
LIBRARIES = {"hf": "rnnlm.tools.huggingface.folders:FOLDERS"}

_FITTING_SETTINGS = "rnnlm.lm.neural.training.settings:FittingSettings"
_RUN_SETTINGS = "rnnlm.lm.neural.training.settings:RunSettings"
# What commands and inspections may ask of models (`Kind.has`).
_OF_NETWORKS = frozenset({"layers", "neighbours", "gradcheck"})
_OF_STATES = frozenset({"gates", "units", "spectrum", "gradients"})
_OF_PROBABILITIES = frozenset({"text", "memory", "cloze"})
# The cells of recurrent layers: their settings, and the inspections of their states.
_CELLS = {
    "rnn": ("rnnlm.lm.neural.settings:ElmanCell", _OF_STATES),
    "gru": ("rnnlm.lm.neural.settings:GruCell", _OF_STATES),
    "lstm": ("rnnlm.lm.neural.settings:LstmCell", _OF_STATES),
    # No matrix maps its state to its state, so there are no eigenvalues.
    "qrnn": ("rnnlm.lm.neural.settings:QrnnCell", _OF_STATES - {"spectrum"}),
}


def _network(
    name: str, has: frozenset[str], of_states: frozenset[str] = frozenset(), **fields: Any
) -> Kind:
    """Describe a network. has: beside what all networks have; of_states: without a cell."""
    cell, of_states = _CELLS.get(name, (None, of_states))
    if not has >= _OF_PROBABILITIES:
        of_states -= {"gradients"}
    has |= _OF_NETWORKS | of_states
    return Kind(name=name, family="neural", trains_in_steps=True, cell=cell, has=has, **fields)


def _neural(
    name: str,
    about: str,
    settings: str = "RecurrentModelSettings",
    of_states: frozenset[str] = frozenset(),
) -> Kind:
    return _network(
        name,
        _OF_PROBABILITIES | {"probe"},
        of_states,
        about=about,
        settings=(f"rnnlm.lm.neural.settings:{settings}", _FITTING_SETTINGS, _RUN_SETTINGS),
        fitting="rnnlm.lm.neural.training.fitting",
        loading="rnnlm.lm.neural.language_model",
        checking="rnnlm.lm.neural.training.settings",
        shapes="rnnlm.lm.neural.shapes",
    )


LANGUAGE_MODELS = (
    _neural("rnn", "Elman network (tanh, sigmoid, ReLU, leaky ReLU or ELU)"),
    _neural("gru", "gated recurrent unit"),
    _neural("ffnn", "feed-forward network over a window of words", "FeedForwardSettings"),
    _neural(
        "jordan", "recurrent network that reads its own last output", "JordanSettings", _OF_STATES
    ),
    _neural("lstm", "long short-term memory"),
    _neural("qrnn", "quasi-recurrent network: convolutions, pooled over time"),
    Kind(
        name="unigram",
        family="ngram",
        about="smoothed word frequencies",
        settings=("rnnlm.lm.ngram.settings:UnigramSettings",),
        fitting="rnnlm.lm.ngram.unigram",
        loading="rnnlm.lm.ngram.unigram",
        has=_OF_PROBABILITIES,
    ),
    Kind(
        name="ngram",
        family="ngram",
        about="n-grams with backoff: Kneser-Ney and the other classical estimators",
        settings=("rnnlm.lm.ngram.settings:NgramSettings",),
        fitting="rnnlm.lm.ngram.fitting",
        loading="rnnlm.lm.ngram.model",
        mapped=True,
        cleaning="rnnlm.lm.ngram.fitting:clean_up",
        counted="rnnlm.lm.ngram.fitting",
        foresight="rnnlm.lm.ngram.fitting:foresee",
        has=_OF_PROBABILITIES | {"n-grams"},
    ),
    Kind(
        name="mixture",
        family="combination",
        about="several models as one, each with a weight",
        settings=("rnnlm.lm.mixtures.mixture:MixtureSettings",),
        fitting=None,
        loading="rnnlm.lm.mixtures.mixture",
        takes_parts=True,
        made_with="rnnlm mix A B --on TEXT",
        has=_OF_PROBABILITIES,
    ),
    Kind(
        name="transformers",
        family="foreign",
        about="a causal language model of Hugging Face's transformers",
        settings=("rnnlm.tools.huggingface.folders:TransformersSettings",),
        fitting=None,
        loading="",
        made_with="transformers",
        has=_OF_PROBABILITIES,
        stored_by=LIBRARIES["hf"],
    ),
)
_ABOUT = {kind.name: kind.about for kind in LANGUAGE_MODELS}


def _labeller(task: str, name: str, about: str, settings: str) -> Kind:
    return _network(
        name,
        frozenset({"probe"} if task == "tagging" else ()),
        about=about,
        settings=(
            f"rnnlm.tasks.labelling.settings:{settings}",
            "rnnlm.tasks.labelling.settings:TaskFittingSettings",
            _RUN_SETTINGS,
        ),
        fitting="rnnlm.tasks.labelling.fitting",
        loading="rnnlm.tasks.labelling.model",
        checking="rnnlm.tasks.labelling.settings",
        shapes="rnnlm.tasks.labelling.shapes",
        takes_parts=True,
        task=task,
    )


def _tagger(name: str) -> Kind:
    return _labeller("tagging", name, f"tags words: {_ABOUT[name]}", "TaggingSettings")


def _classifier(name: str, about: str = "", settings: str = "RecurrentClassifier") -> Kind:
    return _labeller("classification", name, f"classifies texts: {about or _ABOUT[name]}", settings)


def _encoder_decoder(name: str) -> Kind:
    return _network(
        name,
        frozenset({"sources"}),
        about=f"reads a line and writes another: {_ABOUT[name]}",
        settings=(
            "rnnlm.tasks.seq2seq.settings:Seq2SeqSettings",
            "rnnlm.tasks.seq2seq.settings:Seq2SeqFittingSettings",
            _RUN_SETTINGS,
        ),
        fitting="rnnlm.tasks.seq2seq.fitting",
        loading="rnnlm.tasks.seq2seq.model",
        checking="rnnlm.tasks.seq2seq.settings",
        shapes="rnnlm.tasks.seq2seq.shapes",
        task="seq2seq",
    )


TASK_KINDS = (
    *map(_tagger, _CELLS),
    *map(_classifier, _CELLS),
    _classifier("bag", "the mean of their word vectors", "BagClassifier"),
    _classifier("cnn", "convolutions over their words", "CnnClassifier"),
    *map(_encoder_decoder, _CELLS),
)
