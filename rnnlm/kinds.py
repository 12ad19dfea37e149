"""The tables of tasks, kinds of models and ways to adapt: of each, by name, where its parts live.

`rnnlm/__init__.py` hands them to :mod:`rnnlm.models.registry`, which imports what they name when it
is used.
"""

from rnnlm.models.registry import LANGUAGE_MODEL, Kind

# The object of each task (rnnlm/tasks/task.py), by name.
TASKS = {
    LANGUAGE_MODEL: "rnnlm.tasks.language_model:TASK",
    "tagging": "rnnlm.tasks.labels.task:TAGGING",
    "classification": "rnnlm.tasks.labels.task:CLASSIFICATION",
    "seq2seq": "rnnlm.tasks.seq2seq.task:TASK",
}

# The ways in which a model adapts to what it reads: the function that makes one do so.
ADAPTATIONS = dict.fromkeys(
    ("dynamic", "cache", "unigram"), "rnnlm.combinations.adaptation:as_tuned"
)

_FITTING_SETTINGS = "rnnlm.neural.fitting.settings:FittingSettings"
_RUN_SETTINGS = "rnnlm.neural.fitting.settings:RunSettings"
_CELLS = {
    "rnn": "rnnlm.neural.settings:ElmanCell",
    "gru": "rnnlm.neural.settings:GruCell",
    "lstm": "rnnlm.neural.settings:LstmCell",
    "qrnn": "rnnlm.neural.settings:QrnnCell",
}


def _neural(name: str, about: str, settings: str = "RecurrentModelSettings") -> Kind:
    return Kind(
        name=name,
        family="neural",
        about=about,
        settings=(f"rnnlm.neural.settings:{settings}", _FITTING_SETTINGS, _RUN_SETTINGS),
        fitting="rnnlm.neural.fitting.fitting",
        loading="rnnlm.neural.language_model",
        trains_in_steps=True,
        cell=_CELLS.get(name),
    )


LANGUAGE_MODELS = (
    _neural("rnn", "Elman network (tanh, sigmoid, ReLU, leaky ReLU or ELU)"),
    _neural("gru", "gated recurrent unit"),
    _neural("ffnn", "feed-forward network over a window of words", "FeedForwardSettings"),
    _neural("jordan", "recurrent network that reads its own last output", "JordanSettings"),
    _neural("lstm", "long short-term memory"),
    _neural("qrnn", "quasi-recurrent network: convolutions, pooled over time"),
    Kind(
        name="unigram",
        family="ngram",
        about="smoothed word frequencies",
        settings=("rnnlm.ngram.settings:UnigramSettings",),
        fitting="rnnlm.ngram.unigram",
        loading="rnnlm.ngram.unigram",
    ),
    Kind(
        name="ngram",
        family="ngram",
        about="n-grams with backoff: Kneser-Ney and the other classical estimators",
        settings=("rnnlm.ngram.settings:NgramSettings",),
        fitting="rnnlm.ngram.fitting",
        loading="rnnlm.ngram.model",
        mapped=True,
        cleaning="rnnlm.ngram.fitting:clean_up",
        counted="rnnlm.ngram.fitting",
        foresight="rnnlm.ngram.fitting:foresee",
    ),
    Kind(
        name="mixture",
        family="combination",
        about="several models as one, each with a weight",
        settings=("rnnlm.combinations.mixture:MixtureSettings",),
        fitting=None,
        loading="rnnlm.combinations.mixture",
        takes_parts=True,
        made_with="rnnlm mix A B --on TEXT",
    ),
)
_ABOUT = {kind.name: kind.about for kind in LANGUAGE_MODELS}


def _labeller(task: str, name: str, about: str, settings: str) -> Kind:
    return Kind(
        name=name,
        family="neural",
        about=about,
        settings=(
            f"rnnlm.tasks.labels.settings:{settings}",
            "rnnlm.tasks.labels.settings:TaskFittingSettings",
            _RUN_SETTINGS,
        ),
        fitting="rnnlm.tasks.labels.fitting",
        loading="rnnlm.tasks.labels.model",
        takes_parts=True,
        trains_in_steps=True,
        task=task,
        cell=_CELLS.get(name),
    )


def _tagger(name: str) -> Kind:
    return _labeller("tagging", name, f"tags words: {_ABOUT[name]}", "TaggingSettings")


def _classifier(name: str) -> Kind:
    return _classifying(name, _ABOUT[name], "RecurrentClassifier")


def _classifying(name: str, about: str, settings: str) -> Kind:
    return _labeller("classification", name, f"classifies texts: {about}", settings)


def _encoder_decoder(name: str) -> Kind:
    return Kind(
        name=name,
        family="neural",
        about=f"reads a line and writes another: {_ABOUT[name]}",
        settings=(
            "rnnlm.tasks.seq2seq.settings:Seq2SeqSettings",
            "rnnlm.tasks.seq2seq.settings:Seq2SeqFittingSettings",
            _RUN_SETTINGS,
        ),
        fitting="rnnlm.tasks.seq2seq.fitting",
        loading="rnnlm.tasks.seq2seq.model",
        trains_in_steps=True,
        task="seq2seq",
        cell=_CELLS[name],
    )


TASK_KINDS = (
    *map(_tagger, _CELLS),
    *map(_classifier, _CELLS),
    _classifying("bag", "the mean of their word vectors", "BagClassifier"),
    _classifying("cnn", "convolutions over their words", "CnnClassifier"),
    *map(_encoder_decoder, _CELLS),
)
