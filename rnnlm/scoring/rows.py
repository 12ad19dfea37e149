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
from typing import Any, Literal

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
_SHARED = {  # by models: what is about the text, and not about one of them
    "sentence": ("text",), "token": ("position", "token"),
    "region": ("region_index", "region", "text", "start", "end", "words"),
    "word": ("position", "word_index", "word", "start", "end", "region_index", "region", "rank"),
}  # fmt: skip
_TYPES = {
    **dict.fromkeys(("logprob_nats", "ppl_word", "surprisal_bits", "next_surprisal_bits",
                     *MEASURES.values(), "probability"), "double"),
    **dict.fromkeys(("text", "token", "word", "region", "next_word", "reason"), "string"),
    "oov": "bool",
}  # fmt: skip


_NO_IDENTIFIER = re.compile("[^A-Za-z0-9_]")


@dataclass(frozen=True)
class RowLayout:
    """The columns of a table of scores. carried: those of the input; own: the others, between `id`
    and `reason`.

    measures: what words have beside their surprisal. with_next: a row for each of the likely next
    words of a word.
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
        types = {name: _TYPES.get(name, "int64") for name in (*self.own, "reason")} | (
            {"oov": "string"} if self.by == "sentence" else {}
        )
        return {
            name: types.get(name) if name not in self.carried else None for name in self.columns
        }

    def rows(self, score: SentenceScore) -> Iterator[Row]:
        """The rows of one score; one with empty cells where it has no token, word or region."""
        before, behind = (
            {"id": score.id, **{name: score.columns.get(name) for name in self.carried}},
            {"reason": score.reason},
        )
        is_empty = True
        for own in self._own(score):
            yield {**before, **own, **behind}
            is_empty = False
        if is_empty:
            yield before | dict.fromkeys(self.own) | behind

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
                yield {name: cells[name] for name in self.own}
        else:
            yield from self._words(score)

    def _words(self, score: SentenceScore) -> Iterator[Row]:
        region_columns = [name for name in ("region_index", "region") if name in self.own]
        for position, word in enumerate(score.word_scores, start=1):
            cells = {"position": position, **word_cells(word, self.measures)}
            if region_columns:
                region = region_of(word, score.region_scores)
                cells |= {name: region[name] for name in region_columns}
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
    text stands once, then come the figures of each model, its name behind a dot; of one model
    alone, they are as `layout` has them."""

    layout: RowLayout
    models: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in their order."""
        return list(self.types)

    @functools.cached_property
    def types(self) -> dict[str, str | None]:
        """The types of the columns, as :func:`rnnlm.files.tables.save_parquet` takes them.

        Raises:
            UsageError: a column of the input has the name of a figure.
        """
        types = self.layout.types
        if len(self.models) == 1:
            return types
        figures = {
            f"{name}.{model}": types[name] for model in self.models for name in self._figures
        }
        if clash := [name for name in self.layout.carried if name in figures]:
            hint = "rename it in the input, or leave it out: --keep names the columns that go along"
            raise UsageError(
                f"the input has a column {clash[0]!r}",
                "it is the name of a figure in the result",
                hint,
            )
        return {name: types[name] for name in types if name not in self._figures} | figures

    @functools.cached_property
    def _figures(self) -> list[str]:
        """The columns of each model."""
        return [
            *(name for name in self.layout.own if name not in _SHARED[self.layout.by]),
            "reason",
        ]

    def rows(self, scores: Mapping[str, SentenceScore]) -> Iterator[Row]:
        """The rows of a sentence that each of the models has scored."""
        return (
            self.layout.rows(scores[self.models[0]])
            if len(self.models) == 1
            else self._rows(scores)
        )

    def _rows(self, scores: Mapping[str, SentenceScore]) -> Iterator[Row]:
        shared = [name for name in self.layout.own if name in _SHARED[self.layout.by]]
        made: dict[tuple[object, ...], Row] = {}
        for model in self.models:
            for row in self.layout.rows(scores[model]):
                place = tuple(
                    row[name] for name in shared if name != "position" or self.layout.by == "token"
                )
                if place not in made:
                    made[place] = dict.fromkeys(self.types) | {
                        name: row[name] for name in ("id", *self.layout.carried, *shared)
                    }
                made[place] |= {f"{name}.{model}": row[name] for name in self._figures}
        return _in_order(made.values()) if self.layout.by == "word" else iter(made.values())

    def record(self, scores: Mapping[str, SentenceScore], settings: ScoringSettings) -> Row:
        """A sentence as :func:`record`; by several models, what is about the text, and under
        `models` the scores by the model's name."""
        if len(self.models) == 1:
            return record(scores[self.models[0]], settings)
        records = {model: record(scores[model], settings) for model in self.models}
        first = records[self.models[0]]
        shared = ("id", *scores[self.models[0]].columns, "text")
        of_model = {
            model: {name: value for name, value in each.items() if name not in shared}
            for model, each in records.items()
        }
        return {name: first[name] for name in shared} | {"models": of_model}


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
        return {"model": "string"} | {shown: types[name] for name, shown in self._shown.items()}

    @functools.cached_property
    def _shown(self) -> dict[str, str]:
        """The names of the layout's columns with the identifiers that stand for them."""
        shown: dict[str, str] = {}
        taken = {"model", *self.layout.own, "id", "reason"}
        for name in self.layout.columns:
            its = name
            if name in self.layout.carried:
                its = _NO_IDENTIFIER.sub("_", name)
                if not its[:1].isalpha() or keyword.iskeyword(its):
                    its = f"input_{its}"
                while its in taken:
                    its += "_"
                taken.add(its)
            shown[name] = its
        return shown

    def rows(self, scores: Mapping[str, SentenceScore]) -> Iterator[Row]:
        """The rows of a sentence that each of the models has scored."""
        for model in self.models:
            for row in self.layout.rows(scores[model]):
                yield {"model": model} | {shown: row[name] for name, shown in self._shown.items()}


