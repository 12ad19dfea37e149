"""Scores as rows of a table, and as records with lists in them: the one place that names their
columns.

A row is a dict from column to value, all of a table with the same columns in the same order: a
sentence, or one of its tokens, words or regions (with likely next words: one of those). A sentence
that could not be read has one row, with its reason.
"""

import functools
import itertools
import keyword
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from rnnlm import tabular
from rnnlm.errors import UsageError
from rnnlm.scoring.records import SentenceScore
from rnnlm.scoring.sentences import in_json
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.scoring.word_scores import RegionScore, WordScore

By = Literal["sentence", "token", "word", "region"]
Row = dict[str, Any]

_SENTENCE = ("logprob_nats", "tokens", "words", "oov", "ppl_word", "text")
_TOKEN = ("position", "token", "surprisal_bits", "oov")
_WORD = ("position", "word_index", "word", "start", "end", "surprisal_bits", "oov", "tokens")
_REGION = (
    "text",
    "start",
    "end",
    "words",
    "tokens",
    "oov",
    "surprisal_bits",
    "next_surprisal_bits",
)
_NEXT = ("rank", "next_word", "probability")
MEASURES = {"entropy": "entropy_bits", "frequency": "log10_frequency"}
# By several models: what is about the text, and not about one of them
_SHARED = {
    "sentence": ("text",),
    "token": ("position", "token"),
    "region": ("region_index", "region", "text", "start", "end", "words"),
    "word": ("position", "word_index", "word", "start", "end", "region_index", "region", "rank"),
}
_NUMBERS = ("logprob_nats", "ppl_word", "surprisal_bits", "next_surprisal_bits", "probability")
_TYPES = {
    **dict.fromkeys((*_NUMBERS, *MEASURES.values()), "double"),
    **dict.fromkeys(("text", "token", "word", "region", "next_word", "reason"), "string"),
    "oov": "bool",
}
_NO_IDENTIFIER = re.compile("[^A-Za-z0-9_]")


