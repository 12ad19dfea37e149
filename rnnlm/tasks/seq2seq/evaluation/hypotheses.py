"""What a model writes for the sources that it is measured on."""

from collections.abc import Callable, Sequence

from rnnlm.events import never
from rnnlm.tasks.seq2seq.decoding.settings import DecodingSettings
from rnnlm.tasks.seq2seq.decoding.translator import Translator
from rnnlm.tasks.seq2seq.model import Seq2SeqModel

GREEDY = DecodingSettings()
LINES = 256  # decoded between two looks at whether to stop


def hypotheses(
    model: Seq2SeqModel, sources: Sequence[str], settings: DecodingSettings = GREEDY, stop: Callable[[], bool] = never
) -> list[str] | None:
    """The best line that the model writes for each source; None where `stop`, asked now and then, cut it off.

    Raises:
        UsageError: the model cannot decode so.
    """
    translator = Translator(model, settings)
    found = [""] * len(sources)
    order = sorted(range(len(sources)), key=lambda number: len(sources[number]))  # so that batches have little padding
    for start in range(0, len(order), LINES):
        if stop():
            return None
        chosen = order[start : start + LINES]
        for number, line in zip(chosen, translator.translate([sources[each] for each in chosen]), strict=True):
            found[number] = line.text
    return found
