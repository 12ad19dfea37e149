"""Read and write n-best lists: TSV, JSON, and the formats of speech and translation toolkits."""

import dataclasses
import itertools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnlm.amounts import plural
from rnnlm.checks import check_path, several
from rnnlm.errors import OutputError, TextError, UsageError, keyword, nearest, notice, shown
from rnnlm.storage.files import tables
from rnnlm.storage.files.file_types import without_suffix
from rnnlm.storage.files.outputs import save_file
from rnnlm.storage.files.reading import opened, text_lines
from rnnlm.text.lines import WORD_SPACE, is_blank, lines_with_ends, split_words, without_end
from rnnlm.text.named_columns import GroupNames
from rnnlm.tools.rescoring.nbest import (
    Hypothesis,
    Line,
    ListBuilder,
    Utterance,
    check_score,
    parse_rank,
    parse_score,
)
from rnnlm.tools.rescoring.rescorer import Rescored, RescoredUtterance
from rnnlm.tools.rescoring.settings import FORMATS, ListSettings

# ---- TSV and JSON. The format is recognised by content.
#
# * tsv: a row is `utt TAB rank TAB score TAB text` (:mod:`rnnlm.storage.files.tables`); the
#   reference has the rank REF and no score, and the source of translations the rank SRC. A row of
#   names may come first; all columns but utt, rank, score and text are further scores.
# * json: JSON-lines, or one array, of {"utt", "source", "ref", "hypotheses": [{"text", "score",
#   "scores": {NAME: number}}, ...]}, best first; "ref", "source" and one of the scores may be
#   missing.
# * nemo: a row is `text TAB score`. As many rows as its beam was wide, the best first, or those
#   between blank lines, are an utterance; its name is its number, from 1.
# * moses: a row is `utt ||| text ||| NAME= number ... NAME= number ||| total`, perhaps with more
#   fields; utterances count from 0. A name may have several numbers, and no blank behind it. One
#   with a _ is of a sparse feature, which is 0 where it is missing.
# * srilm: a row is `am lm words text`. A file is an utterance, called by its name without suffixes.
# * kaldi: a text of `utt-N words...` with files of `utt-N number` beside it. espnet: a folder that
#   holds `1best_recog`, `2best_recog`, ...

REFERENCE, SOURCE = "REF", "SRC"
_HEADER = ["utt", "rank", "score", "text"]
_NUMBER = re.compile(
    r"(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|-?inf(?:inity)?|nan)", re.IGNORECASE
)
SAMPLE_LINES = 100
_SRILM = re.compile(rf"({_NUMBER.pattern}) +({_NUMBER.pattern}) +\d+( [^\t]*)?", re.IGNORECASE)
_LIST_SUFFIXES = re.compile(r"(\.(nbest|scores?|txt|gz|bz2|xz|zst))+$")
# Names of sparse features, such as dlm_der:die, may hold the signs that end others.
_FEATURE = re.compile(
    rf"([^\s=:]+|\S+_\S*(?==))[=:]((?:\s*(?:{_NUMBER.pattern})(?!\S))+)", re.IGNORECASE
)
_MIXED = "a file holds n-best lists of one format only"


