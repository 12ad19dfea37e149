"""Set what depends on the vocabulary, on the time that a run has, on the width of its network and
on the rows of a batch, where it is not set.

The default recipes are made for the words of a text of some megabytes. The table :data:`SIZES` and
the numbers of :func:`rate_of` were measured; docs/recipes.md has the runs.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rnnlm.config import Budget, ResolvedSettings
from rnnlm.errors import notice
from rnnlm.lm.neural.settings import sizes
from rnnlm.registry import Kind
from rnnlm.system import current_rank
from rnnlm.text.vectors import COUNTED
from rnnlm.training.recipes import recipe as recipes
from rnnlm.training.request import FittingData, TrainingRequest

# Up to so many words or characters, the full softmax costs no more than the sampled one.
FULL_SOFTMAX_SIZE = 2000
# A rate is the recipe's, times the inverse ratio of the widths, and of the steps where a run has
# fewer than the recipe, to these powers.
POWER_OF_WIDTH, POWER_OF_STEPS, HIGHEST_RATE = 0.5, 0.25, 0.02
# It is also times the ratio of the rows of a step to this power.
POWER_OF_ROWS = 0.5
# It is at most the recipe's rate for one pass over a text, times the same of the widths, the
# inverse ratio of all steps, and the passes where there are more than one, to these powers.
POWER_OF_NEW_STEPS, POWER_OF_PASSES = 0.4, 0.5
PROBE_SECONDS = 3.0
OF_BUDGET = "the time of the run"  # origin of what it chooses
_WIDTHS = ("hidden_size", "embedding_size", "layers", "layer_sizes")
_WINDOWS = ("batch_rows", "bptt_tokens", "bptt_lookback", "long_windows")


@dataclass(frozen=True)
class Size:
    """A row of the table: a network, and the budgets that it is best for.

    Attributes:
        tokens: Least number of tokens that the recipe's own network reads within such a budget.
        hidden_size: Width of its hidden layer.
        embedding_size: Width of its word vectors.
    """

    tokens: float
    hidden_size: int
    embedding_size: int


MILLION = 1e6
USUAL_WIDTH = 512  # of the recipes' networks
SIZES = (
    Size(tokens=0, hidden_size=128, embedding_size=128),
    Size(tokens=0.25e6, hidden_size=256, embedding_size=256),
    Size(tokens=0.65e6, hidden_size=384, embedding_size=256),
    Size(tokens=3.1e6, hidden_size=USUAL_WIDTH, embedding_size=300),
    Size(tokens=3.5e6, hidden_size=640, embedding_size=400),
    Size(tokens=15e6, hidden_size=800, embedding_size=400),
)
# The widest network for a text of a million tokens. A text of a quarter of that has half of it.
WIDEST = 850
# What keeps a network from learning a text by heart, by the least number of passes from which it is
# best: over a text of a million tokens, by a network of the usual width. A text of a quarter of
# that, or a network of twice the width, needs it after half the passes.
REGULARISATION: tuple[tuple[float, dict[str, Any]], ...] = (
    (0.0, {"dropout_input": 0.0, "dropout_output": 0.1}),
    (3.4, {"dropout_input": 0.1, "dropout_output": 0.2}),
    (4.2, {"dropout_input": 0.2, "dropout_output": 0.3}),
    (7.5, {"dropout_input": 0.3, "dropout_output": 0.4}),
    (10.5, {"dropout_input": 0.4, "dropout_output": 0.5}),
    (11.5, {"dropout_input": 0.4, "dropout_output": 0.5, "weight_drop": 0.3}),
    (65.0, {"dropout_input": 0.5, "dropout_output": 0.6, "weight_drop": 0.3}),
)
# From so many passes on, counted alike, windows are longer towards the end.
LONG_WINDOWS_FROM, LONG_WINDOWS = 6.0, {"long_windows": 0.25}
# Below so many passes over a text of a million tokens, by a network of the usual width, a batch has
# more rows. In more passes, the noise of few rows keeps a network from learning a text by heart; a
# text of half the size, or a network of twice the width, needs it after half the passes.
MORE_ROWS_BELOW = 20.0
# The next number of rows is taken if it makes training faster by this factor.
MORE_ROWS, LEAST_GAIN = (32, 48, 64, 96), 1.1
# Every setting that the time of a run may choose.
CHOSEN_BY_TIME = frozenset({"hidden_size", "embedding_size", "batch_rows"}).union(
    LONG_WINDOWS, *(values for _, values in REGULARISATION)
)


def widths_for(tokens: float, text_tokens: int) -> dict[str, Any]:
    """Return the widths of the network that is best where a budget lets the recipe's own network
    read so many tokens of a text of `text_tokens`: the largest one that has the tokens it needs,
    and a text for its width."""
    widest = max(WIDEST * (text_tokens / MILLION) ** 0.5, SIZES[0].hidden_size)
    fitting = [size for size in SIZES if size.hidden_size <= widest and size.tokens <= tokens]
    return {"hidden_size": fitting[-1].hidden_size, "embedding_size": fitting[-1].embedding_size}


def passes_of(tokens: float, text_tokens: int, width: int) -> float:
    """Return the passes over a text of `text_tokens` of a network that reads so many tokens, as the
    usual network would need them for a million tokens. width: of its hidden layer."""
    return tokens / text_tokens / (text_tokens / MILLION) ** 0.5 * width / USUAL_WIDTH


def suits_more_rows(tokens: float, text_tokens: int, width: int) -> bool:
    """Return whether a network that reads so many tokens of a text of `text_tokens` has few enough
    passes for more rows in a batch. width: of its hidden layer."""
    passes = tokens / text_tokens * width / USUAL_WIDTH
    return passes < MORE_ROWS_BELOW * text_tokens / MILLION


def regularisation_for(passes: float) -> dict[str, Any]:
    """Return what best keeps a network from learning a text by heart in so many passes, counted by
    :func:`passes_of`."""
    return [values for least, values in REGULARISATION if least <= passes][-1]


def windows_for(passes: float) -> dict[str, Any]:
    """Return the windows that suit so many passes, counted by :func:`passes_of`."""
    return LONG_WINDOWS if passes >= LONG_WINDOWS_FROM else {}


def rate_of(
    settings: Mapping[str, Any],
    usual: Mapping[str, Any],
    one_pass_rate: float,
    *,
    ratio: float,
    passes: float,
    processes: int = 1,
) -> float:
    """Return the learning rate of a network with these settings.

    With the square root of the rows of a batch, steps of Adam have the same noise (Malladi et al.
    2022, On the SDEs and Scaling Rules for Adaptive Gradient Algorithms). A long run over new text
    needs a lower rate, whatever its rows.

    usual: the recipe's settings. one_pass_rate: the recipe's rate for one pass over a text. ratio:
    steps of the run, relative to the steps that both rates are for. passes: how often the run reads
    its text. processes: how many share a step, each with rows of its own.
    """
    # The usual rate follows the rows, and the steps of a short run.
    row_ratio = settings["batch_rows"] * processes / usual["batch_rows"]
    usual_rate = usual["learning_rate"] * row_ratio**POWER_OF_ROWS
    usual_rate *= min(ratio, 1.0) ** -POWER_OF_STEPS

    # The highest rate for new text follows the steps of every run, and the passes.
    new_text_rate = one_pass_rate * ratio**-POWER_OF_NEW_STEPS
    new_text_rate *= max(passes, 1.0) ** POWER_OF_PASSES

    # Both follow the width.
    width_ratio = settings["hidden_size"] / usual["hidden_size"]
    rate = min(usual_rate, new_text_rate) * width_ratio**-POWER_OF_WIDTH
    return round(min(HIGHEST_RATE, rate), 5)


def follow_vocabulary(resolved: ResolvedSettings, data: FittingData) -> ResolvedSettings:
    """Return settings with the full softmax, and random word vectors, where the vocabulary is
    small."""
    size = data.tokenizer.size
    if size > FULL_SOFTMAX_SIZE:
        return resolved
    values: dict[str, Any] = {}
    if resolved.values.get("loss") == "sampled" and "samples" in resolved.free:
        values = {"loss": "full", "samples": resolved.defaults["samples"]}
    if resolved.values.get("embeddings") == COUNTED:
        values["embeddings"] = None
    if not resolved.free.issuperset(values):
        return resolved
    return resolved.with_layer(f"the vocabulary's size: {size}", values)


def follow_budget(
    request: TrainingRequest, recipe: str, kind: Kind, resolved: ResolvedSettings, data: FittingData
) -> ResolvedSettings:
    """Return settings that suit the time of a run, and the learning rate that suits its width and
    steps. The speed of training is measured, which takes some seconds."""
    base = recipes.load(recipe)
    if base.rate_steps is None or base.one_pass_rate is None:
        return resolved
    if "bptt_tokens" not in resolved.values:
        return resolved
    budget = Budget.parse(resolved.values["budget"])
    processes = current_rank().count

    # A recipe that somebody names, a network that another starts, the runs of a grid and the ranks
    # of one run keep their size.
    is_named = bool(request.recipe or request.from_file or request.init_from)
    is_alone = not request.extra_layers and processes == 1
    tokens = None
    if budget.seconds and is_alone and not is_named:
        resolved, tokens = _sized_for(budget.seconds, kind, resolved, data)
    elif budget.epochs:
        tokens = budget.epochs * data.train.tokens

    # The tokens of the run, or its budget, give its steps and passes. In a time that was not
    # measured, both are unknown: it has the recipe's own rate.
    values = resolved.values
    tokens_of_step = values["batch_rows"] * values["bptt_tokens"] * processes
    steps = tokens / tokens_of_step if tokens else budget.steps
    ratio, passes = 1.0, math.inf
    if steps:
        ratio = steps / base.rate_steps
        passes = steps * tokens_of_step / data.train.tokens

    # The rule was measured for the recipe's optimizer, and layers of one width.
    has_one_width = "layer_sizes" in values and values["layer_sizes"] is None
    if not (has_one_width and resolved.free.issuperset(("optimizer", "learning_rate"))):
        return resolved
    rate = rate_of(
        values, base.settings, base.one_pass_rate, ratio=ratio, passes=passes, processes=processes
    )
    return resolved.with_layer(
        "the width, the rows and the length of the run", {"learning_rate": rate}
    )


def _sized_for(
    seconds: float, kind: Kind, resolved: ResolvedSettings, data: FittingData
) -> tuple[ResolvedSettings, float]:
    """Return the settings of a network that suits so much time, and the tokens that it reads in it.
    A notice says what was chosen."""

    def tokens_of(values: Mapping[str, Any]) -> float:
        """Measure how many tokens a network of these values reads in the time of the run."""
        sized = resolved.with_layer(OF_BUDGET, values)
        return seconds * kind.tokens_per_second(sized, data, min(PROBE_SECONDS, seconds / 20))

    # The speed of the recipe's own network decides on the widths. The chosen one is measured, too:
    # how much faster a narrow network is depends on the machine.
    values: dict[str, Any] = {}
    tokens = tokens_of(values)
    if resolved.free.issuperset(_WIDTHS):
        values = widths_for(tokens, data.train.tokens)
        tokens = tokens_of(values)

    # How often it then reads the text, and whether it does so faster with more rows in a batch,
    # decide on the rows.
    width = values.get("hidden_size", resolved.values["hidden_size"])
    if resolved.values["layer_sizes"]:
        width = max(sizes(resolved.values["layer_sizes"]))
    are_windows_free = resolved.free.issuperset(_WINDOWS)
    if are_windows_free and suits_more_rows(tokens, data.train.tokens, width):
        values, tokens = _with_more_rows(values, tokens, tokens_of)

    # The passes with these rows decide on dropout and, for batches of the usual rows, on long
    # windows: with half of the rows, these would take back what more rows gain.
    passes = passes_of(tokens, data.train.tokens, width)
    values |= regularisation_for(passes)
    if are_windows_free and "batch_rows" not in values:
        values |= windows_for(passes)

    # What somebody sets stays.
    chosen = {name: value for name, value in values.items() if name in resolved.free}
    as_set = ", ".join(f"{name}={value}" for name, value in chosen.items())
    notice(
        f"{resolved.values['budget']} is time for about {float(f'{tokens:.2g}'):,.0f} "
        f"tokens here and now, {tokens / data.train.tokens:.2g} times the text"
        + (f", so: {as_set} (what you set stays)" if chosen else "")
    )
    return resolved.with_layer(OF_BUDGET, chosen), tokens


def _with_more_rows(
    values: dict[str, Any], tokens: float, tokens_of: Callable[[Mapping[str, Any]], float]
) -> tuple[dict[str, Any], float]:
    """Return the values, with as many rows of a batch as still make training faster, and the tokens
    that a network of these reads. tokens: those of `values`; tokens_of: measures others."""
    for rows in MORE_ROWS:
        more = {**values, "batch_rows": rows}
        tokens_of_more = tokens_of(more)
        if tokens_of_more < LEAST_GAIN * tokens:
            break
        values, tokens = more, tokens_of_more
    return values, tokens
