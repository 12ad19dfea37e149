"""From a table of reading times and models to what their surprisals explain: words are scored,
rows joined and excluded, regressions compared."""

import hashlib
import itertools
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from rnnlm.amounts import plural
from rnnlm.choices import said
from rnnlm.config import Choice
from rnnlm.errors import (
    RnnlmWarning,
    TextError,
    UsageError,
    did_you_mean,
    first_of,
    keyword,
    notice,
)
from rnnlm.evaluation import plotting
from rnnlm.evaluation.perplexity import VERSION
from rnnlm.evaluation.resampling import PERMUTATIONS
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.loading import SHIPPED, ScoringModel, distinct_names, scoring_model_of
from rnnlm.scoring.frequencies import (
    WrittenFrequencies,
    bare,
    counts_words,
    frequencies_from,
    shares_of_tokenizer,
)
from rnnlm.scoring.rows import LAG_COLUMNS, LAGS, word_cells
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.scoring.several_models import score_chunks_of_models
from rnnlm.storage.files import tables
from rnnlm.storage.files.outputs import check_file, save_file
from rnnlm.storage.files.workbooks import is_workbook, save_workbook
from rnnlm.tabular import RecordList, Records, Result, Row, Table, to_builtins
from rnnlm.text.lines import Progress, silent
from rnnlm.text.named_columns import new_names
from rnnlm.tools.reading.gains import (
    Coefficient,
    Gain,
    GainDifference,
    coefficient_intervals,
    difference_of,
    gain_of,
    held_out_logliks,
    in_words,
    reading_figure,
)
from rnnlm.tools.reading.regression import ItemSums, independent
from rnnlm.tools.reading.settings import REASONS, ReadingSettings
from rnnlm.tools.reading.table import Times, name_in, read_times

LEAST_OF_CONDITION = 50  # rows of a condition whose mean time is compared with the others'
USUAL_RATIO = 0.75, 1.33  # of the mean time of a condition and that of the others
MOST_UNKNOWN = 5  # words that a notice names
FEW_ITEMS = 20  # below this many items, sentences are held out, and intervals are doubted
SURPRISALS = ("surprisal_bits", *(lag + "surprisal_bits" for lag in LAGS))
# The position of the word before is the word's own less one, which adds nothing.
BASELINE = (
    "word_length",
    "log10_frequency",
    "position",
    *(lag + name for lag in LAGS for name in ("word_length", "log10_frequency")),
)
OF_WORDS = ("position", "surprisal_bits", "oov", "word_length", "log10_frequency", *LAG_COLUMNS)
Scored = Mapping[str, Mapping[str, np.ndarray]]  # by model and name, of words
Frame = dict[str | tuple[str, str], np.ndarray]  # by name, or by model and name, of rows


@dataclass(frozen=True)
class UsedRows:
    """The N rows that are analysed: words as subjects read them, or the means of words.

    values: their predictors, surprisals and "response". place_N: the word of each. subject_N and
    group_N: numbers of its subject and of its item. subjects: number of subjects that read them.
    items_are: "item" or "sentence".
    """

    values: Frame
    place_N: np.ndarray
    subject_N: np.ndarray
    group_N: np.ndarray
    subjects: int
    items_are: str


@dataclass(frozen=True)
class Added:
    """What the surprisals of a model add. gain_G: the gain of each item, in nats."""

    gain: Gain
    gain_G: np.ndarray
    coefficients: list[Coefficient]


