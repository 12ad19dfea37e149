"""King - man + woman: an analogy as arithmetic on word vectors, 3CosAdd (Mikolov, Yih & Zweig 2013; Levy & Goldberg 2014, equation 3)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.inspection.result import Table
from rnnlm.inspection.subjects import Model
from rnnlm.inspection.word_vectors.neighbours import Neighbour, draw_cosines
from rnnlm.inspection.word_vectors.vocabulary import described, vectors_of
from rnnlm.models.loading import SHIPPED
from rnnlm.vectors.word_vectors import Which, WordVectors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Analogy:
    """The words nearest to a - b + c. answers: without the three words themselves. unfiltered: what would come first with them."""

    source: str
    a: str
    b: str
    c: str
    answers: tuple[Neighbour, ...]
    unfiltered: Neighbour

    @property
    def verdict(self) -> str:
        """The first answer, and what it would be if none of the three words were left out."""
        first, *others = self.answers
        ahead = f', ahead of "{others[0].word}" ({others[0].cosine:.2f})' if others else ""
        said = f'{self.a} - {self.b} + {self.c} is nearest to "{first.word}" (cosine {first.cosine:.2f}){ahead}'
        if self.unfiltered.word == first.word:
            return f"{said}; no question word is nearer."
        return (
            f'{said}, once the three words of the question are left out: "{self.unfiltered.word}" is nearer ({self.unfiltered.cosine:.2f}).'
        )

    def tables(self) -> Sequence[Table]:
        """The answers, the best first."""
        rows = tuple((rank, each.word, each.cosine) for rank, each in enumerate(self.answers, start=1))
        return [Table(("rank", "word", "cosine"), rows, f"{self.a} - {self.b} + {self.c}; {self.source}")]

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON's types."""
        return dataclasses.asdict(self)

    def figure(self) -> "Figure":
        """Bars of the cosines of the answers."""
        title = f"{self.a} - {self.b} + {self.c}"
        figure, axes = plotting.new_figure(title, "cosine", "", height=1 + 0.25 * len(self.answers))
        draw_cosines(axes, self.answers)
        return figure


def inspect_analogy(
    model: Model | WordVectors = SHIPPED, words: Sequence[str] = (), *, which: Which = "input",
    count: int = 10,
) -> Analogy:  # fmt: skip
    """The `count` words nearest to a - b + c, (a, b, c) being `words`, each vector at length 1; the three are no answers. model and which
    as for :func:`rnnlm.inspect_neighbours`.

    Raises:
        UsageError: there are not three words, one has no vector, or the model has no such vectors. ModelError: there is no such model.
    """
    known = vectors_of("analogy", model, which)
    if len(words) != 3 or count < 1:
        raise UsageError(f"an analogy needs three words, not {len(words)}", "A B C asks for A - B + C", "for instance: king man woman")
    a, b, c = (known.number(word) for word in words)
    target_E = known.unit_VE[a] - known.unit_VE[b] + known.unit_VE[c]
    answers = tuple(Neighbour(*each) for each in known.nearest(target_E, count, [a, b, c]))
    if not answers:
        raise UsageError(f"{known.source}: there are no other words")
    return Analogy(described(known), words[0], words[1], words[2], answers, Neighbour(*known.nearest(target_E, 1)[0]))
