"""Decode with an encoder-decoder: write a line for each line that it reads, greedily, by beam
search or drawn, with the attention of its tokens, which can be drawn as a picture."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.checks import items_of
from rnnlm.errors import TextError, UsageError, keyword, notice
from rnnlm.evaluation import plotting
from rnnlm.lm.base import loading
from rnnlm.scoring.generation.drawing import GeneratedText, TextStarts, draw_samples
from rnnlm.scoring.generation.search import search
from rnnlm.scoring.generation.settings import SamplingSettings, SearchSettings
from rnnlm.storage.files import tables
from rnnlm.storage.files.reading import shown_name
from rnnlm.tabular import RecordList, Result, Row
from rnnlm.tasks.common.text_files import (
    LEXICON,
    TEXT_LINES,
    TextFileSettings,
    detect_text_format,
    windows,
)
from rnnlm.tasks.seq2seq.data import PairedData, joined, rows
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.options import DecodingSettings
from rnnlm.tasks.seq2seq.pairs import ParallelText, on_one_line, open_pairs
from rnnlm.text.batches import NO_WORDS, why_too_long
from rnnlm.text.lines import MissingLine, is_blank, lines_with_ends, without_end
from rnnlm.text.named_columns import KINDS, USUAL_PAIRS, text_column, text_of, text_or_reason
from rnnlm.text.unknown_words import UnknownWords

# ---- The results of translating a line.

DIGITS = 4  # of weights that are printed


@dataclass(frozen=True)
class AttentionWeights(Result):
    """The attention of each of T target tokens to S source tokens.

    Attributes:
        source_tokens: Tokens as the tokenizer writes them, `</s>` last; in the order of the text,
            in whatever direction the encoder reads.
        target_tokens: Tokens as the tokenizer writes them, `</s>` last.
        weights: Weights, (T, S) float32; each row sums to 1.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    weights: np.ndarray

    @property
    def most_attended(self) -> tuple[int, ...]:
        """For each token of the line the number of the source's token with the largest weight, from
        0."""
        return tuple(self.weights.argmax(axis=1).tolist())

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `rnnlm translate --json --attention`: short numbers."""
        attention = super().to_dict() | {"most_attended": list(self.most_attended)}
        rows = self.weights.tolist()
        attention["weights"] = [[round(weight, DIGITS) for weight in row] for row in rows]
        return attention

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the weights, a row for each token of the line.

        Args:
            axes: Draw there instead of in a new figure.
        """
        return plot_attention(self, axes=axes)


@dataclass(frozen=True)
class Translation(Result):
    """One output of a model for a source.

    Attributes:
        text: The output.
        logprob_nats: log p(text | source), in nats.
        score: Score by which outputs are ranked: log p / ((5 + tokens) / 6)^length_power; for
            minimum Bayes risk the expected chrF, 0 to 100.
        tokens: Number of tokens, including `</s>` if it is written.
        complete: Whether it ended by itself; False if it was cut off at its limit.
        attention: Attention of its tokens, if requested.
    """

    text: str
    logprob_nats: float
    score: float
    tokens: int
    complete: bool
    attention: AttentionWeights | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `rnnlm translate --json`."""
        translation = super().to_dict()
        del translation["attention"]  # which was not asked for
        if self.attention is not None:
            translation["attention"] = self.attention.to_dict()
        return translation


@dataclass(frozen=True)
class TranslatedLine:
    """A source with its outputs.

    Attributes:
        source: The source.
        number: Number of the source, from 1.
        hypotheses: Outputs, best first, or samples in the order of drawing; none if the source has
            no words, or too many.
        reason: Reason why there are none.
    """

    source: str
    number: int
    hypotheses: tuple[Translation, ...]
    reason: str | None = None

    @property
    def text(self) -> str:
        """The text of the first hypothesis; "" where there is none."""
        return self.hypotheses[0].text if self.hypotheses else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `rnnlm translate --json`, as `rnnlm rescore` reads it."""
        line = {
            "utt": self.number,
            "source": self.source,
            "text": self.text,
            "hypotheses": [hypothesis.to_dict() for hypothesis in self.hypotheses],
        }
        return line | ({"reason": self.reason} if self.reason else {})


# ---- A plot of attention: the tokens of a source below, the tokens of the line beside, and their
# weights.

MOST_TOKENS = 120  # of a side
LONGEST_TOKEN = 24  # characters
INCHES_PER_TOKEN, SMALLEST = 0.17, 1.6
BESIDE, BELOW = 1.7, 1.4  # inches: names of tokens, titles and the colour bar
TITLE = "Attention of each target token (a row) to the source: the darker, the more"