@dataclass(frozen=True)
class RowLayout:
    """The columns of a table of scores. carried: those of the input; own: the others, between `id`
    and `reason`.

    measures: what is shown of words besides their surprisal. with_next: a row for each of the
    likely next words of a word.
    """

    by: By
    carried: tuple[str, ...]
    own: tuple[str, ...]
    measures: tuple[str, ...] = ()
    with_next: bool = False

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in their order."""
        return ["id", *self.carried, *self.own, "reason"]

    @property
    def types(self) -> dict[str, str | None]:
        """The types of the columns, as :func:`rnnlm.files.tables.save_parquet` takes them."""
        types: dict[str, str | None] = {}
        for name in self.columns:
            if name in self.carried:
                types[name] = None
            elif name == "oov" and self.by == "sentence":
                types[name] = "string"
            elif name == "id":
                types[name] = None
            else:
                types[name] = _TYPES.get(name, "int64")
        return types

    def rows(self, score: SentenceScore) -> Iterator[Row]:
        """Yield the rows of one score; one with empty cells where it has no token, word or
        region."""
        carried = {name: score.columns.get(name) for name in self.carried}
        is_empty = True
        for own in self._own(score):
            yield {"id": score.id, **carried, **own, "reason": score.reason}
            is_empty = False
        if is_empty:
            own = dict.fromkeys(self.own)
            yield {"id": score.id, **carried, **own, "reason": score.reason}

    def _own(self, score: SentenceScore) -> Iterator[Row]:
        if self.by == "sentence":
            yield sentence_cells(score)
        elif self.by == "token":
            for position, token in enumerate(score.token_scores, start=1):
                yield {
                    "position": position,
                    "token": token.token,
                    "surprisal_bits": token.surprisal_bits,
                    "oov": token.is_oov,
                }
        elif self.by == "region":
            for cells in map(region_cells, score.region_scores):
                yield _only(self.own, cells)
        else:
            yield from self._words(score)

    def _words(self, score: SentenceScore) -> Iterator[Row]:
        region_columns = [name for name in ("region_index", "region") if name in self.own]
        for position, word in enumerate(score.word_scores, start=1):
            cells = {"position": position, **word_cells(word, self.measures)}
            if region_columns:
                cells |= _only(region_columns, region_of(word, score.region_scores))
            if not self.with_next:
                yield cells
                continue
            for rank, each in enumerate(score.next_words[position - 1], start=1):
                yield cells | {
                    "rank": rank,
                    "next_word": each.word,
                    "probability": each.probability,
                }


@dataclass(frozen=True)
class SideBySide:
    """Rows and records of sentences that several models have scored. In a table, what is about the
    text appears once, then come the numbers of each model, its name after a dot; for one model
    alone, they are those of `layout`."""

    layout: RowLayout
    models: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in their order."""
        return list(self.types)

    @functools.cached_property
    def types(self) -> dict[str, str | None]:
        """The types of the columns, as :func:`rnnlm.files.tables.save_parquet` takes them.
        UsageError: a column of the input has the name of a model's number."""
        types = self.layout.types
        if len(self.models) == 1:
            return types
        # The columns of all models, one model after the other.
        own = self._of_a_model
        of_models = {}
        for model in self.models:
            of_models.update(_named_after(model, _only(own, types)))
        for name in self.layout.carried:
            if name in of_models:
                raise UsageError(
                    f"the input has a column {name!r}",
                    "the result has a column of that name",
                    "rename it in the input, or leave it out: --keep names the columns that go "
                    "along",
                )
        return {name: types[name] for name in types if name not in own} | of_models

    @functools.cached_property
    def _of_a_model(self) -> list[str]:
        """The columns of each model."""
        shared = _SHARED[self.layout.by]
        return [name for name in self.layout.own if name not in shared] + ["reason"]

    def rows(self, scores: Mapping[str, SentenceScore]) -> Iterator[Row]:
        """Return the rows of a sentence that each of the models has scored."""
        if len(self.models) == 1:
            return self.layout.rows(scores[self.models[0]])
        return self._rows(scores)

    def _rows(self, scores: Mapping[str, SentenceScore]) -> Iterator[Row]:
        by = self.layout.by
        shared = [name for name in self.layout.own if name in _SHARED[by]]
        once = ("id", *self.layout.carried, *shared)

        # Rows of the same place are one: words are told apart by where they are, as a model that
        # removes marks has fewer.
        place_columns = [name for name in shared if name != "position" or by == "token"]
        made: dict[tuple[object, ...], Row] = {}
        for model in self.models:
            for row in self.layout.rows(scores[model]):
                place = tuple(row[name] for name in place_columns)
                if place not in made:
                    made[place] = dict.fromkeys(self.types)
                    made[place].update(_only(once, row))
                made[place].update(_named_after(model, _only(self._of_a_model, row)))
        if by == "word":
            return _in_order(made.values())
        return iter(made.values())

    def record(self, scores: Mapping[str, SentenceScore], settings: ScoringSettings) -> Row:
        """Return a sentence as :func:`record` does; by several models, what is about the text, and
        under `models` the scores by the model's name."""
        if len(self.models) == 1:
            return record(scores[self.models[0]], settings)
        # What is about the text is the same for all models.
        records = {model: record(scores[model], settings) for model in self.models}
        first = records[self.models[0]]
        shared = ("id", *scores[self.models[0]].columns, "text")
        of_model = {}
        for model, each in records.items():
            of_model[model] = {name: each[name] for name in each if name not in shared}
        return _only(shared, first) | {"models": of_model}


@dataclass(frozen=True)
class BelowEachOther:
    """Rows of sentences that several models have scored, in long format: the rows of one model
    below those of another, with its name in the column `model`. All columns have names that are
    identifiers in R and Python."""

    layout: RowLayout
    models: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in their order."""
        return list(self.types)

    @functools.cached_property
    def types(self) -> dict[str, str | None]:
        """The types of the columns, as :func:`rnnlm.files.tables.save_parquet` takes them."""
        types = self.layout.types
        shown_types: dict[str, str | None] = {"model": "string"}
        shown_types.update({shown: types[name] for name, shown in self._shown.items()})
        return shown_types

    @functools.cached_property
    def _shown(self) -> dict[str, str]:
        """The names of the layout's columns with the identifiers that are shown instead."""
        shown: dict[str, str] = {}
        taken = {"model", *self.layout.own, "id", "reason"}
        for name in self.layout.columns:
            its = name
            if name in self.layout.carried:
                # A column of the input may have any name.
                its = _NO_IDENTIFIER.sub("_", name)
                if not its[:1].isalpha() or keyword.iskeyword(its):
                    its = f"input_{its}"
                while its in taken:
                    its += "_"
                taken.add(its)
            shown[name] = its
        return shown

    def rows(self, scores: Mapping[str, SentenceScore]) -> Iterator[Row]:
        """Yield the rows of a sentence that each of the models has scored."""
        for model in self.models:
            for row in self.layout.rows(scores[model]):
                yield {"model": model} | {shown: row[name] for name, shown in self._shown.items()}