def read_nbest(
    source: str | Path, settings: ListSettings = ListSettings(), *, score_files: Sequence[str] = (),
    references: Sequence[str | Path] = (), sources: Sequence[str | Path] = (),
) -> list[Utterance]:  # fmt: skip
    """Read the utterances of an n-best list.

    Args:
        source: The file of the list.
        settings: How to read it.
        score_files: For a Kaldi list, the files whose numbers add up to the score, by path or by
            name beside the list; a factor may precede each, as in `0.1*ac_cost`. With a name, as in
            `lm=lm_cost`, they add up to a further score of that name.
        references: Files of `utt words...` with the references, for lists that have none; for moses
            and srilm also of plain lines, one for each utterance.
        sources: Files with the sources, of the same forms.

    Returns:
        The utterances, in the order of the list.

    Raises:
        TextError: The list cannot be read, a score is missing, nan or inf, an utterance, rank,
            reference or source occurs twice, an utterance has no hypothesis, or references or
            sources contradict each other.
        UsageError: The format is unknown, or does not use score_files.
    """
    check_path(source, "read_nbest: the list")
    source = str(source)
    kind = settings.format or format_of(source, settings)
    if kind not in FORMATS:
        raise UsageError(f"unknown format of n-best lists: {kind!r}", hint=nearest(kind, FORMATS))
    if score_files and kind != "kaldi":
        raise UsageError(
            f"{source} already has scores, as in every {kind} list",
            hint="leave out " + keyword("score_files"),
        )
    # First the content of the list, then the content of other files about its utterances.
    builder = ListBuilder(source, settings)
    readers = {"espnet": read_espnet, "tsv": _read_tsv, "nemo": _read_nemo, "json": _read_json,
               "moses": _read_moses, "srilm": _read_srilm}  # fmt: skip
    if kind == "kaldi":
        # A text, or the folder it is in, and the scores beside it, or the sum of `score_files`.
        text = _text_in(builder.source)
        _add_scored(builder, text, _sums_of_scores(builder, text.parent, score_files))

        # References may be beside it, too.
        beside = text.parent / KALDI_REFERENCES
        if beside.is_file() and text.name != KALDI_REFERENCES:
            for utt, words, where in keyed_lines(str(beside), builder.settings.encoding_errors):
                builder.add_line(utt, "reference", words, where)
    else:
        readers[kind](builder)
    reference_files, source_files = several(references, "references"), several(sources, "sources")
    utterances = builder.finished()
    counted = kind if kind in ("moses", "srilm") else None
    utterances = _with_lines(
        utterances, reference_files, "reference", "references", settings, counted
    )
    utterances = _with_lines(utterances, source_files, "source", "sources", settings, counted)

    # Groups are a field of the list, or lines of a file.
    group_by = settings.group_by
    if group_by is None or any(utterance.group is not None for utterance in utterances):
        return utterances
    if not os.path.isfile(group_by):
        raise UsageError(
            keyword("group_by", group_by) + ": no utterance has this field, nor is there a file",
            hint="name a field of a json list, or a file of `utt group` lines",
        )
    utterances = _with_lines(utterances, [group_by], "group", "group_by", settings, None)
    groups = GroupNames()
    utterances = [dataclasses.replace(one, group=groups.of(one.group)) for one in utterances]
    groups.tell(group_by)
    return utterances


def format_of(source: str, settings: ListSettings = ListSettings()) -> str:
    """Return the format of a list, inferred from its content. TextError: it cannot be read, is
    empty, or is no list."""
    if os.path.isdir(source):
        is_kaldi = any(Path(source, name).is_file() for name in TEXTS)
        if espnet_folders(source):
            return "espnet"
        return "kaldi" if is_kaldi else "srilm"
    with opened(source, errors=settings.encoding_errors) as stream:
        lines = text_lines(source, stream, settings.encoding_errors)
        first = next(filter(str.strip, lines), None)
        if first is None:
            raise TextError(f"{source} is empty", "an n-best list holds utterances")
        if first.lstrip()[0] in "{[":
            return "json"
        if first.count(" ||| ") > 1:
            return "moses"
        if _SRILM.fullmatch(first.strip()):
            return "srilm"
        sample = [first, *itertools.islice(lines, SAMPLE_LINES)]

        # NeMo writes a text and a number on each line.
        rows = [
            line.rstrip("\r\n").split("\t") for line in sample if not is_blank(line.rstrip("\n"))
        ]
        if _names_columns(rows[0]):
            del rows[0]
        if rows and all(len(row) == 2 and _NUMBER.fullmatch(row[1].strip()) for row in rows):
            return "nemo"
        _, cells = next(tables.tsv_rows(itertools.chain(sample, lines), len(_HEADER)))
    if len(cells) < 3 and parse_rank(first.split()[0].rpartition("-")[2]) is None:
        raise TextError(
            f"{source} is no n-best list of a known format",
            f"it begins {shown(first.strip())}",
            "see rnnlm rescore --help for the formats; name one: " + keyword("format"),
        )
    return "tsv" if len(cells) > 2 else "kaldi"