def _in_order(words: Iterable[Row]) -> Iterator[Row]:
    """Rows of words in the order of the text, numbered: a model that removes marks has fewer words,
    which end elsewhere."""
    ordered = sorted(words, key=_place)
    for position, (_, its) in enumerate(itertools.groupby(ordered, _place), start=1):
        yield from (row if row["position"] is None else row | {"position": position} for row in its)


def _place(word: Row) -> tuple[int, int, int]:
    return word["start"] or 0, word["end"] or 0, word["word_index"] or 0


def layout(
    settings: ScoringSettings, carried: Sequence[str] = (), region_names: bool = False
) -> RowLayout:
    """The layout of the scores that `settings` ask for: of tokens, else of words, else of regions,
    else of sentences.

    region_names: whether regions come from columns, which name them.
    """
    region = (
        ("region_index", *(["region"] if region_names else [])) if settings.with_regions else ()
    )
    if settings.with_tokens:
        return RowLayout("token", tuple(carried), _TOKEN)
    if settings.with_words or settings.next_words:
        measures = tuple(name for name in MEASURES if name in settings.measures)
        own = (
            *_WORD,
            *(MEASURES[name] for name in measures),
            *region,
            *(_NEXT if settings.next_words else ()),
        )
        return RowLayout("word", tuple(carried), own, measures, settings.next_words > 0)
    return (
        RowLayout("region", tuple(carried), (*region, *_REGION))
        if region
        else RowLayout("sentence", tuple(carried), _SENTENCE)
    )


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
    """The rows of `scores` as a table has them, for `pandas.DataFrame`: a dict for each sentence,
    token, word or region, whichever `by` says and the scores were asked for (`with_words=True` and
    so on). Columns of the input are those of the first score. Of scores by model
    (:func:`rnnlm.score_models`), what is about the text stands once, and a model's figures have its
    name behind a dot.

    Raises:
        UsageError: there is no such table, or a score was not asked for what its rows are of.
    """
    own = {
        "sentence": _SENTENCE,
        "token": _TOKEN,
        "region": ("region_index", "region", *_REGION),
    }.get(by, ())
    each = [dict(score) if isinstance(score, Mapping) else {"": score} for score in scores]
    if by == "word":
        region = (
            ("region_index", "region")
            if any(score.region_scores for its in each for score in its.values())
            else ()
        )
        own = (*_WORD, *MEASURES.values(), *region)
    if not own:
        raise UsageError(
            f"there are no rows by {by!r}", hint="choose sentence, token, word or region"
        )
    if lacking := [score for its in each for score in its.values() if not _has_rows(score, by)]:
        raise UsageError(
            f"sentence {lacking[0].id} was scored without its {by}s", hint=_ASK_FOR[by]
        )
    carried = tuple(next(iter(each[0].values())).columns) if each else ()
    table = SideBySide(RowLayout(by, carried, own, tuple(MEASURES)), tuple(each[0]) if each else ())
    return itertools.chain.from_iterable(map(table.rows, each))