def plot_attention(
    attention: AttentionWeights,
    path: str | Path | None = None,
    *,
    axes: "plotting.Axes | None" = None,
) -> "plotting.Figure":
    """Plot the attention of each token of a line (a row, the first one at the top) to its source (a
    column): white is nothing, black is all. The first 120 tokens of a side are drawn; a notice says
    so if there are more. path: also write the figure there; .svg, .png or .pdf. axes: draw there
    instead of in a new figure.

    Raises:
        UsageError: `path` has another suffix.
        OutputError: the file cannot be written.
    """
    if path is not None:
        plotting.check_path(Path(path))
    if max(attention.weights.shape) > MOST_TOKENS:
        notice(f"the plot shows the first {MOST_TOKENS} tokens")

    # A token gets the width of its letters if the page is wide enough for all; of more tokens, only
    # some are named.
    weights = attention.weights[:MOST_TOKENS, :MOST_TOKENS]
    longest = plotting.WIDEST - BESIDE
    down, across = (INCHES_PER_TOKEN * tokens for tokens in weights.shape)
    width = min(longest, max(SMALLEST, across)) + BESIDE
    height = min(longest, max(SMALLEST, down)) + BELOW
    figure, axes = plotting.new_figure(TITLE, "source", "target", width, height, axes)
    most = int(longest / INCHES_PER_TOKEN)
    source, target = attention.source_tokens[:MOST_TOKENS], attention.target_tokens[:MOST_TOKENS]
    plotting.draw_heat_map(
        axes, weights, source, target, "Greys", highest=1.0, label="weight of attention",
        most=most, most_down=most, longest=LONGEST_TOKEN,
    )  # fmt: skip
    if path is not None:
        plotting.save(figure, Path(path))
    return figure


class TranslatedLines(RecordList[TranslatedLine]):
    """The outputs of a model for several sources, in a list that is also a table."""

    def to_rows(self) -> list[Row]:
        """Return a row for each hypothesis, the best of a source first."""
        rows: list[Row] = []
        for line in self:
            for rank, hypothesis in enumerate(line.hypotheses, start=1):
                rows.append({
                    "line": line.number,
                    "source": line.source,
                    "rank": rank,
                    "text": hypothesis.text,
                    "logprob_nats": hypothesis.logprob_nats,
                    "score": hypothesis.score,
                    "tokens": hypothesis.tokens,
                    "complete": hypothesis.complete,
                })  # fmt: skip
        return rows


# ---- The attention of a line's tokens to its source.

_NOWHERE = ParallelText((), "source", "target", "parallel")  # pairs that are in no file