@dataclass(frozen=True)
class ReadingAnalysis(Records, Result):
    """What the surprisals of models explain of reading times. `to_pandas("coefficients")` and
    `"differences"`, `"regions"` and `"words"` are further tables.

    Attributes:
        source: The table of times.
        columns: Its columns, by what they hold.
        rows_read: Number of its rows.
        rows: Number of rows that were analysed, after exclusion and `average`.
        excluded: Number of rows that were left out, by reason; each counts once.
        subjects: Number of subjects.
        items: Number of items, which are held out and drawn.
        items_are: "item" or "sentence".
        response: "rt" or "log".
        baseline: Predictors without surprisal.
        gains: What each model adds.
        differences: Differences between the gains of two models.
        coefficients: Of the regressions with surprisal.
        regions: Mean time and surprisal by region and condition.
        signature: All that the numbers depend on.
        r_line: The same regression with random effects, for lme4 in R.
        words: The table that :meth:`save` writes, by column.
    """

    source: str
    columns: Mapping[str, str]
    rows_read: int
    rows: int
    excluded: Mapping[str, int]
    subjects: int
    items: int
    items_are: str
    response: str
    baseline: Sequence[str]
    gains: RecordList[Gain]
    differences: RecordList[GainDifference]
    coefficients: RecordList[Coefficient]
    regions: Sequence[Row]
    signature: str
    r_line: str
    words: Mapping[str, Sequence[Any]]

    def to_rows(self, table: str | None = None) -> list[Row]:
        """Return one row for each model, or those of another table.

        Args:
            table: "gains", "coefficients", "differences", "regions" or "words". None: gains.

        Raises:
            UsageError: There is no such table.
        """
        if table == "words":
            values = zip(*self.words.values(), strict=True)
            return [dict(zip(self.words, row, strict=True)) for row in values]
        if table not in (None, "gains", "coefficients", "differences", "regions"):
            raise UsageError(
                f"there is no table {table!r}",
                hint="choose gains, coefficients, differences, regions or words",
            )
        return [_flat(row) for row in to_builtins(getattr(self, table or "gains"))]

    def _rows_of(self, table: int | str | None) -> list[Row]:
        return self.to_rows(None if table is None else str(table))

    def to_dict(self) -> dict[str, Any]:
        """Return all results in JSON's types, without the rows of words."""
        shown: dict[str, Any] = to_builtins(replace(self, words={}))
        shown.pop("words")
        return shown

    def plot(self) -> "plotting.Figure":
        """Return the figures: gain over perplexity, coefficients by lag, and time and surprisal by
        region and condition."""
        region = "region" if "region" in self.columns else "word of the sentence"
        return reading_figure(self.gains, self.coefficients, self.regions, self._unit, region)

    @property
    def _unit(self) -> str:
        return "ms" if self.response == "rt" else "log ms"

    def coefficient_table(self) -> Table:
        """Return the coefficients as a table for people."""
        records = [
            {
                "model": found.model,
                "predictor": found.predictor,
                f"{self._unit} per unit": f"{found.coefficient.estimate:+.4g}",
                "95 % interval": in_words(found.coefficient),
            }
            for found in self.coefficients
        ]
        return Table.of_records(records, left=["model", "predictor"])

    def to_latex(self) -> str:
        """Write the coefficients for a paper.

        Returns:
            A `tabular` environment for the package booktabs.
        """
        return self.coefficient_table().to_latex()

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the rows of all models with their predictors, and why some are excluded, as CSV, or
        as TSV or a workbook of Excel if the name ends in .tsv or .xlsx.

        Args:
            path: File to write.
            overwrite: Replace the file.

        Raises:
            OutputError: The file exists already, or cannot be written.
        """
        path = Path(path)
        check_file(path, overwrite)
        rows = itertools.chain([self.words], zip(*self.words.values(), strict=True))
        if is_workbook(path):
            save_workbook(path, rows)
            return
        is_tsv = tables.kind_of(str(path)) == tables.TSV
        line = tables.tsv_line if is_tsv else tables.csv_line
        save_file(path, (line(row).encode() for row in rows))


def _flat(result: Mapping[str, Any]) -> Row:
    """Return a result with its interval as three columns."""
    row: Row = {}
    for name, value in result.items():
        if isinstance(value, dict):
            row |= {name: value["estimate"], "low": value["low"], "high": value["high"]}
        else:
            row[name] = value
    return row


def reading(
    table: Any,
    models: ScoringModel | Sequence[ScoringModel] = SHIPPED,
    *,
    progress: Progress = silent,
    **settings: Any,
) -> ReadingAnalysis:
    """Measure what the surprisals of models add to a regression of reading times.

    Args:
        table: File with a row for each word and subject, a data frame or rows as dicts;
            "simulated" is a bundled table of made-up times.
        models: One or more models, loaded or by name.
        progress: Function that is called with how far the work is.
        **settings: Settings of the command `rnnlm reading`, such as `response="log"`,
            `time_column="RT"` or `exclude=("first", "unknown")`.

    Returns:
        Gains, coefficients, their tables and figures.

    Raises:
        TextError: The table cannot be read, or no row is left.
        UsageError: A setting contradicts the table or another one.
        ModelError: There is no such model.
    """
    is_several = isinstance(models, Sequence) and not isinstance(models, str)
    listed = cast("Sequence[ScoringModel]", models if is_several else [models])
    called = dict(zip(distinct_names(listed), map(scoring_model_of, listed), strict=True))
    return analyse(called, table, ReadingSettings(**settings), progress)


def analyse(
    models: Mapping[str, LanguageModel],
    table: Any,
    settings: ReadingSettings,
    report: Progress = silent,
) -> ReadingAnalysis:
    """Analyse a table with these models, and those of `settings.orders`."""
    if not models and settings.orders is None:
        raise UsageError("there are no models", hint="give one, or " + keyword("orders"))
    names = BASELINE
    if settings.baseline is not None:
        names = tuple(name.strip() for name in settings.baseline.split("+"))
    times = read_times(table, settings)
    _check_predictors(names, times)
    models = {**models, **_models_of_orders(settings)}
    frequencies, source = _frequencies(models, names, settings)
    if frequencies.log10:
        counted = hashlib.sha256(repr(sorted(frequencies.log10.items())).encode())
        source = f"{source},{counted.hexdigest()[:12]}"
    scored, fingerprints = _scored(models, times, frequencies, report)

    # The rows with all predictors, why some are left out, and the others.
    frame = _frame(times, scored, names)
    reasons = _reasons(times, frame, scored, settings)
    is_used_R = reasons == ""
    excluded = _excluded(times, reasons)
    _tell_of_unknown(times, scored)
    _tell_of_conditions(times, is_used_R)
    regions = _regions(times, frame, is_used_R, list(models))
    rows = _used_rows(times, frame, is_used_R, settings, excluded)

    # A regression with each model's surprisals, on the same rows and folds.
    fold_G = _dealt(rows, settings)
    added = {}
    for model in models:
        report(f"{model}: {len(rows.group_N):,} rows")
        added[model] = _added(model, rows, names, fold_G, _perplexity(model, scored), settings)

    # The gains of each two models, paired by item.
    count_G = np.bincount(rows.group_N).astype(float)
    trials = (settings.resamples or PERMUTATIONS, settings.seed)
    differences = RecordList(
        difference_of(pair, (added[pair[0]].gain_G, added[pair[1]].gain_G), count_G, *trials)
        for pair in itertools.combinations(models, 2)
    )

    # The table for other programs has the rows of all subjects, or the means of words.
    row_N, kept = np.arange(len(times.time_R)), times.cells_of
    if settings.average:
        row_N = np.flatnonzero(is_used_R)
        row_N = row_N[np.unique(times.place_R[row_N], return_index=True)[1]]
        frame = rows.values
        if settings.response == "log":  # the mean that is explained, not the logarithm of a mean
            frame["time"] = np.exp(frame["response"])
        kept = _same_by_word(times, is_used_R, row_N)
        reasons = reasons[row_N]
    words = _words(times, list(models), names, frame, row_N, kept, reasons, settings.average)
    return ReadingAnalysis(
        source=times.source,
        columns=times.columns,
        rows_read=len(times.time_R),
        rows=len(rows.group_N),
        excluded=excluded,
        subjects=rows.subjects,
        items=len(fold_G),
        items_are=rows.items_are,
        response=settings.response,
        baseline=names,
        gains=RecordList(each.gain for each in added.values()),
        differences=differences,
        coefficients=RecordList(
            itertools.chain.from_iterable(each.coefficients for each in added.values())
        ),
        regions=regions,
        signature=_signature(times, settings, names, rows.items_are, source, fingerprints),
        r_line=_r_line(settings, names, rows.subjects, list(models)),
        words=words,
    )


# ---- Models, frequencies and surprisals.


def _models_of_orders(settings: ReadingSettings) -> dict[str, LanguageModel]:
    """Return an n-gram model of each order that is asked for, all made from one count."""
    if settings.orders is None and settings.counts is None:
        return {}
    if settings.orders is None or settings.counts is None:
        raise UsageError(
            keyword("orders") + " and " + keyword("counts") + " need each other",
            "models of several orders are made from one count",
            "count a text of order 5 into a folder, then "
            + keyword("orders", "1-5")
            + " "
            + keyword("counts", "counts"),
        )

    # The range is read whole: 3-x and 1-2-3 name no orders.
    is_range = re.fullmatch(r"[0-9]+(-[0-9]+)?", settings.orders)
    ends = [int(end) for end in settings.orders.split("-")] if is_range else []
    if not ends or ends != sorted(ends) or ends[0] < 1:
        raise UsageError(f"{settings.orders!r} names no orders", hint="write 1-5, or 3")
    from rnnlm import train

    # Each model is made in a folder that goes when it is loaded.
    models = {}
    for order in range(ends[0], ends[-1] + 1):
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "model"
            with warnings.catch_warnings():
                # These models are for this analysis alone, which needs no validation text.
                warnings.filterwarnings("ignore", "nothing can be held out", RnnlmWarning)
                run = train(
                    counts=settings.counts, model="ngram", order=order, holdout=0, output=output
                )
                models[f"{order}-gram"] = scoring_model_of(run.wait(progress=False).model)
    return models


def _frequencies(
    models: Mapping[str, LanguageModel], baseline: Sequence[str], settings: ReadingSettings
) -> tuple[WrittenFrequencies, str]:
    """Return the frequencies of words, the same for all models, and where they are from."""
    if not any("log10_frequency" in name for name in baseline):
        return WrittenFrequencies({}), "none"
    if settings.frequency_from is not None:
        return frequencies_from(settings.frequency_from), settings.frequency_from
    for name, model in models.items():
        if counts_words(model.tokenizer):
            why = "the first model that counts words"
            choice = Choice("frequency_from", name, None, "the models", why)
            for line in said([choice], is_whole=True):
                notice(line)
            return WrittenFrequencies(shares_of_tokenizer(model.tokenizer)), name
    raise UsageError(
        "none of the models knows how frequent words are",
        "their tokens are not words, or have no counts",
        "name a source with "
        + keyword("frequency_from", "MODEL or FILE")
        + ", or leave frequencies out of "
        + keyword("baseline"),
    )


def _scored(
    models: Mapping[str, LanguageModel],
    times: Times,
    frequencies: WrittenFrequencies,
    report: Progress,
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """Return the columns of all words by model, (P,) each, NaN where there is no value; and the
    fingerprints of the models."""
    size = len(times.sentence_P)
    scored = {model: {name: np.full(size, np.nan) for name in OF_WORDS[1:]} for model in models}
    settings = ScoringSettings(words=True, unscorable="null")
    place, fingerprints = 0, {}
    for chunk in score_chunks_of_models(models, times.sentences, settings, report=report):
        fingerprints = {
            model: f"{signature.model},{signature.adapt},{signature.prec}"
            for model, signature in chunk.signature.items()
        }
        for sentence, scores in zip(chunk.sentences, chunk, strict=True):
            # Words of the table are found by the character that they begin with.
            written = sentence.text.split(" ")
            starts = itertools.accumulate((len(word) + 1 for word in written), initial=0)
            place_at = {start: place + offset for offset, start in enumerate(starts)}

            # Each model's values go to the places of their words.
            for model, score in scores.items():
                words = [
                    replace(word, log10_frequency=frequencies.log10.get(bare(word.word)))
                    for word in score.word_scores
                    if word.end > word.start
                ]
                for row in word_cells(words, ("frequency", "lags")):
                    for name, values_P in scored[model].items():
                        if row[name] is not None:
                            values_P[place_at[row["start"]]] = row[name]
            place += len(written)
    return scored, fingerprints


# ---- Rows: their predictors, and which are left out.


def _check_predictors(baseline: Sequence[str], times: Times) -> None:
    """Make sure that all predictors are there, before time goes into scores. A notice names columns
    of the table that are not read, as words have columns of the same names."""
    unread = times.cells_of.keys() - times.columns.values()
    ours = [name for name in dict.fromkeys(baseline) if name in OF_WORDS and name in unread]
    if ours:
        notice(f"computed here, and not read from {times.source}: {', '.join(ours)}")
    for name in baseline:
        if name not in OF_WORDS and name not in times.cells_of:
            raise UsageError(
                f"no predictor {name!r}",
                "the baseline names columns of words or of the table, joined by +",
                did_you_mean(name, [*OF_WORDS, *times.cells_of]),
            )


def _frame(times: Times, scored: Scored, baseline: Sequence[str]) -> Frame:
    """Return the columns of all rows, (R,) each: the time, the baseline, and by model and name the
    surprisals."""
    of_words = {**next(iter(scored.values())), "position": times.position_P.astype(float)}
    frame: Frame = {"time": times.time_R}
    for name in baseline:
        frame[name] = of_words[name][times.place_R] if name in of_words else times.numbers(name)
    for model, columns in scored.items():
        frame |= {(model, name): columns[name][times.place_R] for name in SURPRISALS}
    return frame


def _reasons(times: Times, frame: Frame, scored: Scored, settings: ReadingSettings) -> np.ndarray:
    """Return why each row is left out, (R,); "" where it is not. The first reason counts."""
    position_R, time_R = times.position_P[times.place_R], times.time_R

    def is_unknown(name: str) -> np.ndarray:
        by_model = [columns[name][times.place_R] == 1 for columns in scored.values()]
        return np.logical_or.reduce(by_model)

    # A reason, the name that switches it on, and the rows; some always count.
    zero = "zero" if settings.response == "rt" else ""
    is_out_R = (time_R < settings.min_time) | (time_R > settings.max_time)
    found = [
        ("no time", "", ~np.isfinite(time_R)),
        ("zero time", zero, time_R <= 0),
        ("first word", "first", position_R == 1),
        ("last word", "last", times.is_last_P[times.place_R]),
        ("unknown word", "unknown", is_unknown("oov")),
        *(("after an unknown word", "unknown", is_unknown(lag + "oov")) for lag in LAGS),
    ]
    for name, values_R in frame.items():
        of_words = name if isinstance(name, str) else name[1]
        lacks_R = ~np.isfinite(values_R)
        is_start_R = lacks_R & (position_R <= lag_of(of_words))
        found += [("too few words before", "", is_start_R), (f"no {of_words}", "", lacks_R)]
    found.append((f"not {settings.min_time:g} to {settings.max_time:g} ms", "bounds", is_out_R))
    reasons = np.full(len(time_R), "", dtype=object)
    for why, name, is_found_R in found:
        if not name or name in settings.exclude:
            reasons[is_found_R & (reasons == "")] = why
    return reasons


def lag_of(name: str) -> int:
    """Return how many words before a word the column `name` tells about."""
    return sum(name.startswith(lag) * distance for distance, lag in enumerate(LAGS, start=1))


def _excluded(times: Times, reasons: np.ndarray) -> dict[str, int]:
    """Return how many rows are left out, by reason; raise an error if all of them are."""
    excluded = {str(why): int((reasons == why).sum()) for why in dict.fromkeys(reasons) if why}
    if (reasons == "").any():
        return excluded
    commonest = max(excluded, key=excluded.__getitem__)
    hint = "change " + keyword("exclude") + ", or the bounds of times"
    if commonest == "unknown word":
        hint = "use a model that knows these words, such as one trained on more text"
    raise TextError(
        f"{times.source}: no row is left to analyse",
        "left out: " + ", ".join(f"{why} {count:,}" for why, count in excluded.items()),
        hint,
    )


def _tell_of_unknown(times: Times, scored: Scored) -> None:
    """Send a notice of the most frequent words that one of the models does not know."""
    is_unknown_P = np.logical_or.reduce([columns["oov"] == 1 for columns in scored.values()])
    texts = times.texts()
    counts = Counter(texts[place] for place in times.place_R.tolist() if is_unknown_P[place])
    if counts:
        rows = [f"{word}: {plural(count, 'row')}" for word, count in counts.most_common()]
        notice(f"{times.source}: words that a model does not know: {first_of(rows, MOST_UNKNOWN)}")


def _tell_of_conditions(times: Times, is_used_R: np.ndarray) -> None:
    """Send a notice if the mean time of a condition is far from that of the others, as practice
    items have it."""
    # Conditions with enough rows, how many, and the sum of their times.
    condition_R = np.array(times.conditions)[times.sentence_P[times.place_R]]
    found, found_N = np.unique(condition_R[is_used_R], return_inverse=True)
    count_C, sum_C = np.bincount(found_N), np.bincount(found_N, times.time_R[is_used_R])
    is_many_C = count_C >= LEAST_OF_CONDITION
    if is_many_C.sum() < 2:
        return
    names, count_C, sum_C = found[is_many_C], count_C[is_many_C], sum_C[is_many_C]

    # Each mean beside that of all others. The rarest odd one is likeliest to be practice.
    others_C = (sum_C.sum() - sum_C) / (count_C.sum() - count_C)
    ratio_C = sum_C / count_C / others_C
    is_odd_C = (ratio_C < USUAL_RATIO[0]) | (ratio_C > USUAL_RATIO[1])
    if is_odd_C.any():
        odd = names[is_odd_C][count_C[is_odd_C].argmin()]
        means = [f"{name} {mean:.0f}" for name, mean in zip(names, sum_C / count_C, strict=True)]
        notice(
            f"{times.source}: mean times of conditions are far apart: {first_of(means, 8)} ms; if "
            "one is practice or fillers, leave it out: "
            + keyword("where", f"{times.columns['condition']}!={odd}")
        )


def _used_rows(
    times: Times, frame: Frame, is_used_R: np.ndarray, settings: ReadingSettings,
    excluded: Mapping[str, int],
) -> UsedRows:  # fmt: skip
    """Return the rows that are used, or the means of their words. A notice tells of few items, an
    error of a single one, with what is excluded."""
    values = {name: values_R[is_used_R] for name, values_R in frame.items()}
    values["response"] = np.log(values["time"]) if settings.response == "log" else values["time"]
    place_N = times.place_R[is_used_R]
    _, subject_N = np.unique(times.subject_R[is_used_R], return_inverse=True)
    subjects = int(subject_N.max()) + 1

    # A word's mean over subjects takes the place of its rows, as if of one subject.
    if settings.average:
        place_N, word_N, count_W = np.unique(place_N, return_inverse=True, return_counts=True)
        values = {
            name: np.bincount(word_N, values_N) / count_W for name, values_N in values.items()
        }
        subject_N = np.zeros(len(place_N), dtype=np.int64)

    if len(set(times.sentence_P[place_N].tolist())) < 2:
        # Perhaps others were left out, by a setting or for the reasons that are counted.
        why, hint = "nothing can be held out", "leave out fewer rows"
        if settings.where:
            why += "; other rows are left out by " + keyword("where")
        elif len(times.sentences) > 1:
            counts = [f"{reason} {count:,}" for reason, count in excluded.items()]
            why += f"; left out: {', '.join(counts)}"
        else:
            hint = "name the column of items with " + keyword("item_column", "NAME")
        raise TextError(f"{times.source}: the rows that are used are of one item", why, hint)
    group_N, items_are = _groups(times, place_N, values["response"], settings.seed)
    groups = int(group_N.max()) + 1
    if groups < FEW_ITEMS:
        notice(
            f"{groups} {items_are}s are few: intervals over so few are too narrow, and p-values "
            "coarse"
        )
    return UsedRows(values, place_N, subject_N, group_N, subjects, items_are)


def _groups(
    times: Times, place_N: np.ndarray, response_N: np.ndarray, seed: int
) -> tuple[np.ndarray, str]:
    """Return the number of each row's item, and what items are: sentences where there are few. The
    numbers follow a hash of the items' words, so that folds and draws depend neither on labels nor
    on the order of rows."""
    sentence_N = times.sentence_P[place_N]
    items, item_N = np.unique(np.array(times.items)[sentence_N], return_inverse=True)
    sentences, number_N = np.unique(sentence_N, return_inverse=True)
    by_sentence = len(items) < FEW_ITEMS and len(sentences) > len(items)
    group_N = number_N if by_sentence else item_N

    # Items of the same words are told apart by their times.
    texts_G: list[set[str]] = [set() for _ in range(group_N.max() + 1)]
    for group, sentence in set(zip(group_N.tolist(), sentence_N.tolist(), strict=True)):
        texts_G[group].add(times.sentences[sentence].text)
    hash_G = [
        hashlib.sha256("\n".join([str(seed), *sorted(texts)]).encode()).hexdigest()
        for texts in texts_G
    ]
    place_G = np.argsort(np.lexsort((np.bincount(group_N, response_N), np.array(hash_G))))
    return place_G[group_N], "sentence" if by_sentence else "item"


# ---- Regressions.


def _dealt(rows: UsedRows, settings: ReadingSettings) -> np.ndarray:
    """Return the fold of each item, (G,). A notice tells of subjects that only one fold has."""
    fold_G = np.arange(rows.group_N.max() + 1) % settings.folds
    subject_and_fold = np.unique(np.stack([rows.subject_N, fold_G[rows.group_N]]), axis=1)
    folds_S = np.bincount(subject_and_fold[0])
    alone = int((folds_S == 1).sum())
    if alone:
        notice(
            f"{plural(alone, 'subject')} read {rows.items_are}s of one fold alone: held out, their "
            "times are centred by their own means"
        )
    return fold_G


def _perplexity(model: str, scored: Scored) -> float | None:
    """Return the perplexity on the words that all models know; None if there is none."""
    is_known_P = np.logical_and.reduce([columns["oov"] == 0 for columns in scored.values()])
    bits_P = scored[model]["surprisal_bits"][is_known_P]
    if not np.isfinite(bits_P).any():
        return None
    return float(2 ** np.nanmean(bits_P))


def _added(
    model: str,
    rows: UsedRows,
    baseline: Sequence[str],
    fold_G: np.ndarray,
    perplexity: float | None,
    settings: ReadingSettings,
) -> Added:
    """Compare the regression on the baseline with that on the baseline and a model's surprisals.
    A notice names predictors that are left out."""
    predictors = [rows.values[name] for name in baseline]
    surprisals = [rows.values[model, name] for name in SURPRISALS]
    values_NP = np.stack([*predictors, *surprisals, rows.values["response"]], axis=1)
    sums = ItemSums.of(values_NP, rows.group_N, rows.subject_N)
    whole = sums.whole

    # Predictors that others before them determine are left out.
    columns = [*baseline, *SURPRISALS]
    without = independent(whole, range(len(baseline)))
    full = independent(whole, [*without, *range(len(baseline), len(columns))])
    dropped = [name for place, name in enumerate(columns) if place not in full]
    if dropped:
        notice(f"{model}: left out as the other predictors determine it: {', '.join(dropped)}")

    # The gain is over held-out items, the coefficients are of all rows.
    with_surprisal_G = held_out_logliks(sums, full, fold_G)
    gain_G = with_surprisal_G - held_out_logliks(sums, without, fold_G)
    permutations = settings.resamples or PERMUTATIONS
    trials = {"permutations": permutations, "seed": settings.seed}
    gain = gain_of(model, perplexity, gain_G, sums, without, full, **trials)
    intervals = coefficient_intervals(sums, full)
    coefficients = [
        Coefficient(model, columns[place], lag_of(columns[place]), interval)
        for place, interval in zip(full, intervals, strict=True)
    ]
    return Added(gain, gain_G, coefficients)


# ---- What is reported beside the numbers.


def _regions(times: Times, frame: Frame, is_used_R: np.ndarray, models: Sequence[str]) -> list[Row]:
    """Return the mean time, and the mean surprisal by each model, of each region (without regions,
    of each position in the sentence) and condition, of the rows that are used, in the order in
    which regions follow one another within sentences."""
    # Rows without a region are in none.
    region_R = times.position_P[times.place_R].astype(str)
    if "region" in times.columns:
        region_R = np.array([name_in(cell) for cell in times.cells_of[times.columns["region"]]])
        is_used_R = is_used_R & (region_R != "")
    if not is_used_R.any():
        return []
    place_R, region_R = times.place_R[is_used_R], region_R[is_used_R]

    # The means over the rows of each pair of condition and region.
    condition_R = np.array(times.conditions)[times.sentence_P[place_R]]
    pairs, pair_R, count_K = np.unique(
        np.stack([condition_R, region_R]), axis=1, return_inverse=True, return_counts=True
    )

    def mean(values_R: np.ndarray) -> np.ndarray:
        return np.bincount(pair_R.ravel(), values_R) / count_K

    columns = {"position": mean(times.position_P[place_R]), "time": mean(frame["time"][is_used_R])}
    columns |= {model: mean(frame[model, "surprisal_bits"][is_used_R]) for model in models}
    rows: list[Row] = [
        {"condition": str(condition), "region": str(region)}
        | {name: float(values_K[place]) for name, values_K in columns.items()}
        for place, (condition, region) in enumerate(pairs.T)
    ]

    # Regions follow one another as in the sentences, positions by their number.
    order: dict[str, int] = {}
    if "region" in times.columns:
        order = _order_of_regions(times.sentence_P[place_R], times.position_P[place_R], region_R)

    def place_of(row: Row) -> tuple[float, str]:
        return order.get(str(row["region"]), float(row["position"] or 0)), str(row["condition"])

    return sorted(rows, key=place_of)


def _order_of_regions(
    sentence_R: np.ndarray, position_R: np.ndarray, region_R: np.ndarray
) -> dict[str, int]:
    """Return the place of each region, behind those that come before it in most of the sentences
    with both: their mean positions mislead where sentences differ in length."""
    names, region_R = np.unique(region_R, return_inverse=True)
    cells, cell_R, count_C = np.unique(
        np.stack([sentence_R, region_R]), axis=1, return_inverse=True, return_counts=True
    )
    position_C = np.bincount(cell_R.ravel(), position_R) / count_C

    # How many sentences have a region before another one.
    before = np.zeros((len(names), len(names)), dtype=np.int32)
    places = zip(*cells.tolist(), position_C.tolist(), strict=True)
    for _, sentence in itertools.groupby(places, key=lambda place: place[0]):
        for first, second in itertools.combinations(sentence, 2):
            if first[2] != second[2]:
                earlier, later = sorted((first, second), key=lambda place: place[2])
                before[earlier[1], later[1]] += 1

    # Take what nothing left precedes; of a circle, the one that the fewest do.
    precedes = before > before.T
    left_before = precedes.sum(axis=0)
    mean_position = np.bincount(region_R, position_R) / np.bincount(region_R)
    left = set(range(len(names)))
    order: dict[str, int] = {}
    while left:
        place = min(left, key=lambda region: (left_before[region], mean_position[region]))
        left.remove(place)
        left_before -= precedes[place]
        order[str(names[place])] = len(order)
    return order


def _signature(
    times: Times,
    settings: ReadingSettings,
    baseline: Sequence[str],
    items_are: str,
    frequencies: str,
    fingerprints: Mapping[str, str],
) -> str:
    """Return all that the numbers depend on, in one line."""
    hashed = hashlib.sha256("\n".join(each.text for each in times.sentences).encode())
    hashed.update("\n".join([*times.items, *times.conditions]).encode())
    of_table = [times.numbers(name) for name in baseline if name not in OF_WORDS]
    for array in (times.place_R, times.time_R, times.subject_R, *of_table):
        hashed.update(array.tobytes())
    exclude = ",".join(name for name in REASONS if name in settings.exclude)
    parts = {
        "rnnlm": VERSION,
        "times": hashed.hexdigest()[:12],
        "unit": "word" if settings.average else "word,subject",
        "response": settings.response,
        "baseline": "+".join(baseline),
        "freq": frequencies,
        **({"where": ",".join(settings.where)} if settings.where else {}),
        "exclude": f"{exclude or 'none'}:{settings.min_time:g}-{settings.max_time:g}",
        "folds": f"{settings.folds} of {items_are}s by words",
        "p": "gain>0",
        "resamples": settings.resamples or PERMUTATIONS,
        "seed": settings.seed,
        **{f"model {name}": fingerprint for name, fingerprint in fingerprints.items()},
    }
    return "|".join(f"{name}:{value}" for name, value in parts.items())


def _r_line(
    settings: ReadingSettings, baseline: Sequence[str], subjects: int, models: Sequence[str]
) -> str:
    """Return the line that fits the regression with random effects in R, for the first model."""
    response = "log(time)" if settings.response == "log" else "time"
    names = [name if re.fullmatch(r"[A-Za-z][\w.]*", name) else f"`{name}`" for name in baseline]
    # Unscaled, such predictors keep lme4 from converging.
    fixed = " + ".join(f"scale({name})" for name in (*names, *SURPRISALS))
    is_of_words = settings.average or subjects < 2
    by_subject = "" if is_of_words else " + (1 + scale(surprisal_bits) | subject)"
    rows = "used == 1" + (f' & model == "{models[0]}"' if len(models) > 1 else "")
    return f"lmer({response} ~ {fixed}{by_subject} + (1 | item), data = subset(words, {rows}))"


def _same_by_word(times: Times, is_used_R: np.ndarray, row_N: np.ndarray) -> dict[str, list[Any]]:
    """Return the columns whose cells are the same in all used rows of a word, such as regions.
    row_N: one of these rows of each word."""
    _, word_R = np.unique(times.place_R[is_used_R], return_inverse=True)
    kept: dict[str, list[Any]] = {}
    for name, cells in times.cells_of.items():
        text_R = np.array(list(map(str, cells)))
        if (text_R[is_used_R] == text_R[row_N][word_R]).all():
            kept[name] = cells
    return kept


def _words(
    times: Times,
    models: Sequence[str],
    baseline: Sequence[str],
    frame: Frame,
    row_N: np.ndarray,
    kept: Mapping[str, Sequence[Any]],
    reasons: np.ndarray,
    is_average: bool,
) -> dict[str, list[Any]]:
    """Return the table for other programs, by column: the rows of all models below each other.
    kept: columns of the table of times, with all its rows."""
    # What all models share: where a row stands, its time and the predictors of the baseline.
    texts = times.texts()
    place_N = times.place_R[row_N]
    sentence_N = times.sentence_P[place_N]
    shared = {
        "subject": np.array(times.subjects, dtype=object)[times.subject_R[row_N]],
        "item": np.array(times.items, dtype=object)[sentence_N],
        "condition": np.array(times.conditions, dtype=object)[sentence_N],
        "sentence": np.array([sentence.id for sentence in times.sentences])[sentence_N],
        "word": np.array(texts, dtype=object)[place_N],
        **{name: frame[name] for name in ("time", *baseline)},
    }
    if is_average:
        del shared["subject"]

    # Columns of the table that are not among these yet; another one's name is taken.
    used = {"used": (reasons == "").astype(int), "excluded": reasons}
    known = {times.columns.get(role) for role in ("subject", "item", "condition", "word", "time")}
    known.update(name for name in baseline if name not in OF_WORDS)
    taken = ["model", *shared, *SURPRISALS, *used]
    renamed = new_names([name for name in kept if name not in known], taken)
    changed = [f"{name} to {new_name}" for name, new_name in renamed.items() if new_name != name]
    if changed:
        notice(f"columns named like one of the result are renamed in it: {', '.join(changed)}")
    own = {
        new_name: np.array([*kept[name], None], dtype=object)[row_N]
        for name, new_name in renamed.items()
    }

    # The rows of each model, with its surprisals; a value that is missing is None.
    table: dict[str, list[Any]] = {"model": []}
    for model in models:
        table["model"] += [model] * len(place_N)
        surprisals = {name: frame[model, name] for name in SURPRISALS}
        for name, values_N in (shared | surprisals | used | own).items():
            cells = [None if tables.is_gap(value) else value for value in values_N.tolist()]
            table.setdefault(name, []).extend(cells)
    return table