def _has_rows(score: SentenceScore, by: By) -> bool:
    """Whether a score has what rows of that kind are made of, or its sentence has none of them."""
    if score.reason or by == "sentence":
        return True
    if by == "region":
        return bool(score.region_scores) or not score.text.strip()
    return (
        bool(score.token_scores) or not score.tokens
        if by == "token"
        else bool(score.word_scores) or not score.words
    )


def record(score: SentenceScore, settings: ScoringSettings) -> Row:
    """A score as one object in JSON's types, with lists of what is asked for; the columns that the
    sentence carries are among its keys."""
    is_read = score.is_read
    made: Row = {
        "id": score.id, **(score.columns and in_json(score.columns)), "text": score.text,
        "logprob_nats": score.logprob_nats,
        "tokens": score.tokens if is_read else None, "words": score.words if is_read else None,
        "ppl_word": score.ppl_word,
        "oov": list(score.oov), "reason": score.reason,
    }  # fmt: skip
    if settings.with_tokens:
        made["surprisals"] = [
            {"token": t.token, "surprisal_bits": t.surprisal_bits, "oov": t.is_oov}
            for t in score.token_scores
        ]
    if settings.with_words or settings.next_words:
        made["word_surprisals"] = [
            _word_record(word, score, settings) for word in score.word_scores
        ]
        for word, its in zip(made["word_surprisals"], score.next_words, strict=False):
            word["next"] = [{"word": each.word, "probability": each.probability} for each in its]
    if settings.with_regions:
        made["regions"] = [region_cells(region) for region in score.region_scores]
    return made


def _word_record(word: WordScore, score: SentenceScore, settings: ScoringSettings) -> Row:
    cells = word_cells(word, settings.measures)
    return cells | region_of(word, score.region_scores) if settings.with_regions else cells


def sentence_cells(score: SentenceScore) -> Row:
    """The figures of a sentence as a whole."""
    tokens, words = (score.tokens, score.words) if score.is_read else (None, None)
    figures = (score.logprob_nats, tokens, words, " ".join(score.oov), score.ppl_word, score.text)
    return dict(zip(_SENTENCE, figures, strict=True))


def word_cells(word: WordScore, measures: Sequence[str] = ()) -> Row:
    """The figures of a word, and what `measures` name."""
    cells: Row = {
        "word_index": word.index, "word": word.word, "start": word.start, "end": word.end,
        "surprisal_bits": word.surprisal_bits,
        "oov": word.is_oov, "tokens": word.tokens,
    }  # fmt: skip
    for name in measures:
        cells[MEASURES[name]] = getattr(word, MEASURES[name])
    return cells


def region_cells(region: RegionScore) -> Row:
    """All figures of a region."""
    return {
        "region_index": region.index, "region": region.name, "text": region.text,
        "start": region.start, "end": region.end,
        "words": region.words, "tokens": region.tokens, "oov": region.is_oov,
        "surprisal_bits": region.surprisal_bits,
        "next_surprisal_bits": region.next_surprisal_bits,
    }  # fmt: skip


def region_of(word: WordScore, regions: Sequence[RegionScore]) -> Row:
    """The region that a word stands in; none for `</s>`."""
    at = bisect_right(regions, word.start, key=lambda region: region.start) - 1
    its = regions[at] if at >= 0 and word.start < regions[at].end else None
    return {"region_index": its and its.index, "region": its and its.name}