def attended(
    model: Seq2SeqModel, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return the weights of attention (T, S) of each pair of a source and a line, given as their
    tokens: one more pass over them."""
    data = PairedData(_NOWHERE, joined(sources), joined(targets))
    weights_of: dict[int, np.ndarray] = {}
    for chosen_B in model.batches(data):
        weights_of |= dict(zip(chosen_B.tolist(), model.attention(data, chosen_B), strict=True))
    return [weights_of[number] for number in range(len(sources))]


# ---- Translation of lines: in batches by length within windows, results in the order of the lines.

BATCH_LINES, BATCH_ROWS = 64, 256  # rows: beams of all lines
BATCH_TOKENS = 1 << 13  # of sources, padding counted


@dataclass(frozen=True)
class Translator:
    """A model and a request. sampling: lines are drawn, `num` for each source, instead of searched
    for."""

    model: Seq2SeqModel
    settings: DecodingSettings = DecodingSettings()
    sampling: SamplingSettings | None = None
    num: int = 1

    def __post_init__(self) -> None:
        if self.sampling is not None and (self.settings.beam or self.settings.nbest > 1):
            raise UsageError(
                "samples cannot be combined with a beam or nbest",
                "they are drawn at random",
                "leave one of them out",
            )
        if self.settings.attention and self.model.network.settings.attention is None:
            raise UsageError(
                f"{self.model.name} has no attention",
                "the model was trained with attention=none",
                "train one with attention=general",
            )
        if self.settings.mbr and self.candidates < 2:
            raise UsageError(
                keyword("mbr") + " chooses among several lines, but there is one for each source",
                hint="ask for more with " + keyword("nbest", 10) + ", or for samples",
            )

    @property
    def candidates(self) -> int:
        """The number of lines that are written for each source."""
        return self.settings.nbest if self.sampling is None else self.num

    @property
    def outputs(self) -> int:
        """The number of lines that are returned for each source."""
        return 1 if self.settings.mbr else self.candidates

    def translate(self, sources: Iterable[str], first: int = 1) -> Iterator[TranslatedLine]:
        """Yield the outputs of the model for each source, in order. A source without words has no
        hypotheses. first: the number of the first source.

        Sources are read a window at a time, so the first translation comes when the first window
        is full or the sources end. A notice at the end names or counts unknown words.
        """
        unknown = UnknownWords()
        for window in windows(sources, len):
            yield from self.translate_window(window, first)
            unknown.add(window, self.model.codec.source)
            first += len(window)
        unknown.tell()

    def translate_window(self, sources: Sequence[str], first: int = 1) -> list[TranslatedLine]:
        """Return the outputs of the model for a few sources, without a notice."""
        encoded = self.model.codec.source.encode(sources)
        lengths = np.diff(encoded.offsets)

        # A source without words, or with too many, gets no translation.
        lines_of_window = []
        readable = []
        for place, source in enumerate(sources):
            reason = getattr(source, "reason", None) or why_too_long(int(lengths[place]))
            if not reason and (is_blank(source) or lengths[place] <= 1):
                reason = NO_WORDS
            if reason is None:
                readable.append(place)
            lines_of_window.append(TranslatedLine(source, first + place, (), reason))
        chosen = np.array(readable, dtype=np.int64)
        most = min(BATCH_LINES, BATCH_ROWS // self.settings.width)
        for chosen_B in batches(lengths, chosen, most):
            lines = [lines_of_window[place] for place in chosen_B.tolist()]
            hypotheses_B = self._hypotheses(lines, rows(encoded, chosen_B))
            for line, hypotheses in zip(lines, hypotheses_B, strict=True):
                lines_of_window[line.number - first] = replace(line, hypotheses=tuple(hypotheses))
        return lines_of_window

    def _hypotheses(
        self, lines: Sequence[TranslatedLine], sources: list[np.ndarray]
    ) -> list[list[Translation]]:
        # Every line begins with the boundary, and ends at its limit at the latest.
        limits_B = np.array([self.settings.limit(len(source)) for source in sources])
        inputs_B = np.full(len(sources), self.model.codec.target.boundary_id)
        starts = TextStarts(self.model.states_of(sources), inputs_B, limits_B)

        # Search for the best lines, or draw some.
        if self.sampling is None:
            found_B = search(self.model.decoder, starts, self._search)
        else:
            sampling = replace(self.sampling, unknown=False, running=False)
            numbers = [line.number for line in lines]
            found_B = draw_samples(self.model.decoder, starts, self.num, sampling, numbers=numbers)

        if self.settings.mbr:
            found_B = [[self._least_risk(texts)] for texts in found_B]

        # Attention is computed afterwards, for the chosen lines alone.
        attention = self._attention(lines, sources, found_B) if self.settings.attention else {}
        return [
            [self._hypothesis(text, attention.get((row, n))) for n, text in enumerate(texts)]
            for row, texts in enumerate(found_B)
        ]

    def _least_risk(self, texts: Sequence[GeneratedText]) -> GeneratedText:
        """Return the text of least risk, with its expected chrF as its score. Samples count alike;
        the n best by their probabilities."""
        logprob_N = np.array([text.logprob_nats for text in texts])
        weight_N = np.exp(logprob_N - logprob_N.max())
        if self.sampling is not None:
            weight_N = np.ones(len(texts))
        chrf_N = expected_chrf([self._text_of(text) for text in texts], weight_N)
        best = int(chrf_N.argmax())
        return replace(texts[best], score=float(chrf_N[best]))

    def _text_of(self, generated: GeneratedText) -> str:
        # A newline is a byte like any other to some tokenizers, but a line is one line.
        return self.model.codec.target.decode(generated.ids).replace("\n", " ")

    def _hypothesis(
        self, generated: GeneratedText, attention: AttentionWeights | None
    ) -> Translation:
        return Translation(
            self._text_of(generated),
            generated.logprob_nats,
            generated.score,
            len(generated.ids),
            generated.ended,
            attention,
        )

    def _attention(
        self,
        lines: Sequence[TranslatedLine],
        sources: list[np.ndarray],
        found_B: list[list[GeneratedText]],
    ) -> dict[tuple[int, int], AttentionWeights]:
        """Return the attention of each line found to its source, by row and rank."""
        # All lines of the batch are read again at once.
        wanted = []
        for row, texts in enumerate(found_B):
            wanted += [(row, rank, text.ids) for rank, text in enumerate(texts)]
        read = [sources[row] for row, _, _ in wanted]
        weights = attended(self.model, read, [np.array(ids) for _, _, ids in wanted])
        attention = {}
        for (row, rank, ids), weights_TS in zip(wanted, weights, strict=True):
            source = tuple(self.model.codec.source.surface(lines[row].source))
            target = tuple(self._target_symbols[id] for id in ids)
            attention[row, rank] = AttentionWeights(source, target, weights_TS)
        return attention

    @cached_property
    def _target_symbols(self) -> Sequence[str]:
        return self.model.codec.target.symbols()

    @property
    def _search(self) -> SearchSettings:
        return SearchSettings(self.settings.width, self.settings.power, self.settings.nbest)


def translate(
    model: loading.ScoringModel,
    sources: Sequence[str],
    *,
    settings: DecodingSettings = DecodingSettings(),
    sampling: SamplingSettings | None = None,
    num: int = 1,
) -> TranslatedLines:
    """Translate lines with an encoder-decoder.

    model: an encoder-decoder or its name. settings: greedy search unless they ask for a beam or n
    best. sampling: draw `num` lines for each source instead; sample n of line l does not depend on
    the other lines. Length is set in `settings`, not in `sampling`.

    Raises:
        UsageError: the model is no encoder-decoder, or lacks the attention that is asked for;
            samples and a beam are asked for.
        SettingsError: `num` is below 1.
        ModelError: there is no such model, or it is damaged.
        TextError: a source contains a newline.
    """
    translator = Translator(loading.model_for("translate", model), settings, sampling, num)
    return TranslatedLines(translator.translate(items_of(sources, str, "sources")))


def expected_chrf(texts: Sequence[str], weight_N: np.ndarray) -> np.ndarray:
    """Return the expected chrF of each of N texts, if one of them is right, with probabilities in
    proportion to the weights: the negative of its Bayes risk (Kumar & Byrne 2004), which samples
    estimate (Eikema & Aziz 2020)."""
    from sacrebleu.metrics import CHRF

    # Equal texts are compared once.
    distinct = list(dict.fromkeys(texts))
    place_N = np.array([distinct.index(text) for text in texts])
    share_M = np.bincount(place_N, weights=weight_N / weight_N.sum())
    chrf = CHRF()
    score_MM = np.array(
        [[chrf.sentence_score(text, [other]).score for other in distinct] for text in distinct]
    )
    return (score_MM @ share_M)[place_N]


def batches(lengths_N: np.ndarray, chosen: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Yield the chosen numbers of sources in batches of `most` at most, sources of about the same
    length together, the longest first."""
    order = chosen[np.argsort(-lengths_N[chosen], kind="stable")]
    start = 0
    while start < len(order):
        count = max(1, min(most, BATCH_TOKENS // int(lengths_N[order[start]])))
        yield order[start : start + count]
        start += count


# ---- Files of sources to be translated: lines of text, or one column of a table.

USUAL_COLUMNS = (*(source for source, _ in USUAL_PAIRS), *tables.USUAL_TEXT)


def read_sources(
    file: str, settings: TextFileSettings, usual: Sequence[str] = USUAL_COLUMNS,
    on_row: Callable[[Mapping[str, Any]], None] | None = None,
) -> Iterator[str]:  # fmt: skip
    """Yield the sources of a file, each as one line, lines without words included. usual: usual
    names of their column if none is named. on_row: called with the cells of each one's row before
    it is yielded; a line has the cell `text`."""
    form = detect_text_format(file, settings)
    sources = _cells(file, form, settings, usual)
    if form == TEXT_LINES:
        lines = (without_end(line) for _, line in lines_with_ends(file, settings.encoding_errors))
        sources = ((line, {"text": line}) for line in lines)
    source = None
    for source, cells in sources:
        if on_row is not None:
            on_row(cells)
        yield source
    if source is None:
        raise TextError(f"no lines in {shown_name(file)}", "it is empty")


def _cells(
    file: str, form: str, settings: TextFileSettings, usual: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the sources of a table, each with the cells of its row."""
    table = open_pairs(
        file, KINDS[form], settings.encoding_errors, [settings.column],
        unreadable="report", line_format=LEXICON,
    )  # fmt: skip
    if not table.sample:
        return
    column = text_column(
        table.names, table.sample, table.where, settings.column, usual, "the sources"
    )
    for row in table.rows:
        text, reason = text_or_reason(row, column)
        value = row.values.get(column)
        if isinstance(value, int):
            text, reason = text_of(value, row.where, column), row.why_unread
        cells = {name: tables.in_json(row.values.get(name)) for name in table.names}
        yield MissingLine(reason) if reason else on_one_line(text), cells
