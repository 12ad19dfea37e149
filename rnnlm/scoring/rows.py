"""Turn scores into rows of a table, and into records with lists in them: the one place that names
their columns.

A row is a dict from column to value, all of a table with the same columns in the same order: a
sentence, or one of its tokens, words or regions. A sentence that could not be read has one row,
with its reason.
"""

import functools
import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from rnnlm import tabular
from rnnlm.errors import UsageError, keyword
from rnnlm.scoring.sentence_scores import ChunkScores, SentenceScore, TokenScore, by_sentence
from rnnlm.scoring.settings import TOKEN_MEASURES, ScoringSettings
from rnnlm.scoring.word_scores import RegionScore, WordScore
from rnnlm.storage.files.tables import in_json

By = Literal["sentence", "token", "word", "region"]
Record = dict[str, Any]

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
MEASURES = {"entropy": "entropy_bits", "frequency": "log10_frequency", "rank": "rank",
            "order": "order"}  # fmt: skip
# Columns of the word before have this in front of their names, those of the word before that the
# second: a reader feels a hard word one or two words later.
LAGS = ("previous_", "previous2_")
LAGGED = ("surprisal_bits", "word_length", "log10_frequency", "oov")
LAG_COLUMNS = ("word_length", *(lag + name for lag in LAGS for name in LAGGED))
_NUMBERS = ("logprob_nats", "ppl_word", "surprisal_bits", "next_surprisal_bits", "probability",
            "entropy_bits", "log10_frequency")  # fmt: skip
_TYPES = {
    **dict.fromkeys(_NUMBERS, "double"),
    **dict.fromkeys(("model", "text", "token", "word", "next", "region", "reason"), "string"),
    "oov": "bool",
    **dict.fromkeys((lag + "oov" for lag in LAGS), "bool"),
    **{lag + name: "double" for lag in LAGS for name in ("surprisal_bits", "log10_frequency")},
}