def _read_tsv(builder: ListBuilder) -> None:
    source, settings = builder.source, builder.settings
    with opened(source, errors=settings.encoding_errors) as stream:
        lines = text_lines(source, stream, settings.encoding_errors)
        # The first line may name the columns.
        first = next(lines, "")
        header = first.rstrip("\r\n").split("\t")
        names = header if {"utt", "rank", "text"} <= {*header} else _HEADER
        for number, fields in tables.tsv_rows(itertools.chain([first], lines), len(names)):
            # A blank line, or the names of the columns, is no row.
            where = f"{source}, line {number}"
            if not "".join(fields).strip() or (number == 1 and fields == names):
                continue
            if len(fields) != len({*names}):
                raise TextError(
                    f"{where}: not a line of an n-best list",
                    f"it has {len(fields)} of the fields {', '.join(names)}",
                    f"fields are separated by one tab; {_MIXED}",
                )
            scores = dict(zip(names, fields, strict=True))
            utt, rank, text = (scores.pop(name) for name in ("utt", "rank", "text"))
            if not utt:
                raise TextError(f"{where}: the utterance has no name")

            # A reference, a source, or a hypothesis with its rank.
            if rank in (REFERENCE, SOURCE):
                what: Line = "reference" if rank == REFERENCE else "source"
                if "".join(scores.values()).strip():
                    raise TextError(
                        f"{where}: a {what} has a score",
                        f"it is {' '.join(scores.values())!r}",
                        f"leave the score of a {what} empty",
                    )
                builder.add_line(utt, what, text, where)
                continue
            number_in_list = parse_rank(rank)
            if number_in_list is None:
                raise TextError(
                    f"{where}: {rank!r} is not a valid rank",
                    f"ranks are 1, 2, 3 and so on, {REFERENCE} or {SOURCE}",
                )
            values = _parsed(scores, where, settings.costs)
            score = values.pop("score", None)
            builder.add(utt, number_in_list, Hypothesis(text, score, where, values))


def _parsed(scores: Mapping[str, Any], where: str, costs: bool) -> dict[str, float]:
    """Return scores by name as numbers."""
    return {
        name: parse_score(str(value), where if name == "score" else f"{where}, {name}", costs)
        for name, value in scores.items()
    }


def _names_columns(cells: Sequence[str]) -> bool:
    """Return whether the first row of a nemo list names a text and its score."""
    return len(cells) == 2 and cells[1].isalpha() and not _NUMBER.fullmatch(cells[1])


def _read_nemo(builder: ListBuilder) -> None:
    source, size = builder.source, builder.settings.beam_size
    utt, rank, has_blank = 1, 0, False
    for number, ended in lines_with_ends(source, builder.settings.encoding_errors):
        line = without_end(ended)
        if number == 1 and _names_columns(line.split("\t")):
            continue

        # An utterance ends at its last row or, if the number of rows is unknown, at a blank line.
        is_row = not is_blank(line)
        is_over = rank == size if size else not is_row and rank > 0
        if is_over:
            utt, rank = utt + 1, 0
        has_blank |= is_over
        if not is_row:
            continue
        rank += 1
        text, _, score = line.rpartition("\t")
        where = f"{source}, line {number}"
        value = parse_score(score, where, builder.settings.costs)
        builder.add(str(utt), rank, Hypothesis(text, value, where))
    if size and rank != size:
        raise TextError(f"{source}: the last utterance has {rank} of {size} hypotheses")
    if not size and not has_blank:
        notice(
            f"{source}: all rows are hypotheses of one utterance. Separate utterances by "
            "blank lines, or set " + keyword("beam_size") + " to the rows of each"
        )


