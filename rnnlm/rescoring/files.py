"""N-best lists in files, read and written: TSV and JSON here, those of Kaldi and ESPnet in :mod:`rnnlm.rescoring.kaldi_espnet`. The
format is recognised by content.

* tsv: a row is `utt TAB rank TAB score TAB text` (:mod:`rnnlm.files.tsv`); the reference has the rank REF and no score, and the source of
  translations the rank SRC. A row of these names may stand first.
* json: JSON-lines, or one array, of {"utt", "source", "ref", "hypotheses": [{"text", "score"}, ...]}, best first; "ref" and "source" may be
  missing.
* kaldi: a text of `utt-N words...` with files of `utt-N number` beside it. espnet: a folder that holds `1best_recog`, `2best_recog`, ...
"""

import dataclasses
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnlm.errors import OutputError, TextError, UsageError, nearest, notice, shown
from rnnlm.files import tables, tsv
from rnnlm.files.compression import without_suffix
from rnnlm.files.reading import opened, text_lines
from rnnlm.files.writing import save_file
from rnnlm.rescoring import kaldi_espnet
from rnnlm.rescoring.kaldi_espnet import keyed_lines
from rnnlm.rescoring.nbest import Hypothesis, ListBuilder, ListSettings, Utterance, parse_rank, parse_score
from rnnlm.rescoring.rescorer import Rescored, RescoredUtterance
from rnnlm.text.lines import WORD_SPACE, split_words

FORMATS = ("tsv", "json", "kaldi", "espnet")
REFERENCE, SOURCE = "REF", "SRC"
_HEADER = ["utt", "rank", "score", "text"]
_MIXED = "the formats of n-best lists are not mixed within one file"


def read_nbest(
    source: str | Path, settings: ListSettings = ListSettings(), *, score_files: Sequence[str] = (),
    references: Sequence[str | Path] = (), sources: Sequence[str | Path] = (),
) -> list[Utterance]:  # fmt: skip
    """The utterances of an n-best list.

    score_files: of a Kaldi list, the files whose numbers add up to the score; each lies beside the list or is a path, and may have
    a factor before it, `0.1*ac_cost`. references, sources: files of `utt words...`, for lists without.

    Raises:
        TextError: it cannot be read; a score is missing or not finite; an utterance, rank, reference or source is there twice; an
            utterance has no hypothesis; references or sources contradict each other. UsageError: the format is unknown, or needs no
            score_files.
    """
    source = str(source)
    kind = settings.format or format_of(source, settings)
    if kind not in FORMATS:
        raise UsageError(f"no such format of n-best lists: {kind!r}", hint=nearest(kind, FORMATS))
    if score_files and kind != "kaldi":
        raise UsageError(f"{source} holds its scores itself, as {kind} does", hint="leave out --scores")
    builder = ListBuilder(source, settings)
    if kind == "kaldi":
        kaldi_espnet.read_kaldi(builder, score_files)
    elif kind == "espnet":
        kaldi_espnet.read_espnet(builder)
    else:
        (_read_tsv if kind == "tsv" else _read_json)(builder)
    utterances = _with_lines(builder.finished(), list(map(str, references)), "reference", "--ref", settings)
    return _with_lines(utterances, list(map(str, sources)), "source", "--sources", settings)


def format_of(source: str, settings: ListSettings = ListSettings()) -> str:
    """The format of a list, by what is in it.

    Raises:
        TextError: it cannot be read, is empty, or is none.
    """
    if os.path.isdir(source):
        return "espnet" if kaldi_espnet.espnet_folders(source) else "kaldi"
    with opened(source) as stream:
        lines = text_lines(source, stream, settings.encoding_errors)
        first = next(filter(str.strip, lines), None)
        if first is None:
            raise TextError(f"{source} is empty", "an n-best list holds utterances")
        if first.lstrip()[0] in "{[":
            return "json"
        _, cells = next(tsv.tsv_rows(itertools.chain([first], lines), len(_HEADER)))
    return "tsv" if len(cells) > 2 else "kaldi"