@dataclass(frozen=True)
class RowLayout:
    """The columns of a table of scores."""

    by: By
    carried: tuple[str, ...]  # columns of the input
    own: tuple[str, ...]  # the others, between `id` and `reason`
    measures: tuple[str, ...] = ()  # of words, besides their surprisal
    with_probability: bool = False  # sentences, tokens and words have a column `probability`
    with_model: bool = False  # a column `model` comes first, as several models have rows

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in their order."""
        model = ["model"] if self.with_model else []
        return [*model, "id", *self.carried, *self.own, "reason"]

    @property
    def types(self) -> dict[str, str | None]:
        """The types of the columns, as :func:`rnnlm.storage.files.tables.save_parquet` takes
        them."""
        types = {name: _TYPES.get(name, "int64") for name in self.columns}
        if self.by == "sentence":
            types["oov"] = "string"
        return types | dict.fromkeys(("id", *self.carried))

    def table(self, scores: Mapping[str, ChunkScores]) -> dict[str, list[Any]]:
        """Return the rows of some sentences, by the models that have scored them, as columns."""
        if self.by == "sentence":
            cells = self.sentences(scores)
            cells["oov"] = [" ".join(words) for words in cells["oov"]]
            return {name: cells[name] for name in self.columns}
        rows = list(itertools.chain.from_iterable(map(self.rows, by_sentence(scores))))
        return {name: [row[name] for row in rows] for name in self.columns}

    def sentences(self, scores: Mapping[str, ChunkScores]) -> dict[str, list[Any]]:
        """Return the columns of sentences as a whole in the order of :func:`record`, which would
        take longer; those of several models take turns."""
        tables = [self._sentences(model, of_model) for model, of_model in scores.items()]
        if len(tables) == 1:
            return tables[0]
        columns = {name: [table[name] for table in tables] for name in tables[0]}
        return {
            name: list(itertools.chain.from_iterable(zip(*of_models, strict=True)))
            for name, of_models in columns.items()
        }

    def _sentences(self, model: str, scores: ChunkScores) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {"model": [model] * len(scores)} if self.with_model else {}
        columns["id"] = [sentence.id for sentence in scores.sentences]
        for name in self.carried:
            columns[name] = [sentence.columns.get(name) for sentence in scores.sentences]
        columns["text"] = [sentence.text for sentence in scores.sentences]
        totals = scores.totals
        columns["logprob_nats"] = totals["logprob_nats"]
        if self.with_probability:
            # Zero where a token has that probability, none where the sentence could not be read.
            columns["probability"] = [
                math.exp(logprob) if logprob is not None else 0.0 if tokens else None
                for logprob, tokens in zip(totals["logprob_nats"], totals["tokens"], strict=True)
            ]
        columns |= {name: totals[name] for name in ("tokens", "words", "ppl_word")}
        columns["oov"] = [words or () for words in totals["oov"]]
        columns["reason"] = totals["reason"]
        return columns

    def rows(self, scores: Mapping[str, SentenceScore]) -> Iterator[Record]:
        """Yield the rows of a sentence by each of the models that have scored it."""
        for model, score in scores.items():
            for row in self._rows(score):
                yield {"model": model} | row if self.with_model else row

    def _rows(self, score: SentenceScore) -> Iterator[Record]:
        """Yield the rows of one score; one with empty cells where it has no token, word or
        region."""
        if score.by_word and self.by == "word":
            yield from self._rows_of_words(score)
            return
        columns = score.shared_columns
        carried = {name: columns.get(name) for name in self.carried}
        for cells in list(self._own(score)) or [dict.fromkeys(self.own)]:
            yield {"id": score.id, **carried, **cells, "reason": score.reason}

    def _rows_of_words(self, score: SentenceScore) -> Iterator[Record]:
        """Yield a row for each row of a table with a row a word; the end of the sentence has
        none."""
        cells_at = {cells["start"]: cells for cells in self._words(score)}
        words = score.text.split(" ")
        rows = len(next(iter(score.columns.values()), words))
        if len(cells_at) > len(words) + 1 or len(words) != rows:
            raise UsageError(
                f"the words of sentence {score.id} are not the rows of its table",
                f"{len(words)} words, {rows} rows",
                "leave " + keyword("split") + " and " + keyword("special_symbols") + " out",
            )
        start = 0
        for place, word in enumerate(words):
            carried = {name: score.columns[name][place] for name in self.carried}
            cells = cells_at.get(start, dict.fromkeys(self.own)) | {"word": word}
            why = None if start in cells_at else "the model reads it as one word with another row"
            if not score.kept or score.kept[place]:
                yield {"id": score.id, **carried, **cells, "reason": score.reason or why}
            start += len(word) + 1

    def _own(self, score: SentenceScore) -> Iterator[Record]:
        if self.by == "sentence":
            yield _only(self.own, sentence_cells(score))
        elif self.by == "token":
            for position, token in enumerate(score.token_scores, start=1):
                cells = {
                    "position": position,
                    "token": token.token,
                    "surprisal_bits": token.surprisal_bits,
                    "probability": token.probability,
                    "oov": token.is_oov,
                    **measures_of(token, TOKEN_MEASURES),
                }
                yield _only(self.own, cells)
        elif self.by == "region":
            for cells in map(region_cells, score.region_scores):
                yield _only(self.own, cells)
        else:
            yield from self._words(score)

    def _words(self, score: SentenceScore) -> Iterator[Record]:
        region_columns = [name for name in ("region_index", "region") if name in self.own]
        of_words = word_cells(score.word_scores, self.measures)
        for position, (word, of_word) in enumerate(
            zip(score.word_scores, of_words, strict=True), start=1
        ):
            cells = {"position": position, **of_word, "probability": word.probability}
            likely = score.next_words[position - 1] if score.next_words else ()
            cells["next"] = " ".join(next_word.word for next_word in likely)
            if region_columns:
                cells |= _only(region_columns, region_of(word, score.region_scores))
            yield _only(self.own, cells)


def _only(names: Iterable[str], row: Mapping[str, Any]) -> Record:
    return {name: row[name] for name in names}


def layout(
    settings: ScoringSettings,
    carried: Sequence[str] = (),
    region_names: bool = False,
    several_models: bool = False,
    probabilities: bool = False,
) -> RowLayout:
    """Return the layout of the scores that `settings` ask for: of tokens, else of words, else of
    regions, else of sentences. With `region_names`, regions come from columns, which name them."""
    made = functools.partial(
        RowLayout, carried=tuple(carried), with_probability=probabilities, with_model=several_models
    )
    probability = ("probability",) if probabilities else ()
    region: tuple[str, ...] = ()
    if settings.with_regions:
        region = ("region_index", "region") if region_names else ("region_index",)

    # The smallest units that are asked for have the rows.
    if settings.tokens:
        measures = measured_of_tokens(settings.measures)
        return made("token", own=(*_TOKEN, *probability, *measures))
    if settings.words:
        following = ("next",) if settings.next_words else ()
        columns = (*_WORD, *probability, *measured_columns(settings.measures), *following, *region)
        return made("word", own=columns, measures=settings.measures)
    if region:
        return made("region", own=(*region, *_REGION))
    return made("sentence", own=(*_SENTENCE, *probability))


def measured_of_tokens(measures: Sequence[str]) -> list[str]:
    """Return the columns of tokens that `measures` ask for, in their order."""
    return [name for name in TOKEN_MEASURES if name in measures]


def measures_of(token: TokenScore, measures: Sequence[str]) -> Record:
    """Return the cells of a token that `measures` ask for."""
    return {name: getattr(token, name) for name in measured_of_tokens(measures)}


def measured_columns(measures: Sequence[str]) -> list[str]:
    """Return the columns of words that `measures` ask for, in their order."""
    columns = [column for name, column in MEASURES.items() if name in measures]
    return [*columns, *LAG_COLUMNS] if "lags" in measures else columns


_ASK_FOR = {
    "token": "score with tokens=True",
    "word": "score with words=True",
    "region": 'score with regions="|", or sentences that have regions',
}


class SentenceScores(tabular.RecordList[SentenceScore]):
    """Scores of sentences, in a list that is also a table.

    Attributes:
        signature: How the scores were measured, and on which data; None if there was nothing to
            score.
        measures: What was measured besides surprisals: rows have columns of it.
    """

    signature: str | None = None
    measures: tuple[str, ...] = ()

    def to_rows(self, by: By | None = None) -> list[tabular.Row]:
        """Return one row per sentence, token, word or region, with the columns of the first
        sentence's table.

        Args:
            by: "sentence", "token", "word" or "region". None: the first of words, regions, tokens
                that all sentences were scored with; else sentences.

        Raises:
            UsageError: There is no such table, or a sentence was scored without these details.
        """
        by = by or self._usual_rows()
        columns = self._columns_by(by)
        for score in self:
            if not _has_rows(score, by):
                message = f"sentence {score.id} was scored without its {by}s"
                raise UsageError(message, hint=_ASK_FOR[by])
        carried = tuple(self[0].columns) if self else ()
        table = RowLayout(by, carried, columns, self._measures)
        return [row for score in self for row in table.rows({"": score})]

    @property
    def _measures(self) -> tuple[str, ...]:
        return ("entropy", "frequency", *self.measures)

    def _columns_by(self, by: By) -> tuple[str, ...]:
        """Return the columns of rows of a kind, besides those that the sentences carry."""
        if by == "sentence":
            return _SENTENCE
        if by == "token":
            return (*_TOKEN, *measured_of_tokens(self.measures))
        if by == "region":
            return ("region_index", "region", *_REGION)
        if by != "word":
            raise UsageError(
                f"there are no rows by {by!r}", hint="choose sentence, token, word or region"
            )

        # Columns of words that not every result has.
        columns = (*_WORD, *measured_columns(self._measures))
        if any(score.next_words for score in self):
            columns = (*columns, "next")
        if any(score.region_scores for score in self):
            columns = (*columns, "region_index", "region")
        return columns

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
    """Return whether a score has the parts that rows of that kind are made of, or its sentence has
    none of them."""
    if score.reason or by == "sentence":
        return True
    if by == "region":
        return bool(score.region_scores) or not score.text.strip()
    if by == "token":
        return bool(score.token_scores) or not score.tokens
    return bool(score.word_scores) or not score.words


def record(score: SentenceScore, settings: ScoringSettings, probabilities: bool = False) -> Record:
    """Return a score as one object in JSON types, with the requested lists; the columns that the
    sentence carries are among its keys."""
    # Fields that make no sense for a sentence that could not be read are null.
    is_read = score.is_read
    made: Record = {
        "id": score.id,
        **(in_json(score.columns) if score.columns else {}),
        "text": score.text,
        "logprob_nats": score.logprob_nats,
        **_probability(score, probabilities),
        "tokens": score.tokens if is_read else None,
        "words": score.words if is_read else None,
        "ppl_word": score.ppl_word,
        "oov": list(score.oov),
        "reason": score.reason,
    }

    # The lists that were asked for.
    if settings.tokens:
        made["surprisals"] = [
            {
                "token": token.token,
                "surprisal_bits": token.surprisal_bits,
                "oov": token.is_oov,
                **measures_of(token, settings.measures),
                **_probability(token, probabilities),
            }
            for token in score.token_scores
        ]
    if settings.words:
        words = word_cells(score.word_scores, settings.measures)
        for word, cells in zip(score.word_scores, words, strict=True):
            if settings.with_regions:
                cells |= region_of(word, score.region_scores)
            cells |= _probability(word, probabilities)
        for cells, likely in zip(words, score.next_words, strict=False):
            cells["next"] = [
                {"word": next_word.word, "probability": next_word.probability}
                for next_word in likely
            ]
        made["word_surprisals"] = words
    if settings.with_regions:
        made["regions"] = list(map(region_cells, score.region_scores))
    return made


def _probability(scored: SentenceScore | TokenScore | WordScore, is_wanted: bool) -> Record:
    return {"probability": scored.probability} if is_wanted else {}


def sentence_cells(score: SentenceScore) -> Record:
    """Return the cells of a sentence as a whole."""
    tokens, words = (score.tokens, score.words) if score.is_read else (None, None)
    cells = (score.logprob_nats, tokens, words, " ".join(score.oov), score.ppl_word, score.text)
    return {**dict(zip(_SENTENCE, cells, strict=True)), "probability": score.probability}


def word_cells(words: Sequence[WordScore], measures: Sequence[str]) -> list[Record]:
    """Return the cells of each word of a sentence, and those that `measures` name."""
    rows = []
    for word in words:
        cells = {
            "word_index": word.index,
            "word": word.word,
            "start": word.start,
            "end": word.end,
            "surprisal_bits": word.surprisal_bits,
            "oov": word.is_oov,
            "tokens": word.tokens,
        }
        for name, column in MEASURES.items():
            if name in measures:
                cells[column] = getattr(word, column)
        rows.append(cells)
    if "lags" not in measures:
        return rows

    # The words before the first one are not there.
    for word, cells in zip(words, rows, strict=True):
        cells["word_length"] = word.word_length
    nothing: Record = {}
    for distance, lag in enumerate(LAGS, start=1):
        earlier = [nothing] * distance + rows
        for cells, before in zip(rows, earlier, strict=False):
            cells |= {lag + name: before.get(name) for name in LAGGED}
    return rows


def region_cells(region: RegionScore) -> Record:
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


def region_of(word: WordScore, regions: Sequence[RegionScore]) -> Record:
    """Return the region that holds a word; none for `</s>`."""
    at = bisect_right(regions, word.start, key=lambda region: region.start) - 1
    if at >= 0 and word.start < regions[at].end:
        return {"region_index": regions[at].index, "region": regions[at].name}
    return {"region_index": None, "region": None}