def _filled_lines(builder: ListBuilder, path: str) -> Iterator[tuple[str, str]]:
    """Yield each line that is not blank, with its place."""
    for number, line in lines_with_ends(path, builder.settings.encoding_errors):
        if line.strip():
            yield f"{path}, line {number}", line.strip()


def _read_moses(builder: ListBuilder) -> None:
    ranks = Counter[str]()
    ranked: list[tuple[str, int, Hypothesis]] = []
    sparse: dict[str, float] = {}
    for where, line in _filled_lines(builder, builder.source):
        utt, *cells = map(str.strip, line.split("|||"))
        if len(cells) < 3 or _FEATURE.sub("", cells[1]).strip():
            raise TextError(
                f"{where}: not a line of a Moses list",
                f"it is {shown(line)}",
                "a line is `0 ||| text ||| NAME= number ... ||| total`",
            )
        # A name with several numbers gives as many scores.
        values = {"score": cells[2]}
        for name, numbers in _FEATURE.findall(cells[1]):
            sparse |= {name: 0.0} if "_" in name else {}
            for place, number in enumerate(numbers.split()):
                values[f"{name}_{place}" if " " in numbers.strip() else name] = number
        scores = _parsed(values, where, builder.settings.costs)
        ranks[utt] += 1
        hypothesis = Hypothesis(cells[0], scores.pop("score"), where, scores)
        ranked.append((utt, ranks[utt], hypothesis))
    for utt, rank, hypothesis in ranked:
        scores = sparse | dict(hypothesis.scores)
        builder.add(utt, rank, dataclasses.replace(hypothesis, scores=scores))


def _read_srilm(builder: ListBuilder) -> None:
    source = Path(builder.source)
    paths = sorted(path for path in source.glob("[!.]*") if path.is_file())
    for path in paths if source.is_dir() else [source]:
        utt = _LIST_SUFFIXES.sub("", path.name)
        for rank, (where, line) in enumerate(_filled_lines(builder, str(path)), start=1):
            match = _SRILM.fullmatch(line)
            if match is None:
                raise TextError(
                    f"{where}: not a line of an SRILM list",
                    f"it is {shown(line)}",
                    "a line is `am lm words text`; a folder without a file called text or folders "
                    "1best_recog is read as SRILM's",
                )
            scores = _parsed({"am": match[1], "lm": match[2]}, where, builder.settings.costs)
            builder.add(utt, rank, Hypothesis((match[3] or "").strip(), None, where, scores))


# The fields of :func:`record` and of `rnnlm translate --json` are known, too.
_FIELDS = (
    "utt", "source", "ref", "hypotheses", "text", "score", "scores", "first_pass_rank",
    "first_pass_score", "features", "word_errors", "reason", "logprob_nats", "tokens", "complete",
    "attention",
)  # fmt: skip


