"""Texts classified: raw text or lists of words in, their labels and probabilities out."""

from collections.abc import Iterable, Iterator, Sequence

from rnnlm.interface import Device
from rnnlm.tasks.labelling.opening import Labeller, model_for
from rnnlm.tasks.labelling.results import ClassifiedText
from rnnlm.tasks.labelling.tagging import probabilities_of_text, windows
from rnnlm.tasks.model import TaskModel
from rnnlm.tasks.prediction import predict
from rnnlm.tasks.splitting import splitter_of


def classify(model: Labeller, texts: Sequence[str | Sequence[str]], *, device: str | Device = "auto") -> list[ClassifiedText]:
    """Label texts.

    model: a classifier or its name. texts: each a str, which is split at white space as the training data are, or a list of words.
    device: where a model given by name is loaded.

    Raises:
        UsageError: the model is no classifier. ModelError: there is no such model, or it is damaged.
    """
    return list(classified(model_for("classify", model, device), texts))


def classified(model: TaskModel, texts: Iterable[str | Sequence[str]]) -> Iterator[ClassifiedText]:
    """Each text with its labels, in order; the first ones come when a WINDOW of them is read, or all."""
    split = splitter_of(model.codec)
    for window in windows(texts, len):
        words = [split(text).words if isinstance(text, str) else tuple(text) for text in window]
        predictions = iter(predict(model, [each for each in words if each]))
        for text, its_words in zip(window, words, strict=True):
            prediction = next(predictions) if its_words else ()
            labels = {each.column: each.label for each in prediction}
            its_probabilities = {each.column: probabilities_of_text(each) for each in prediction}
            yield ClassifiedText(text if isinstance(text, str) else None, its_words, labels, its_probabilities)