def _only(names: Iterable[str], row: Mapping[str, Any]) -> Row:
    return {name: row[name] for name in names}


def _named_after(model: str, row: Row) -> Row:
    return {f"{name}.{model}": value for name, value in row.items()}


def _in_order(words: Iterable[Row]) -> Iterator[Row]:
    """Yield rows of words in the order of the text, numbered: a model that removes marks has fewer
    words, which end elsewhere."""
    ordered = sorted(words, key=_place)
    for position, (_, rows) in enumerate(itertools.groupby(ordered, _place), start=1):
        for row in rows:
            if row["position"] is not None:
                row = row | {"position": position}
            yield row


def _place(word: Row) -> tuple[int, int, int]:
    return word["start"] or 0, word["end"] or 0, word["word_index"] or 0


def layout(
    settings: ScoringSettings, carried: Sequence[str] = (), region_names: bool = False
) -> RowLayout:
    """Return the layout of the scores that `settings` ask for: of tokens, else of words, else of
    regions, else of sentences.

    region_names: whether regions come from columns, which name them.
    """
    region: tuple[str, ...] = ()
    if settings.with_regions:
        region = ("region_index", "region") if region_names else ("region_index",)
    if settings.with_tokens:
        return RowLayout("token", tuple(carried), _TOKEN)
    if settings.with_words or settings.next_words:
        measures = tuple(name for name in MEASURES if name in settings.measures)
        own = [*_WORD, *(MEASURES[name] for name in measures), *region]
        if settings.next_words:
            own.extend(_NEXT)
        return RowLayout("word", tuple(carried), tuple(own), measures, settings.next_words > 0)
    if region:
        return RowLayout("region", tuple(carried), (*region, *_REGION))
    return RowLayout("sentence", tuple(carried), _SENTENCE)


_ASK_FOR = {
    "token": "score with with_tokens=True",
    "word": "score with with_words=True",
    "region": (
        'score_sentences takes regions="|"; a Sentence has its regions, and '
        "ScoringSettings(with_regions=True) asks for them"
    ),
}


def score_rows(
    scores: Sequence[SentenceScore | Mapping[str, SentenceScore]], by: By = "word"
) -> Iterator[Row]:
    """Yield the rows of `scores` as a table has them, for `pandas.DataFrame`: a dict for each
    sentence, token, word or region, whichever `by` says and the scores were asked for
    (`with_words=True` and so on). Columns of the input are those of the first score. In scores by
    model (:func:`rnnlm.score_models`), what is about the text appears once, and a model's numbers
    have its name after a dot.

    Raises:
        UsageError: there is no such table, or a score was not asked for what its rows are of.
    """
    by_model = [dict(score) if isinstance(score, Mapping) else {"": score} for score in scores]
    every = list(itertools.chain.from_iterable(map(dict.values, by_model)))

    # The columns of the rows, and whether all scores have them.
    own: tuple[str, ...]
    if by == "sentence":
        own = _SENTENCE
    elif by == "token":
        own = _TOKEN
    elif by == "region":
        own = ("region_index", "region", *_REGION)
    elif by == "word":
        own = (*_WORD, *MEASURES.values())
        if any(score.region_scores for score in every):
            own = (*own, "region_index", "region")
    else:
        raise UsageError(
            f"there are no rows by {by!r}", hint="choose sentence, token, word or region"
        )
    for score in every:
        if not _has_rows(score, by):
            raise UsageError(f"sentence {score.id} was scored without its {by}s", hint=_ASK_FOR[by])

    models: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    if by_model:
        models = tuple(by_model[0])
        carried = tuple(every[0].columns)
    table = SideBySide(RowLayout(by, carried, own, tuple(MEASURES)), models)
    return itertools.chain.from_iterable(map(table.rows, by_model))