def _read_json(builder: ListBuilder) -> None:
    settings, rescored = builder.settings, 0
    fields: dict[Any, None] = {}
    groups = GroupNames()
    for row in tables.rows(builder.source, tables.JSON_LINES, settings.encoding_errors):
        # The utterance, and its reference.
        fields.update(dict.fromkeys(row.values))
        utt = _field(row.values, "utt", (str, int), row.where, "text")
        if builder.knows(str(utt)):
            raise TextError(
                f"{row.where}: utterance {utt!r} is already in the list",
                "an utterance can appear only once in a list",
            )
        if not tables.is_gap(row.values.get("ref")):
            reference = _field(row.values, "ref", str, row.where, "text")
            builder.add_line(str(utt), "reference", reference, row.where)
        if isinstance(row.values.get("source"), str):
            original = _field(row.values, "source", str, row.where, "text")
            builder.add_line(str(utt), "source", original, row.where)

        group = groups.of(row.values.get(settings.group_by))
        if group is not None:
            builder.add_line(str(utt), "group", group, row.where)

        # Its hypotheses, the best first; their scores may be numbers or text.
        listed = []
        if "hypotheses" not in row.values or not tables.is_gap(row.values["hypotheses"]):
            listed = _field(row.values, "hypotheses", list, row.where, "a list")
        for rank, hypothesis in enumerate(listed, start=1):
            where = f"{row.where}, hypothesis {rank}"
            if not isinstance(hypothesis, dict):
                raise TextError(
                    f"{where}: not an object", 'a hypothesis is {"text": ..., "score": ...}'
                )
            fields.update(dict.fromkeys(hypothesis))
            # A hypothesis may be empty: nothing was said.
            text = ""
            if "text" not in hypothesis or not tables.is_gap(hypothesis["text"]):
                text = _field(hypothesis, "text", str, where, "text")
            # A hypothesis that rescoring never chooses has no score in what save_nbest wrote.
            was_rescored = "first_pass_score" in hypothesis
            score: float | None = -math.inf if was_rescored else None
            further = {"scores": hypothesis.get("scores") or {}}
            further = _field(further, "scores", dict, where, "an object of names and numbers")
            scores = _parsed(further, where, settings.costs)
            if hypothesis.get("score") is not None or not (was_rescored or scores):
                number = _field(hypothesis, "score", (int, float, str), where, "a number")
                score = parse_score(str(number), where, settings.costs)
            builder.add(str(utt), rank, Hypothesis(text, score, where, scores))
            rescored += was_rescored
        builder.draft(str(utt), row.where)  # also of an utterance without hypotheses
    groups.tell(f"{builder.source}: {settings.group_by}")
    tables.tell_unread(builder.source, fields, (*_FIELDS, str(settings.group_by)))
    if rescored:
        notice(
            f"{builder.source} was rescored before: its scores already include the scores of "
            "language models"
        )


def _field(values: Mapping[Any, Any], name: str, types: Any, where: str, expected: str) -> Any:
    if values.get(name) is None:
        raise TextError(
            f"{where}: {name!r} is {'null' if name in values else 'missing'}",
            'an utterance is {"utt", "ref", "hypotheses": [{"text", "score"}, ...]}',
        )
    if not isinstance(values[name], types) or isinstance(values[name], bool):
        raise TextError(f"{where}: {name!r} is not {expected}", f"it is {shown(values[name])}")
    if isinstance(values[name], str):
        tables.check_halves(values[name], f"{where}, {name!r}")
    return values[name]


def _with_lines(
    utterances: list[Utterance],
    files: Sequence[str | Path],
    what: str,
    option: str,
    settings: ListSettings,
    counted: str | None,
) -> list[Utterance]:
    """Return the utterances with the references, or sources, of these files. what: "reference" or
    "source"; option: the option that names the files; counted: the format whose utterances may have
    plain lines. TextError: there are two for an utterance, and they differ."""
    # The content of the files, each utterance once.
    lines: dict[str, tuple[str | None, str]] = {}
    for file in files:
        rows = list(keyed_lines(str(file), settings.encoding_errors))
        unnamed = {one.utt for one in utterances}.difference(key for key, _, _ in rows)
        if counted and 2 * len(unnamed) > len(utterances):
            rows = _plain_lines(str(file), utterances, counted, settings.encoding_errors)
        for utt, text, where in rows:
            if utt in lines:
                raise TextError(
                    f"{where}: utterance {utt!r} already has a {what}", f"see {lines[utt][1]}"
                )
            lines[utt] = text, where

    # The list's own texts must be the same.
    complete = []
    for utterance in utterances:
        known = getattr(utterance, what)
        text, where = lines.pop(utterance.utt, (known, ""))
        if known is not None and text not in (known, known.strip(WORD_SPACE)):
            raise TextError(
                f"{where}: a different {what} for {utterance.utt!r}",
                f"the one at {utterance.where} differs",
                "leave out " + keyword(option),
            )
        complete.append(dataclasses.replace(utterance, **{what: text}))
    if lines:
        notice(
            f"{plural(len(lines), f'{what} is', f'{what}s are')} for utterances that are not in "
            f"the list; the first is {next(iter(lines))!r}"
        )
    return complete


