"""What a probe found: of each layer how well its vectors tell the labels, beside the controls; and what that means."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rnnlm.evaluation.resampling import Interval
from rnnlm.inference.layer_outputs import FEATURES
from rnnlm.inspection.result import Table, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINED, UNTRAINED = "trained", "untrained"
EMBEDDINGS = "embeddings"


@dataclass(frozen=True)
class LayerProbe:
    """The probe of one layer. network: trained, or untrained with the same settings. layer: "embeddings" (what the network reads),
    "layer 1" and so on, or "features" (what the output layer reads). width: numbers of a vector. l2: the penalty that was chosen.

    accuracy: share of the test items that are labelled right. control_accuracy: the same where each word type has a label drawn at random.
    selectivity: the difference. These two are None for labels of texts.
    """

    network: str
    layer: str
    width: int
    l2: float
    accuracy: Interval
    control_accuracy: float | None
    selectivity: Interval | None


@dataclass(frozen=True)
class ProbeInspection:
    """What the layers of a model know of a label. Accuracies are shares; intervals are 95 %, by resampling test sentences.

    majority: accuracy of the most frequent label alone; by_word: of each word's most frequent label, None for texts. gain: the best
    trained layer's accuracy over that of the embeddings, None where these are best; over_untrained: over the best of the untrained network.
    The best layer is chosen on the same test items, which favours it a little.
    notes: what was left out.
    """

    model: str
    data: str
    column: str
    level: str
    train_items: int
    test_items: int
    labels: int
    majority: float
    by_word: float | None
    probes: tuple[LayerProbe, ...]
    gain: Interval | None
    over_untrained: Interval
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> LayerProbe:
        """The trained layer of the highest accuracy, of equal ones the lowest."""
        return best_of(self.probes, TRAINED)

    @property
    def verdict(self) -> str:
        """Which layer knows most, by how much, and whether the control supports it."""
        best = self.best
        gain = "no layer is better than they are" if self.gain is None else f"{_points(self.gain)} than from the embeddings"
        found = (
            f"{self.column} is predicted best from {_called(best.layer)} of {self.model}: {best.accuracy.estimate:.1%} of the test "
            f"{self.level}s are right ({self.majority:.1%} with the most frequent label alone), {gain}, "
            f"{_points(self.over_untrained)} than from an untrained network"
        )
        return f"{found}; {self._of_control(best)}" if best.selectivity is not None else f"{found}."

    def _of_control(self, best: LayerProbe) -> str:
        chosen = best.selectivity
        assert chosen is not None
        points, of_embeddings = f"the selectivity, {100 * chosen.estimate:.1f} points,", _selectivity(self.probes, EMBEDDINGS)
        if chosen.low <= 0:
            why = "labels drawn at random for each word are learned as well, so it may be the probe that knows them"
            return f"{points} is not clearly above zero ({100 * chosen.low:+.1f} to {100 * chosen.high:+.1f}): {why}."
        if of_embeddings is not None and of_embeddings > chosen.estimate:
            return f"{points} is less than the {100 * of_embeddings:.1f} of the embeddings: part may come from memorised words."
        return f"{points} supports it: labels drawn at random for each word are learned that much less well."

    def tables(self) -> Sequence[Table]:
        """A row for each network and layer, then the baselines."""
        title = (
            f"{self.column} of {self.data}: {self.train_items:,} {self.level}s to learn from, {self.test_items:,} to test, "
            f"{self.labels} labels"
        )
        columns = ("network", "layer", "width", "l2", "accuracy %", "low", "high", "control %", "selectivity",
                   "selectivity low", "selectivity high")  # fmt: skip
        rows = [(each.network, each.layer, each.width, each.l2, *_percent(each.accuracy), _percent_of(each.control_accuracy),
                 *_percent(each.selectivity)) for each in self.probes]  # fmt: skip
        baselines = [("-", "most frequent label", self.majority)]
        baselines += [("-", "most frequent label of the word", self.by_word)] if self.by_word is not None else []
        rows += [(network, layer, None, None, _percent_of(share), *[None] * 6) for network, layer, share in baselines]
        return [Table(columns, tuple(rows), "\n".join((title, *self.notes)))]

    def to_dict(self) -> dict[str, Any]:
        """All figures, accuracies as shares."""
        found: dict[str, Any] = plain(asdict(self))
        return found

    def figure(self) -> "Figure":
        """Accuracy of each layer, trained and untrained, with its control."""
        from rnnlm.evaluation import plotting

        figure, axes = plotting.new_figure(f"{self.column} in {plotting.short_name(self.model)}", "", "accuracy on test data (%)")
        layers = list(dict.fromkeys(each.layer for each in self.probes))
        for network, marker in ((TRAINED, "o"), (UNTRAINED, "s")):
            its = [each for each in self.probes if each.network == network]
            places, shares = [layers.index(each.layer) for each in its], [100 * each.accuracy.estimate for each in its]
            errors = [[100 * abs(each.accuracy.estimate - bound) for each, bound in zip(its, bounds, strict=True)]
                      for bounds in ([each.accuracy.low for each in its], [each.accuracy.high for each in its])]  # fmt: skip
            line = axes.errorbar(places, shares, errors, marker=marker, capsize=3, label=network)
            if self.level == "word":
                controls = [100 * (each.control_accuracy or 0) for each in its]
                axes.plot(places, controls, ":", marker=marker, color=line[0].get_color(), label=f"{network}, control")
        axes.axhline(100 * self.majority, color="0.5", linestyle="--", label="most frequent label")
        axes.set_xticks(range(len(layers)), layers)
        plotting.legend_above(figure, axes)
        return figure


def best_of(probes: Sequence[LayerProbe], network: str) -> LayerProbe:
    """That of the highest accuracy of a network, of equal ones the lowest layer."""
    return max((each for each in probes if each.network == network), key=lambda each: each.accuracy.estimate)


def _called(layer: str) -> str:
    return f"the {layer}" if layer in (EMBEDDINGS, FEATURES) else layer


def _selectivity(probes: Sequence[LayerProbe], layer: str) -> float | None:
    chosen = next((each.selectivity for each in probes if (each.network, each.layer) == (TRAINED, layer)), None)
    return None if chosen is None else chosen.estimate


def _points(difference: Interval) -> str:
    size, bounds = abs(100 * difference.estimate), f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"
    if difference.low <= 0 <= difference.high:
        return f"not clearly {_more(difference)} ({bounds} points)"
    return f"{size:.1f} points {_more(difference)} ({bounds})"


def _more(difference: Interval) -> str:
    return "more" if difference.estimate >= 0 else "less"


def _percent(interval: Interval | None) -> tuple[float | None, ...]:
    return (None,) * 3 if interval is None else tuple(100 * each for each in (interval.estimate, interval.low, interval.high))


def _percent_of(share: float | None) -> float | None:
    return None if share is None else 100 * share
