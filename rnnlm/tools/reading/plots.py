"""Figures of an analysis of reading times."""

from collections.abc import Sequence
from dataclasses import astuple

from rnnlm.evaluation import plotting
from rnnlm.tabular import Row
from rnnlm.tools.reading.gains import Coefficient, Gain

MOST_REGIONS = 12  # that are drawn
LAG_NAMES = ("surprisal", "word before", "two before")


def reading_figure(
    found_gains: Sequence[Gain],
    found_coefficients: Sequence[Coefficient],
    means: Sequence[Row],
    unit: str,
    region: str,
) -> "plotting.Figure":
    """Draw the gain of each model over its perplexity, its coefficients of surprisal by lag, and
    the mean time and surprisal of each region and condition. region: what regions are."""
    models = [gain.model for gain in found_gains]
    labels = [
        ("What surprisal adds", "perplexity", "gain (nats per row)"),
        ("Coefficients by lag", "", f"{unit} per bit"),
        ("Times", region, "mean time (ms)"),
        ("Surprisals", region, "mean surprisal (bits)"),
    ]
    figure, (gains, coefficients, times, surprisals) = plotting.new_panels(
        labels, height=7.0, columns=2
    )
    styles = plotting.series_styles(models)

    # Each model that has a perplexity is a point, with its interval.
    points = [(gain.perplexity, gain) for gain in found_gains if gain.perplexity is not None]
    for perplexity, gain in points:
        middle, bars = plotting.with_bars([astuple(gain.gain)[:3]])
        style = styles[gain.model]
        gains.errorbar(
            [perplexity], middle, bars, fmt=style.marker, color=style.colour, capsize=3,
            label=plotting.short_name(gain.model),
        )  # fmt: skip
    gains.axhline(0, color=plotting.REFERENCE, lw=0.8)
    if points:
        plotting.log_x(gains)

    # Surprisal of the word itself, and of those before it.
    for number, model in enumerate(models):
        of_model = [
            found
            for found in found_coefficients
            if found.model == model and found.predictor.endswith("surprisal_bits")
        ]
        places = [found.lag + 0.15 * (number - (len(models) - 1) / 2) for found in of_model]
        intervals = [found.coefficient for found in of_model]
        middle, bars = plotting.with_bars(
            [(each.estimate, each.low, each.high) for each in intervals]
        )
        style = styles[model]
        coefficients.errorbar(places, middle, bars, fmt=style.marker, color=style.colour, capsize=3)
    coefficients.axhline(0, color=plotting.REFERENCE, lw=0.8)
    coefficients.set_xticks(range(len(LAG_NAMES)), LAG_NAMES)

    # A line for each condition; surprisals are those of the first model.
    regions = list(dict.fromkeys(row["region"] for row in means))[:MOST_REGIONS]
    conditions = sorted({str(row["condition"]) for row in means})
    for number, condition in enumerate(conditions):
        rows = [row for row in means if row["condition"] == condition and row["region"] in regions]
        places = [regions.index(row["region"]) for row in rows]
        style = plotting.series_style(number + len(models))
        name = plotting.short_name(condition) if condition else "all conditions"
        for axes, column in ((times, "time"), (surprisals, models[0])):
            heights = [float(row[column] or 0) for row in rows]
            axes.plot(places, heights, marker=style.marker, color=style.colour, label=name)
    for axes in (times, surprisals):
        axes.set_xticks(range(len(regions)), map(plotting.short_name, map(str, regions)))
    if len(models) > 1:
        surprisals.set_title(f"Surprisals by {plotting.short_name(models[0])}")
    plotting.legend_below(figure, gains, times)
    return figure