def _plain_lines(
    file: str, utterances: Sequence[Utterance], counted: str, errors: str
) -> list[tuple[str, str, str]]:
    """Return the lines of a file as :func:`keyed_lines` does, for utterances in order, or by their
    numbers, which Moses counts from 0."""
    lines = [line.strip() for _, line in lines_with_ends(file, errors)]
    names = [utterance.utt for utterance in utterances]
    numbers = list(map(str, range(len(lines))))
    if counted == "moses" and set(names) <= set(numbers):
        names = numbers
    if len(names) != len(lines):
        raise TextError(
            f"{file} has {plural(len(lines), 'line')} for {plural(len(names), 'utterance')}",
            "as lines do not begin with names of utterances, each utterance needs one line",
        )
    notice(f"{file}: its lines are plain text, the first of utterance {names[0]!r}")
    return [(names[n], line, f"{file}, line {n + 1}") for n, line in enumerate(lines)]


def check_names(utterances: Iterable[Utterance | RescoredUtterance]) -> None:
    """Check that the names of utterances can be separated from the text after them in a line of
    :func:`save_best`."""
    for utterance in utterances:
        if re.search(r"\s", utterance.utt):
            raise OutputError(
                f"the name {utterance.utt!r} of an utterance holds white space",
                "white space ends a name in that format",
                "rename it, or write a list: "
                + keyword("nbest_output")
                + " FILE.tsv or FILE.jsonl",
            )


def save_best(rescored: Rescored, path: str | Path) -> None:
    """Write `utt words...` for each utterance, as Kaldi's and ESPnet's tools take it.

    Raises:
        OutputError: it cannot be written; a name holds white space.
    """
    check_names(rescored.utterances)
    lines = [
        " ".join([utterance.utt, *split_words(utterance.hypotheses[0].text)]) + "\n"
        for utterance in rescored.utterances
    ]
    save_file(Path(path), map(str.encode, lines))


def save_nbest(rescored: Rescored, path: str | Path) -> None:
    """Write a rescored list in its new order, in a format that :func:`rnnlm.read_nbest` reads.

    Args:
        rescored: The list.
        path: File to write. A name that ends in .tsv gives TSV without hypotheses that are never
            chosen; any other gives JSON Lines, which include them and the features.

    Raises:
        OutputError: The file cannot be written.
    """
    is_tsv = Path(without_suffix(str(path))).suffix == ".tsv"
    lines = itertools.chain.from_iterable(map(_tsv if is_tsv else _json, rescored.utterances))
    save_file(Path(path), map(str.encode, lines))


def _tsv(utterance: RescoredUtterance) -> Iterator[str]:
    for name, text in ((SOURCE, utterance.source), (REFERENCE, utterance.reference)):
        if text is not None:
            yield tables.tsv_line([utterance.utt, name, "", " ".join(split_words(text))])
    for rank, hypothesis in enumerate(utterance.hypotheses, start=1):
        if hypothesis.score is not None:
            text = " ".join(split_words(hypothesis.text))
            yield tables.tsv_line([utterance.utt, str(rank), repr(hypothesis.score), text])


def _json(utterance: RescoredUtterance) -> Iterator[str]:
    yield json.dumps(record(utterance), ensure_ascii=False, allow_nan=False) + "\n"


