"""N-best lists as speech toolkits leave them: many files of one line an utterance, its name first.

Kaldi (nbest-to-linear, utils/int2sym.pl): a text of `utt-N words...`, N from 1, and files of `utt-N number` beside it. ESPnet
(asr_inference): folders `1best_recog`, `2best_recog`, ... of each job (`logdir/output.1`, ...), each with a `text` and a `score`.
"""

import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rnnlm.errors import TextError
from rnnlm.files.reading import opened, text_lines
from rnnlm.rescoring.nbest import Hypothesis, ListBuilder, parse_rank, parse_score
from rnnlm.text.corpus import WORD_SPACE

TEXTS = ("words_text", "text")
SCORES, COSTS = ("scores", "score"), ("ac_cost", "acwt")  # what is looked for beside a Kaldi text
KNOWN_COSTS = re.compile(r"(ac|lm|graph)_cost|acwt|lmwt.*")
KALDI_REFERENCES = "ref"
_BEST = re.compile(r"(\d+)best_recog")
_SCALED = re.compile(r"([-+0-9.eE]+)\*(.+)", re.DOTALL)


def keyed_lines(source: str, errors: str = "strict") -> Iterator[tuple[str, str, str]]:
    """(name, the rest, where it stands) of each line that is not blank.

    Raises:
        TextError: it cannot be read.
    """
    with opened(source) as stream:
        for number, line in enumerate(text_lines(source, stream, errors), start=1):
            key, _, rest = line.translate({9: " "}).strip(f"{WORD_SPACE}\n").partition(" ")
            if key:
                yield key, rest.strip(WORD_SPACE), f"{source}, line {number}"


def read_kaldi(builder: ListBuilder, score_files: Sequence[str]) -> None:
    """Read a Kaldi text (or the folder it is in) and the scores beside it; of `score_files` the sum.

    Raises:
        TextError: a file is missing; a hypothesis lacks its score, or a score its hypothesis.
    """
    errors = builder.settings.encoding_errors
    text = _text_in(builder.source)
    scores = _sum_of_scores(builder, text.parent, score_files)
    for key, words, where in keyed_lines(str(text), errors):
        utt, rank = _utt_and_rank(key, where)
        if key not in scores:
            raise TextError(f"{where}: {key!r} has no score", "every hypothesis needs one")
        builder.add(utt, rank, Hypothesis(words, scores.pop(key), where))
    if scores:
        key = next(iter(scores))
        raise TextError(
            f"{text}: {len(scores):,} scores have no hypothesis, the first is {key!r}", "an empty hypothesis is a line of its name"
        )
    beside = text.parent / KALDI_REFERENCES
    if beside.is_file() and text.name != KALDI_REFERENCES:
        for utt, words, where in keyed_lines(str(beside), errors):
            builder.add_reference(utt, words, where)


def _text_in(source: str) -> Path:
    if not os.path.isdir(source):
        return Path(source)
    for name in TEXTS:
        if (path := Path(source, name)).is_file():
            return path
    raise TextError(f"{source} holds no n-best list", f"neither {' nor '.join(TEXTS)}, nor folders 1best_recog, 2best_recog, ...")


def _sum_of_scores(builder: ListBuilder, folder: Path, names: Sequence[str]) -> dict[str, float]:
    """The score of each hypothesis by its name `utt-N`."""
    parts = [_scaled(name, folder) for name in names] or _usual(folder, builder.settings.costs)
    total: dict[str, float] = {}
    for number, (scale, path, costs) in enumerate(parts):
        found: dict[str, float] = {}
        for key, rest, where in keyed_lines(str(path), builder.settings.encoding_errors):
            if key in found:
                raise TextError(f"{where}: {key!r} has a score already", "each hypothesis is in a list once")
            found[key] = scale * parse_score(rest, where, builder.settings.costs if costs is None else costs) + total.get(key, 0.0)
            if not math.isfinite(found[key]):
                raise TextError(f"{where}: the score is {found[key]}", "scores are finite numbers, their sums and products too")
        if number and found.keys() != total.keys():
            key = min(found.keys() ^ total.keys())
            raise TextError(f"{path}: not the same hypotheses as in {parts[0][1]}", f"{key!r} is in only one of them")
        total = found
    return total


def _scaled(name: str, folder: Path) -> tuple[float, Path, bool | None]:
    """The factor, the place, and whether they are costs (None: as the settings say) of a file of scores."""
    match = _SCALED.fullmatch(name)
    scale, name = (match[1], match[2]) if match else ("1", name)
    path = folder / name
    costs = True if KNOWN_COSTS.fullmatch(path.name) else None
    return parse_score(scale, f"the factor before {name}", False), path if path.is_file() else Path(name), costs


def _usual(folder: Path, costs: bool) -> list[tuple[float, Path, bool | None]]:
    scores = [path for name in SCORES if (path := folder / name).is_file()]
    if scores:
        return [(1.0, scores[0], costs)]
    found = [path for name in COSTS if (path := folder / name).is_file()]
    if not found:
        raise TextError(
            f"no scores lie in {folder}",
            f"a text that is neither TSV nor JSON is taken for Kaldi's, with {', '.join(SCORES + COSTS)} beside it",
            "name them: --scores FILE; or name the format: --format",
        )
    return [(1.0, found[0], True)]


def _utt_and_rank(key: str, where: str) -> tuple[str, int]:
    utt, _, number = key.rpartition("-")
    rank = parse_rank(number)
    if not utt or rank is None:
        why = "a line of a Kaldi list begins with the utterance, a hyphen and the rank"
        raise TextError(f"{where}: {key[:80]!r} is not the name of a hypothesis", why, "name another format with --format")
    return utt, rank


def espnet_folders(source: str) -> list[tuple[int, Path]]:
    """(rank, folder) of each `Nbest_recog` at or below a folder, in order of job and rank."""
    found = []
    for place, folders, _ in os.walk(source):
        found += [(place, int(match[1]), Path(place, name)) for name in folders if (match := _BEST.fullmatch(name))]
    jobs = sorted(
        found, key=lambda each: ([int(part) if part.isdecimal() else 0 for part in re.split(r"(\d+)", each[0])], each[0], each[1])
    )
    return [(rank, path) for _, rank, path in jobs]


def read_espnet(builder: ListBuilder) -> None:
    """Read the folders of an ESPnet decoding.

    Raises:
        TextError: there are none; a hypothesis lacks its score, or a score its hypothesis.
    """
    errors = builder.settings.encoding_errors
    folders = espnet_folders(builder.source)
    if not folders:
        raise TextError(f"{builder.source} holds no n-best list", "there is no folder 1best_recog in it or below it")
    for rank, folder in folders:
        scores = {}
        for utt, rest, where in keyed_lines(str(folder / "score"), errors):
            if utt in scores:
                raise TextError(f"{where}: {utt!r} has a score already", "each hypothesis is in a list once")
            scores[utt] = parse_score(rest, where, builder.settings.costs)
        for utt, words, where in keyed_lines(str(folder / "text"), errors):
            if utt not in scores:
                raise TextError(f"{where}: {utt!r} has no score", f"{folder / 'score'} does not name it")
            builder.add(utt, rank, Hypothesis(words, scores.pop(utt), where))
        if scores:
            raise TextError(f"{folder / 'score'}: {next(iter(scores))!r} has no hypothesis", f"{folder / 'text'} does not name it")
