"""What rescoring leaves in files: the new 1-best of each utterance, and the reordered list with all its scores."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rnnlm.errors import OutputError
from rnnlm.files import tsv
from rnnlm.files.compression import without_suffix
from rnnlm.files.writing import save_file
from rnnlm.rescoring.files import REFERENCE
from rnnlm.rescoring.nbest import Utterance
from rnnlm.rescoring.rescorer import Rescored, RescoredUtterance
from rnnlm.text.lines import split_words


def check_names(utterances: Iterable[Utterance | RescoredUtterance]) -> None:
    """Whether the names of utterances can be told from what follows them in a line of :func:`save_best`.

    Raises:
        OutputError: one cannot.
    """
    for utterance in utterances:
        if re.search(r"\s", utterance.utt):
            why, hint = "white space ends a name there", "rename it, or write a list: --nbest-output FILE.tsv or FILE.jsonl"
            raise OutputError(f"the name {utterance.utt!r} of an utterance holds white space", why, hint)


def save_best(rescored: Rescored, path: str | Path) -> None:
    """Write `utt words...` for each utterance, as Kaldi's and ESPnet's tools take it.

    Raises:
        OutputError: it cannot be written; a name holds white space.
    """
    check_names(rescored.utterances)
    lines = (" ".join([each.utt, *split_words(each.hypotheses[0].text)]) + "\n" for each in rescored.utterances)
    save_file(Path(path), (line.encode() for line in lines))


def save_nbest(rescored: Rescored, path: str | Path) -> None:
    """Write the list in its new order, in a format that :func:`rnnlm.read_nbest` reads: TSV where the name ends in .tsv, without
    hypotheses that a model finds impossible; else JSON-lines with the features, too.

    Raises:
        OutputError: it cannot be written.
    """
    is_tsv = Path(without_suffix(str(path))).suffix == ".tsv"
    lines = (line for each in rescored.utterances for line in (_tsv(each) if is_tsv else _json(each)))
    save_file(Path(path), (line.encode() for line in lines))


def _tsv(utterance: RescoredUtterance) -> Iterator[str]:
    if utterance.reference is not None:
        yield tsv.line([utterance.utt, REFERENCE, "", " ".join(split_words(utterance.reference))])
    for rank, hypothesis in enumerate(utterance.hypotheses, start=1):
        if hypothesis.score is not None:
            yield tsv.line([utterance.utt, str(rank), repr(hypothesis.score), " ".join(split_words(hypothesis.text))])


def _json(utterance: RescoredUtterance) -> Iterator[str]:
    hypotheses = [
        {
            "text": each.text, "score": each.score, "first_pass_rank": each.rank, "first_pass_score": each.first_pass,
            "features": each.features, "word_errors": None if each.edits is None else each.edits.errors,
        }
        for each in utterance.hypotheses
    ]  # fmt: skip
    record = {"utt": utterance.utt, "ref": utterance.reference, "hypotheses": hypotheses}
    yield json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