def record(utterance: RescoredUtterance) -> dict[str, Any]:
    """Return an utterance in its new order, in JSON's types."""
    hypotheses = [
        {
            "text": hypothesis.text,
            "score": hypothesis.score,
            "first_pass_rank": hypothesis.rank,
            "first_pass_score": hypothesis.first_pass,
            "features": hypothesis.features,
            "word_errors": hypothesis.edits and hypothesis.edits.errors,
        }
        for hypothesis in utterance.hypotheses
    ]
    source = {} if utterance.source is None else {"source": utterance.source}
    return {
        "utt": utterance.utt, **source, "ref": utterance.reference, "hypotheses": hypotheses,
    }  # fmt: skip


# ---- N-best lists as speech toolkits leave them: many files of one line an utterance, its name
# first.
#
# Kaldi (nbest-to-linear, utils/int2sym.pl): a text of `utt-N words...`, N from 1, and files of
# `utt-N number` beside it. ESPnet (asr_inference): folders `1best_recog`, `2best_recog`, ... of
# each job (`logdir/output.1`, ...), each with a `text` and a `score`.

TEXTS = ("words_text", "text")
SCORES, COSTS = ("scores", "score"), ("ac_cost", "acwt")  # files to look for beside a Kaldi text
KNOWN_COSTS = re.compile(r"(ac|lm|graph)_cost|acwt|lmwt.*")
KALDI_REFERENCES = "ref"
_BEST = re.compile(r"(\d+)best_recog")
_SCALED = re.compile(r"(?:(\w+)=)?(?:([-+0-9.eE]+)\*)?(.+)", re.DOTALL)


def keyed_lines(source: str, errors: str = "strict") -> Iterator[tuple[str, str, str]]:
    """Yield (name, the rest, where it is) for each line that is not blank."""
    for number, line in lines_with_ends(source, errors):
        key, _, rest = line.translate({9: " "}).strip(f"{WORD_SPACE}\n").partition(" ")
        if key:
            yield key, rest.strip(WORD_SPACE), f"{source}, line {number}"


def _add_scored(
    builder: ListBuilder,
    text: Path,
    scores: dict[str, dict[str, float]],
    rank_of_all: int | None = None,
) -> None:
    """Add the hypotheses of a file, each of which has all scores, and every score a hypothesis.
    scores: by the name of the score ("score": the base), then by that of the hypothesis.
    rank_of_all: their rank; None: it is in the name of each."""
    left = next(iter(scores.values()))  # all have the same hypotheses
    for key, words, where in keyed_lines(str(text), builder.settings.encoding_errors):
        utt, rank = _utt_and_rank(key, where) if rank_of_all is None else (key, rank_of_all)
        if key not in left:
            raise TextError(f"{where}: {key!r} has no score", "every hypothesis needs one")
        values = {name: score_of.pop(key) for name, score_of in scores.items()}
        score = values.pop("score", None)
        builder.add(utt, rank, Hypothesis(words, score, where, values))
    if left:
        key = next(iter(left))
        raise TextError(
            f"{text}: {len(left):,} scores have no hypothesis, the first is {key!r}",
            "an empty hypothesis is a line with its name alone",
        )


def _scores_in(builder: ListBuilder, path: Path, costs: bool) -> Iterator[tuple[str, float, str]]:
    """Yield the name, the score and the place of each line; each name is there once."""
    names = set()
    for key, rest, where in keyed_lines(str(path), builder.settings.encoding_errors):
        if key in names:
            raise TextError(
                f"{where}: {key!r} already has a score",
                "a hypothesis can appear only once in a list",
            )
        names.add(key)
        yield key, parse_score(rest, where, costs), where


def _text_in(source: str) -> Path:
    if not os.path.isdir(source):
        return Path(source)
    for name in TEXTS:
        path = Path(source, name)
        if path.is_file():
            return path
    raise TextError(
        f"{source} holds no n-best list",
        f"neither {' nor '.join(TEXTS)}, nor folders 1best_recog, 2best_recog, ...",
    )


_ScoreFile = tuple[str, float, Path, bool | None]


