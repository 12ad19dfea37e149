"""Compare the vectors that a network has of sentences: the cosine of every two, beside that of two
lines drawn at random."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.checks import several
from rnnlm.errors import TextError, visible
from rnnlm.evaluation import plotting
from rnnlm.inference.layer_outputs import LayerReader
from rnnlm.inspection.common import Inspection, Model, Source, Table, open_source, plain, subjects
from rnnlm.inspection.heat_maps import draw_heat_map
from rnnlm.models.loading import SHIPPED
from rnnlm.text.lines import check_reserved, is_blank, lines_with_ends, without_end
from rnnlm.vectors.embedding import Embedder
from rnnlm.vectors.settings import EmbeddingSettings, Pooling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# ---- Lines and their vectors.

MOST_LINES = 100  # every two of them have a row in the table
RANDOM_LINES, DRAWN_FROM = 200, 20_000  # to compare with: how many lines, of the first of a text
LONGEST_SHOWN = 32  # characters of a line in a picture
WITH_NUMBERS = 10  # lines up to which a picture has the numbers in its cells
MOST_ACROSS, MOST_DOWN = 16, 50  # numbers below a picture, lines beside it


@dataclass(frozen=True)
class LinePair:
    """Two lines by their numbers, from 0, and the cosine of their vectors; None where a vector is
    zero. above: the share of random pairs of lines that have a smaller cosine."""

    first: int
    second: int
    cosine: float | None
    above: float | None


def read_lines(source: str | Path) -> list[str]:
    """Read the sentences of a file, one a line, without blank ones."""
    name = str(source)
    found = []
    for number, line in lines_with_ends(name):
        text = without_end(line)
        if not is_blank(text):
            found.append(check_reserved(text, f"{name}, line {number}", "error", "remove it"))
    return _enough(found, name)


def _enough(lines: list[str], name: str) -> list[str]:
    if len(lines) < 2:
        has = "it holds one" if lines else "it is empty"
        raise TextError(f"{name}: two sentences at least are compared", has, "write one a line")
    if len(lines) > MOST_LINES:
        raise TextError(
            f"{name} holds {len(lines):,} sentences",
            f"every two of them are compared, {MOST_LINES} at most",
            "for more, take the vectors: rnnlm embed",
        )
    return lines


def cosines(vectors_NH: np.ndarray) -> np.ndarray:
    """Return the cosines of every two rows, (N, N) float64; nan where one is zero."""
    vectors_NH = vectors_NH.astype(np.float64)
    lengths_N1 = np.linalg.norm(vectors_NH, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        unit_NH = vectors_NH / lengths_N1
    return np.asarray(np.clip(unit_NH @ unit_NH.T, -1, 1))


def _random_cosines(embedder: Embedder, text: Source | None) -> np.ndarray:
    """Return the cosines of every two of some lines of a text, drawn at random."""
    found: list[str] = []
    for block in open_source(text).blocks():
        found += block.lines
        if len(found) >= DRAWN_FROM:
            break
    if len(found) < 3:
        raise TextError(
            "too few lines to draw from",
            f"the text has {len(found)}",
            "name another one: --on TEXT",
        )
    random = np.random.default_rng(0)
    count = min(RANDOM_LINES, len(found))
    chosen = random.choice(min(len(found), DRAWN_FROM), count, replace=False)
    cosine_NN = cosines(_vectors(embedder, [found[place] for place in chosen]))
    above_N = cosine_NN[np.triu_indices(count, k=1)]
    return above_N[np.isfinite(above_N)]


def _vectors(embedder: Embedder, lines: Sequence[str]) -> np.ndarray:
    return np.concatenate([chunk.vectors_NH for chunk in embedder.chunks(lines)])


def unknown_words(reader: LayerReader, lines: Sequence[str]) -> list[str]:
    """Return the words of the lines that a model does not know, each once."""
    found: dict[str, None] = {}
    for line in lines:
        missing = reader.tokenizer.encode([line]).oov
        if len(missing) and not reader.tokenizer.spells:
            surface = reader.tokenizer.surface(line)
            found |= dict.fromkeys(surface[place] for place in missing)
    return list(found)


# ---- `rnnlm inspect similarity --lines FILE`.


@dataclass(frozen=True, repr=False)
class LineSimilarity(Inspection):
    """The cosines of every two of N lines, (N, N), nan where a vector is zero; the pairs, the most
    alike first. random_mean, random_low, random_high: the mean, and the bounds of the middle 90 %,
    of the cosines of two random lines. unknown: the lines' words that the model does not know."""

    model: str
    layer: str
    pooling: str
    lines: tuple[str, ...]
    cosine_NN: np.ndarray
    pairs: tuple[LinePair, ...]
    random_mean: float
    random_low: float
    random_high: float
    unknown: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The most and the least similar pair, beside random lines, and which words are unknown."""
        compared = [pair for pair in self.pairs if pair.cosine is not None]
        if not compared:
            return f"{self.model}: no two of these lines have vectors other than zero."
        said = f"{self.model}: most alike are {self._written(compared[0])}"
        if len(compared) > 1:
            said += f"; least, {self._written(compared[-1])}"
        said += (
            f". Two lines drawn at random have {self.random_mean:.2f} on average, and nine of ten "
            f"pairs of them {self.random_low:.2f} to {self.random_high:.2f}: only a cosine above "
            "that says that two lines are alike to the model."
        )
        if self.unknown:
            these = "This word is" if len(self.unknown) == 1 else "These words are"
            said += f" {these} unknown to it, and read as <unk>: {', '.join(self.unknown)}."
        return said

    def _written(self, pair: LinePair) -> str:
        first, second = self.lines[pair.first], self.lines[pair.second]
        return f'"{first}" and "{second}" ({pair.cosine:.2f})'

    def tables(self) -> Sequence[Table]:
        """Return a row for each pair, the most alike first."""
        heads = ("cosine", "above random pairs", "line", "other line")
        rows = []
        for pair in self.pairs:
            share = None if pair.above is None else f"{pair.above:.0%}"
            rows.append((pair.cosine, share, self.lines[pair.first], self.lines[pair.second]))
        title = f"{self.model}: layer {self.layer}, {self.pooling}"
        return [Table(heads, tuple(rows), title)]

    def to_dict(self) -> dict[str, Any]:
        """Return lines, cosines and pairs in JSON's types."""
        pairs = []
        for pair in self.pairs:
            names = {"line": self.lines[pair.first], "other_line": self.lines[pair.second]}
            pairs.append({"cosine": pair.cosine, "above_random": pair.above, **names})
        found: dict[str, Any] = plain(
            {
                "model": self.model,
                "layer": self.layer,
                "pooling": self.pooling,
                "lines": self.lines,
                "cosines": self.cosine_NN,
                "pairs": pairs,
                "random": {
                    "mean": self.random_mean,
                    "low": self.random_low,
                    "high": self.random_high,
                },
                "unknown_words": self.unknown,
            }
        )
        return found

    def figure(self, axes: "Axes | None" = None) -> "Figure":
        """Draw the cosines as a heat map, red where two lines are more alike than two random ones,
        blue where they are less."""
        count = len(self.lines)
        name = plotting.short_name(self.model, 16)
        chance = plotting.with_minus(f"{self.random_mean:.2f}")
        title = f"Cosines of lines by {name}; red: more alike than random lines ({chance})"
        height = max(3.0, min(1.4 + 0.36 * count, 10))
        label = "number of the other line"
        figure, panel = plotting.new_figure(title, label, "", height=height, axes=axes)
        numbers = [str(number) for number in range(1, count + 1)]
        names = []
        for number, line in enumerate(self.lines, start=1):
            names.append(f"{number}. {_shortened(line)}")
        with_numbers = count <= WITH_NUMBERS
        # Cosines of one model may all lie close to 1: random lines have the colour in the middle.
        lowest = 2 * self.random_mean - 1 if np.isfinite(self.random_mean) else -1.0
        draw_heat_map(
            panel, self.cosine_NN, numbers, names, "RdBu_r", lowest, 1, "cosine",
            most=MOST_ACROSS, most_down=MOST_DOWN, upright=True,
            numbers=".2f" if with_numbers else "", longest=LONGEST_SHOWN + 6,
        )  # fmt: skip
        return figure