def _read_tsv(builder: ListBuilder) -> None:
    source, settings = builder.source, builder.settings
    with opened(source) as stream:
        for number, fields in tsv.tsv_rows(text_lines(source, stream, settings.encoding_errors), len(_HEADER)):
            where = f"{source}, line {number}"
            if not "".join(fields).strip() or (number == 1 and fields == _HEADER):
                continue
            if len(fields) != len(_HEADER):
                why = f"it has {len(fields)} of the fields utt, rank, score, text"
                raise TextError(f"{where}: not a line of an n-best list", why, f"fields are separated by one tab; {_MIXED}")
            utt, rank, score, text = fields
            if not utt:
                raise TextError(f"{where}: the utterance has no name")
            if rank in (REFERENCE, SOURCE):
                what = "reference" if rank == REFERENCE else "source"
                if score.strip():
                    raise TextError(f"{where}: a {what} has a score", f"it is {score!r}", f"a {what}'s score is empty")
                (builder.add_reference if rank == REFERENCE else builder.add_source)(utt, text, where)
            else:
                number_in_list = parse_rank(rank)
                if number_in_list is None:
                    raise TextError(f"{where}: {rank!r} is not a valid rank", f"ranks are 1, 2, 3 and so on, {REFERENCE} or {SOURCE}")
                builder.add(utt, number_in_list, Hypothesis(text, parse_score(score, where, settings.costs), where))


def _read_json(builder: ListBuilder) -> None:
    settings, rescored = builder.settings, 0
    for row in tables.rows(builder.source, tables.JSON_LINES, settings.encoding_errors):
        utt = _field(row.values, "utt", (str, int), row.where, "text")
        if builder.knows(str(utt)):
            raise TextError(f"{row.where}: utterance {utt!r} is in the list already", "each utterance is in a list once")
        if row.values.get("ref") is not None:
            builder.add_reference(str(utt), _field(row.values, "ref", str, row.where, "text"), row.where)
        if isinstance(source := row.values.get("source"), str):
            builder.add_source(str(utt), source, row.where)
        for rank, each in enumerate(_field(row.values, "hypotheses", list, row.where, "a list"), start=1):
            where = f"{row.where}, hypothesis {rank}"
            if not isinstance(each, dict):
                raise TextError(f"{where}: not an object", 'a hypothesis is {"text": ..., "score": ...}')
            text = _field(each, "text", str, where, "text")
            score = parse_score(str(_field(each, "score", (int, float, str), where, "a number")), where, settings.costs)
            builder.add(str(utt), rank, Hypothesis(text, score, where))
            rescored += "first_pass_score" in each
        if not builder.knows(str(utt)):
            builder.add_empty(str(utt), row.where)
    if rescored:
        notice(f"{builder.source} was rescored before: its scores hold those of language models already")


def _field(values: Mapping[Any, Any], name: str, types: Any, where: str, expected: str) -> Any:
    if values.get(name) is None:
        raise TextError(f"{where}: {name!r} is missing", 'an utterance is {"utt", "ref", "hypotheses": [{"text", "score"}, ...]}')
    if not isinstance(values[name], types) or isinstance(values[name], bool):
        raise TextError(f"{where}: {name!r} is not {expected}", f"it is {shown(values[name])}")
    return values[name]


def _with_lines(utterances: list[Utterance], files: Sequence[str], what: str, option: str, settings: ListSettings) -> list[Utterance]:
    """The utterances with the references, or sources, of these files. what: which; option: what names the files.

    Raises:
        TextError: there are two for an utterance, and they differ.
    """
    found: dict[str, tuple[str | None, str]] = {}
    for file in files:
        for utt, text, where in keyed_lines(file, settings.encoding_errors):
            if utt in found:
                raise TextError(f"{where}: utterance {utt!r} has a {what} already", f"see {found[utt][1]}")
            found[utt] = text, where
    complete = []
    for utterance in utterances:
        known = getattr(utterance, what)
        text, where = found.pop(utterance.utt, (known, ""))
        if known is not None and text not in (known, known.strip(WORD_SPACE)):
            raise TextError(f"{where}: another {what} for {utterance.utt!r}", f"that of {utterance.where} differs", f"leave out {option}")
        complete.append(dataclasses.replace(utterance, **{what: text}))
    if found:
        notice(f"{len(found):,} {what}s are of utterances that are not in the list, the first is {next(iter(found))!r}")
    return complete


def check_names(utterances: Iterable[Utterance | RescoredUtterance]) -> None:
    """Check that the names of utterances can be separated from what follows them in a line of :func:`save_best`.

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
    for name, text in ((SOURCE, utterance.source), (REFERENCE, utterance.reference)):
        if text is not None:
            yield tsv.line([utterance.utt, name, "", " ".join(split_words(text))])
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
    source = {} if utterance.source is None else {"source": utterance.source}
    record = {"utt": utterance.utt, **source, "ref": utterance.reference, "hypotheses": hypotheses}
    yield json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