def _sums_of_scores(
    builder: ListBuilder, folder: Path, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return each score ("score": the base) of each hypothesis, by its name `utt-N`."""
    settings = builder.settings
    parts = [_scaled(name, folder) for name in names] or _usual(folder, settings.costs)
    totals: dict[str, dict[str, float]] = {}
    known: dict[str, float] = {}
    for number, (label, scale, path, costs) in enumerate(parts):
        # Add the file's numbers to the sum; each hypothesis is in it once.
        are_costs = settings.costs if costs is None else costs
        total = totals.get(label, {})
        scores: dict[str, float] = {}
        for key, score, where in _scores_in(builder, path, are_costs):
            scores[key] = scale * score + total.get(key, 0.0)
            check_score(scores[key], where)

        # All files must hold the same hypotheses.
        if number and scores.keys() != known.keys():
            key = min(scores.keys() ^ known.keys())
            raise TextError(
                f"{path}: not the same hypotheses as in {parts[0][2]}",
                f"{key!r} is in only one of them",
            )
        totals[label] = known = scores
    return totals


def _scaled(name: str, folder: Path) -> _ScoreFile:
    """Return the score that a file belongs to, the factor, the path, and whether they are costs
    (None: as the settings say)."""
    # A name and a factor may come before the file, which is one beside the list or a path.
    match = _SCALED.fullmatch(name)
    label, factor, name = match.groups() if match else (None, None, name)
    scale = parse_score(factor or "1", f"the factor before {name}", False)
    if math.isinf(scale):
        raise TextError(f"the factor before {name} is {scale}", "it must be a finite number")
    path = folder / name if (folder / name).is_file() else Path(name)
    return label or "score", scale, path, True if KNOWN_COSTS.fullmatch(path.name) else None


def _usual(folder: Path, costs: bool) -> list[_ScoreFile]:
    for name in SCORES + COSTS:
        if (folder / name).is_file():
            return [("score", 1.0, folder / name, costs or name in COSTS)]
    raise TextError(
        f"no scores in {folder}",
        f"lines of `utt-N words...` are Kaldi's, with {', '.join(SCORES + COSTS)} next to them",
        "name them: "
        + keyword("score_files", "FILE")
        + "; or name the format: "
        + keyword("format"),
    )


def _utt_and_rank(key: str, where: str) -> tuple[str, int]:
    utt, _, number = key.rpartition("-")
    rank = parse_rank(number)
    if not utt or rank is None:
        raise TextError(
            f"{where}: {key[:80]!r} is not the name of a hypothesis",
            "a line of a Kaldi list begins with the utterance, a hyphen and the rank",
            "name another format with " + keyword("format"),
        )
    return utt, rank


def espnet_folders(source: str) -> list[tuple[int, Path]]:
    """Return (rank, folder) of each `Nbest_recog` at or below a folder, in order of job and
    rank."""
    folders_found = []
    for place, folders, _ in os.walk(source):
        for match in filter(None, map(_BEST.fullmatch, folders)):
            order = (
                [int(part) if part.isdecimal() else 0 for part in re.split(r"(\d+)", place)],
                place,
                int(match[1]),
            )
            folders_found.append((*order, Path(place, match[0])))
    return [(rank, path) for _, _, rank, path in sorted(folders_found, key=lambda entry: entry[:3])]


def read_espnet(builder: ListBuilder) -> None:
    """Read the folders of an ESPnet decoding. TextError: there are none; a hypothesis lacks its
    score, or a score its hypothesis."""
    folders = espnet_folders(builder.source)
    if not folders:
        raise TextError(
            f"{builder.source} holds no n-best list",
            "there is no folder 1best_recog in it or below it",
        )
    for rank, folder in folders:
        rows = _scores_in(builder, folder / "score", builder.settings.costs)
        scores = {utt: score for utt, score, _ in rows}
        _add_scored(builder, folder / "text", {"score": scores}, rank)