def _shortened(line: str) -> str:
    shown = visible(line)
    if len(shown) > LONGEST_SHOWN:
        shown = shown[: LONGEST_SHOWN - 1] + "\u2026"
    return shown


def inspect_line_similarity(
    model: Model = SHIPPED, lines: str | Path | Sequence[str] = "-", *,
    pooling: Pooling | None = None, layer: str | int | None = None, text: Source | None = None,
) -> LineSimilarity:  # fmt: skip
    """Compare every two of some lines by the cosine of their vectors, which are those of
    :func:`rnnlm.embed`.

    model: a network of any task, or its name. lines: a file with one a line, or a list of them.
    pooling, layer: as in :class:`rnnlm.EmbeddingSettings`. text: whose lines, drawn at random, show
    which cosines mean nothing; None: the test split of the bundled English.

    Raises:
        TextError: the file or the text cannot be read, holds `<s>` or `</s>`, or has too few or too
            many lines. UsageError: the model has no such vectors. ModelError: there is no such
            model.
    """
    if isinstance(lines, str | Path):
        read = read_lines(lines)
    else:
        read = _enough(several(lines, "lines"), "the list")
    [found] = subjects("similarity", (model,))
    embedder = Embedder(found.model, EmbeddingSettings(pooling, layer))
    cosine_NN = cosines(_vectors(embedder, read))
    random_N = np.sort(_random_cosines(embedder, text))

    # Every two lines, the most alike first.
    pairs = []
    for first, second in itertools.combinations(range(len(read)), 2):
        cosine = float(cosine_NN[first, second])
        if np.isfinite(cosine):
            above = float(np.searchsorted(random_N, cosine)) / max(len(random_N), 1)
            pairs.append(LinePair(first, second, cosine, above))
        else:
            pairs.append(LinePair(first, second, None, None))
    pairs.sort(key=lambda pair: -2.0 if pair.cosine is None else pair.cosine, reverse=True)

    if not len(random_N):
        random_N = np.array([np.nan])
    low, high = np.quantile(random_N, (0.05, 0.95)).tolist()
    return LineSimilarity(
        found.name, embedder.layer, embedder.pooling, tuple(read), cosine_NN, tuple(pairs),
        float(random_N.mean()), low, high, tuple(unknown_words(embedder.reader, read)),
    )  # fmt: skip