class SentenceScores(tabular.RecordList[SentenceScore]):
    """Scores of sentences, in a list that is a table, too.

    signature: what they were measured on, and how; None where there was nothing to score.
    """

    signature: str | None = None

    def to_rows(self, by: By | None = None) -> list[tabular.Row]:
        """Return a row for each sentence, token, word or region, as :func:`rnnlm.score_rows`.

        by: None: words, regions, tokens, the first of these that all were scored with; else
            sentences.

        Raises:
            UsageError: a sentence was scored without what the rows are of.
        """
        return list(score_rows(self, by or self._usual_rows()))

    def _rows_of(self, table: int | str | None) -> list[tabular.Row]:
        return self.to_rows(None if table is None else cast(By, str(table)))

    def _usual_rows(self) -> By:
        scored = [score for score in self if score.is_read and score.words]
        if scored and all(score.word_scores for score in scored):
            return "word"
        if scored and all(score.region_scores for score in scored):
            return "region"
        if scored and all(score.token_scores for score in scored):
            return "token"
        return "sentence"


def _has_rows(score: SentenceScore, by: By) -> bool:
    """Return whether a score has what rows of that kind are made of, or its sentence has none of
    them."""
    if score.reason or by == "sentence":
        return True
    if by == "region":
        return bool(score.region_scores) or not score.text.strip()
    if by == "token":
        return bool(score.token_scores) or not score.tokens
    return bool(score.word_scores) or not score.words


def record(score: SentenceScore, settings: ScoringSettings) -> Row:
    """Return a score as one object in JSON's types, with lists of what is asked for; the columns
    that the sentence carries are among its keys."""
    # What makes no sense of a sentence that could not be read is null.
    made: Row = {"id": score.id}
    if score.columns:
        made.update(in_json(score.columns))
    made["text"] = score.text
    made["logprob_nats"] = score.logprob_nats
    made["tokens"] = score.tokens if score.is_read else None
    made["words"] = score.words if score.is_read else None
    made["ppl_word"] = score.ppl_word
    made["oov"] = list(score.oov)
    made["reason"] = score.reason

    # The lists that were asked for.
    if settings.with_tokens:
        made["surprisals"] = [
            {"token": t.token, "surprisal_bits": t.surprisal_bits, "oov": t.is_oov}
            for t in score.token_scores
        ]
    if settings.with_words or settings.next_words:
        words = [_word_record(word, score, settings) for word in score.word_scores]
        for word, likely in zip(words, score.next_words, strict=False):
            word["next"] = [{"word": each.word, "probability": each.probability} for each in likely]
        made["word_surprisals"] = words
    if settings.with_regions:
        made["regions"] = list(map(region_cells, score.region_scores))
    return made


def _word_record(word: WordScore, score: SentenceScore, settings: ScoringSettings) -> Row:
    cells = word_cells(word, settings.measures)
    if settings.with_regions:
        cells |= region_of(word, score.region_scores)
    return cells


def sentence_cells(score: SentenceScore) -> Row:
    """Return the cells of a sentence as a whole."""
    tokens, words = (score.tokens, score.words) if score.is_read else (None, None)
    cells = (score.logprob_nats, tokens, words, " ".join(score.oov), score.ppl_word, score.text)
    return dict(zip(_SENTENCE, cells, strict=True))


def word_cells(word: WordScore, measures: Sequence[str] = ()) -> Row:
    """Return the cells of a word, and those that `measures` name."""
    cells: Row = {
        "word_index": word.index,
        "word": word.word,
        "start": word.start,
        "end": word.end,
        "surprisal_bits": word.surprisal_bits,
        "oov": word.is_oov,
        "tokens": word.tokens,
    }
    for name in measures:
        cells[MEASURES[name]] = getattr(word, MEASURES[name])
    return cells


def region_cells(region: RegionScore) -> Row:
    """Return all cells of a region."""
    return {
        "region_index": region.index,
        "region": region.name,
        "text": region.text,
        "start": region.start,
        "end": region.end,
        "words": region.words,
        "tokens": region.tokens,
        "oov": region.is_oov,
        "surprisal_bits": region.surprisal_bits,
        "next_surprisal_bits": region.next_surprisal_bits,
    }


def region_of(word: WordScore, regions: Sequence[RegionScore]) -> Row:
    """Return the region that holds a word; none for `</s>`."""
    at = bisect_right(regions, word.start, key=lambda region: region.start) - 1
    if at >= 0 and word.start < regions[at].end:
        return {"region_index": regions[at].index, "region": regions[at].name}
    return {"region_index": None, "region": None}
