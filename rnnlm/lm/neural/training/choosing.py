"""Choose the settings of a network's run that nobody set: by its vocabulary, the size of its text,
its time, and the machine.

Text and time decide on the network, what keeps it from learning the text by heart, the rows of a
batch, and the learning rate. The default recipes are made for the words of a text of some
megabytes. The table :data:`SIZES` and the numbers of :func:`rate_of` were measured;
docs/recipes.md has the runs. Only :func:`choose` and what follows the machine import torch.
"""

import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from rnnlm import registry
from rnnlm.amounts import plural
from rnnlm.choices import THE_MACHINE, THE_TIME, THE_VOCABULARY, options_of, repeatable
from rnnlm.config import AUTO, RECIPE, Budget, ResolvedSettings
from rnnlm.errors import keyword, notice
from rnnlm.events import Fitted, Step
from rnnlm.interface import FittingData
from rnnlm.lm.neural.settings import sizes
from rnnlm.lm.neural.training.settings import OptimizationSettings
from rnnlm.system import bind_device, current_rank, processors
from rnnlm.text.tokenizer_settings import LIMITED
from rnnlm.text.vectors import COUNTED

# Up to so many words or characters, the full softmax costs no more than the sampled one.
FULL_SOFTMAX_SIZE = 2000
# Two threads wait for each other after each product. On two idle cores, a step of fewer
# multiplications is at most 1.3 times as fast with two; where another program needs a core, it is
# up to three times slower.
SMALL_STEP = 150_000_000
# In bf16, a product takes about a fifth of its time in fp32: two threads gain up to 1.15 on idle
# cores for steps below, and cost 1.35 beside a busy program.
SMALL_STEP_IN_BF16 = 10 * SMALL_STEP


def choose(
    kind: registry.Kind, resolved: ResolvedSettings, data: Any, run: registry.RunFacts
) -> tuple[ResolvedSettings, "Forecast | None"]:
    """Return the settings that suit the vocabulary, the size of the text, the time of the run and
    the machine, where nobody set them; and the forecast of what a timed run reads.

    data: FittingData of the kind's task.
    """
    from rnnlm.lm.neural.training import fitting

    train, small = data.train, None
    if not run.is_bundled:  # pages quote results of these corpora
        small = recipe_for(resolved, train.sentences, train.tokens)
    if small is not None:
        resolved = follow_size(small, resolved, data)
    resolved = follow_vocabulary(resolved, data)

    # A resumed run keeps what its time has chosen.
    forecast = None
    if run.is_new:

        def speed_of(sized: ResolvedSettings, seconds: float) -> float:
            suited = follow_machine(kind, sized, data)
            return fitting.tokens_per_second(suited, data, seconds)

        resolved, forecast = follow_budget(
            resolved, data, run, speed_of, is_small=small is not None
        )
    return follow_machine(kind, resolved, data), forecast


def follow_vocabulary(resolved: ResolvedSettings, data: FittingData) -> ResolvedSettings:
    """Return settings with the full softmax, and random word vectors, where the vocabulary is
    small."""
    size = data.tokenizer.size
    if size > FULL_SOFTMAX_SIZE:
        return resolved
    full: dict[str, Any] = {}
    vectors: dict[str, Any] = {}
    if resolved.values.get("loss") == "sampled":
        full = {"loss": "full", "samples": resolved.defaults["samples"]}
    if resolved.values.get("embeddings") == COUNTED:
        vectors = {"embeddings": None}

    # Who sets the number of samples keeps the loss, and no more than that.
    groups = [full | vectors]
    if "samples" not in resolved.free:
        groups = [full, vectors]
    for values in groups:
        resolved = resolved.choose(THE_VOCABULARY, f"{size:,} tokens", values, together=values)
    return resolved


def follow_machine(
    kind: registry.Kind, resolved: ResolvedSettings, data: FittingData
) -> ResolvedSettings:
    """Return settings with the device, the precision and the threads that suit this machine."""
    import torch

    from rnnlm.lm.neural.device import resolve_device, resolve_precision
    from rnnlm.lm.neural.training import fitting

    values = resolved.values
    device = resolve_device(bind_device(values["device"]))
    here = plural(processors(), "processor")
    if device.type == "cuda":
        here = torch.cuda.get_device_name(device)
    chosen: dict[str, Any] = {"device": device.type}
    if values["precision"] == AUTO:
        chosen["precision"] = resolve_precision(AUTO, device)

    # torch has read OMP_NUM_THREADS, but knows no quota of processors.
    chosen["threads"] = fitting.usual_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        chosen["threads"] = min(fitting.usual_threads(), processors())
        is_bf16 = {**values, **chosen}["precision"] == "bf16"
        small = SMALL_STEP_IN_BF16 if is_bf16 else SMALL_STEP
        if step_multiplications(kind, resolved, data) < small:
            chosen["threads"] = 1
    return resolved.choose(THE_MACHINE, here, chosen)


def step_multiplications(
    kind: registry.Kind, resolved: ResolvedSettings, data: FittingData
) -> float:
    """Return how many multiplications the forward pass of a training step has."""
    # The tokens of a step, and the rows of tables of words that each is multiplied by.
    values = resolved.values
    size = words = kind.words_read(data.tokenizer)
    if "bptt_tokens" in values:
        tokens: float = values["batch_rows"] * values["bptt_tokens"]
        if values["loss"] != "full":
            words = min(size, values["samples"])
    else:
        tokens = values["batch_rows"] * data.train.tokens / max(1, data.train.sentences)
        words = 1

    # Vectors and biases are added, not multiplied.
    multiplications = 0
    for _, shape in kind.array_shapes(values, data.tokenizer).values():
        if len(shape) > 1:
            rows = words if shape[0] == size else shape[0]
            multiplications += rows * math.prod(shape[1:])
    return tokens * multiplications


# ---- By the time of a run.

# A rate is the recipe's, times the inverse ratio of the widths, and of the steps where a run has
# fewer than the recipe, to these powers.
POWER_OF_WIDTH, POWER_OF_STEPS, HIGHEST_RATE = 0.5, 0.25, 0.02
# It is also times the ratio of the rows of a step to this power.
POWER_OF_ROWS = 0.5
# It is at most the recipe's rate for one pass over a text, times the same of the widths, the
# inverse ratio of all steps, and the passes where there are more than one, to these powers.
POWER_OF_NEW_STEPS, POWER_OF_PASSES = 0.4, 0.5
# The speed is measured in a hundredth of the time of the run, within these bounds, but in no more
# than a twentieth.
PROBE_SHARE, PROBE_SECONDS, MOST_PROBE_SHARE = 0.01, (3.0, 30.0), 0.05
# After this share of the time, a run that reads so many times fewer or more tokens than foreseen
# says so.
TOLD_AT, FAR_OFF = 0.05, 1.5
# Times the measured time of a step that another program explains; the first steps are slow anyway.
SLOWED, LEAST_STEPS = 1.4, 100
# Settings that are chosen together, or not at all
WIDTHS = ("hidden_size", "embedding_size", "layers", "layer_sizes")
WINDOWS = ("batch_rows", "bptt_tokens", "bptt_lookback", "long_windows")
MEASURED = ("hidden_size", "embedding_size", "batch_rows")  # those for which speeds are measured


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
DROPOUTS = tuple(REGULARISATION[-1][1])
TIMED = (*MEASURED, "long_windows", *DROPOUTS)  # all that a time may choose
# From so many passes on, counted alike, windows are longer towards the end.
LONG_WINDOWS_FROM, LONG_WINDOWS = 6.0, {"long_windows": 0.25}
# Below so many passes over a text of a million tokens, by a network of the usual width, a batch has
# more rows. In more passes, the noise of few rows keeps a network from learning a text by heart; a
# text of half the size, or a network of twice the width, needs it after half the passes.
MORE_ROWS_BELOW = 20.0
# The next number of rows is taken if it makes training faster by this factor.
MORE_ROWS, LEAST_GAIN = (32, 48, 64, 96), 1.1


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


@dataclass(frozen=True)
class Forecast:
    """The forecast of what a run reads in its time.

    Attributes:
        tokens: Number of tokens that its network is to read.
        text_tokens: Number of tokens of its text.
        chosen: Values of all that time may choose, by name.
        choose: Function that returns these for so many times the speed.
        speed: Number of tokens that its network read in a second when it was measured.
    """

    tokens: float
    text_tokens: int
    chosen: Mapping[str, Any]
    choose: Callable[[float], Mapping[str, Any]]
    speed: float

    @property
    def passes(self) -> float:
        """How many times it reads its text."""
        return self.tokens / self.text_tokens

    @property
    def why(self) -> str:
        """The reason of what was chosen for it."""
        return f"{_rounded(self.tokens)} tokens, {self.passes:.2g} times the text"

    def tell_if_far_off(self, step: Step) -> bool:
        """Send a notice if a run that has come to `step` reads far fewer, or far more, tokens than
        foreseen. Return False where it is too early to tell."""
        if step.progress < TOLD_AT:
            return False
        tokens = step.tokens / step.progress
        ratio = tokens / self.tokens
        if 1 / FAR_OFF <= ratio <= FAR_OFF:
            return True

        values = self.choose(ratio)
        other = [f"{name}={values[name]}" for name in values if values[name] != self.chosen[name]]
        notice(
            f"the run will read about {_rounded(tokens)} tokens in its time, not "
            f"{_rounded(self.tokens)} as foreseen: {', '.join(other) or 'the same network'} would "
            "have been chosen for that"
        )
        return True

    def tell_if_slowed(self, fitted: Fitted, values: Mapping[str, Any]) -> None:
        """Send a notice if the steps of a run with these settings took much longer than those that
        were measured."""
        ratio = fitted.seconds * self.speed / max(1, fitted.tokens)
        if ratio > SLOWED and fitted.steps >= LEAST_STEPS:
            what = f"the steps took {ratio:.1f} times as long as foreseen: another program was busy"
            if values["device"] == "cpu" and values["threads"] != 1:
                what += "; beside it, training is faster with " + keyword("threads", 1)
            notice(what)


def _rounded(tokens: float) -> str:
    return f"{float(f'{tokens:.2g}'):,.0f}"


SpeedOf = Callable[[ResolvedSettings, float], float]


def follow_budget(
    resolved: ResolvedSettings,
    data: FittingData,
    run: registry.RunFacts,
    speed_of: SpeedOf,
    is_small: bool,
) -> tuple[ResolvedSettings, Forecast | None]:
    """Return settings that suit the time of a run, and the learning rate that suits its width and
    steps; and the forecast of what it reads. The speed of training is measured, which takes some
    seconds.

    speed_of: measures in so many seconds how many tokens a network trains on in one. is_small:
    whether the text is a small one: then its recipe has the widths, the windows and the rate, and
    the time decides on dropout.
    """
    if run.rate_steps is None or "bptt_tokens" not in resolved.values:
        return resolved, None
    budget = Budget.parse(resolved.values["budget"])

    # A recipe that somebody names, a network that another starts, the runs of a grid and the ranks
    # of one run keep their size.
    forecast, tokens = None, None
    open_groups = () if is_small else (WIDTHS, WINDOWS)
    if budget.seconds and run.is_alone:
        resolved = _with_what_was_open(resolved, open_groups)
    if budget.seconds and run.is_alone and RECIPE in resolved.free:
        resolved, forecast = _sized_for(budget.seconds, resolved, data, speed_of, open_groups)
        tokens = forecast.tokens
    elif budget.epochs:
        tokens = budget.epochs * data.train.tokens
    if not is_small:
        resolved = _follow_steps(resolved, data, run, tokens, forecast)

    # The choice depends on the speed of a moment, so it comes with what makes it again.
    if forecast is not None:
        again = options_of(repeatable(resolved.choices))
        budget_is = f"{resolved.values['budget']} is time for about {_rounded(forecast.tokens)}"
        notice(
            f"{budget_is} tokens here and now, {forecast.passes:.2g} times the text"
            + ("; for the same choice another time: " if again else "")
            + again
        )
    return resolved, forecast


Groups = Sequence[tuple[str, ...]]  # of WIDTHS and WINDOWS, those that a time may choose


def _with_what_was_open(resolved: ResolvedSettings, groups: Groups) -> ResolvedSettings:
    """Put on record that time would choose widths and rows where somebody set what these depend
    on: without that, the run is another one."""
    for group in groups:
        if not resolved.free.issuperset((RECIPE, *group)):
            values = {name: f"chosen by {THE_TIME}" for name in group if name in MEASURED}
            resolved = resolved.choose(THE_TIME, "not measured", values, (RECIPE, *group))
    return resolved


def _follow_steps(
    resolved: ResolvedSettings,
    data: FittingData,
    run: registry.RunFacts,
    tokens: float | None,
    forecast: Forecast | None,
) -> ResolvedSettings:
    """Return settings with the learning rate that suits the width, the rows and the length of a
    run. tokens: that it reads; None: not known. forecast: of a run whose budget is a time."""
    assert run.rate_steps is not None and run.one_pass_rate is not None
    # The rule was measured for layers of one width.
    if "layer_sizes" not in resolved.values or resolved.values["layer_sizes"] is not None:
        return resolved

    # The tokens of the run, or its budget, give its steps and passes. In a time that was not
    # measured, both are unknown: it has the recipe's own rate.
    values, processes = resolved.values, current_rank().count
    tokens_of_step = values["batch_rows"] * values["bptt_tokens"] * processes
    steps = tokens / tokens_of_step if tokens else Budget.parse(values["budget"]).steps
    ratio, passes = 1.0, math.inf
    if steps:
        ratio = steps / run.rate_steps
        passes = steps * tokens_of_step / data.train.tokens

    # It was measured for the recipe's optimizer, too.
    rate = rate_of(
        values, resolved.usual, run.one_pass_rate, ratio=ratio, passes=passes, processes=processes
    )
    by, why = "the length of the run", f"{ratio:.2g} of the usual steps"
    if forecast is not None:
        by, why = THE_TIME, forecast.why
    return resolved.choose(by, why, {"learning_rate": rate}, together=("optimizer",))


def _sized_for(
    seconds: float, resolved: ResolvedSettings, data: FittingData, speed_of: SpeedOf, groups: Groups
) -> tuple[ResolvedSettings, Forecast]:
    """Return the settings of a network that suits so much time, and the forecast of what it
    reads."""
    groups = [group for group in groups if resolved.free.issuperset(group)]
    least, most = PROBE_SECONDS
    probe = min(max(least, min(most, PROBE_SHARE * seconds)), MOST_PROBE_SHARE * seconds)
    measured: dict[tuple[int, int], float] = {}

    def key_of(values: Mapping[str, Any]) -> tuple[int, int]:
        merged = {**resolved.values, **values}
        return merged["hidden_size"], merged["batch_rows"]

    def measure(values: Mapping[str, Any]) -> float:
        """Measure how many tokens a network of these values reads in the time of the run."""
        sized = resolved.with_layer(THE_TIME, values)
        tokens = seconds * speed_of(sized, probe)
        measured[key_of(values)] = tokens
        return tokens

    def recall(values: Mapping[str, Any]) -> float:
        """Return what was measured for these values, or else estimate it by the width."""
        width, rows = key_of(values)
        if (width, rows) in measured:
            return measured[width, rows]
        nearest = min(measured, key=lambda key: abs(math.log(key[0] / width)))
        return measured[nearest] * nearest[0] / width

    def choose_for(ratio: float) -> dict[str, Any]:
        values = _network_for(resolved, data, lambda values: ratio * recall(values), groups)[0]
        return open_values | values

    # All that time decides is on record, what it leaves as it is, too: a run that is given all of
    # it chooses nothing.
    decided = [name for group in (*groups, DROPOUTS) for name in group if name in TIMED]
    open_values = {name: resolved.values[name] for name in decided if name in resolved.values}
    values, tokens = _network_for(resolved, data, measure, groups)
    forecast = Forecast(
        tokens, data.train.tokens, open_values | values, choose_for, tokens / seconds
    )
    needs = {group: (RECIPE, *group) for group in groups} | {DROPOUTS: (RECIPE,)}
    for group, together in needs.items():
        part = {name: forecast.chosen[name] for name in group if name in forecast.chosen}
        resolved = resolved.choose(THE_TIME, forecast.why, part, together, keeps_usual=True)
    return resolved, forecast


def _network_for(
    resolved: ResolvedSettings,
    data: FittingData,
    tokens_of: Callable[[Mapping[str, Any]], float],
    groups: Groups,
) -> tuple[dict[str, Any], float]:
    """Return the values that suit a run, and the tokens that it then reads. tokens_of: returns how
    many a network of some values reads in the time of the run. groups: those to choose."""
    # The speed of the recipe's own network decides on the widths. The chosen one is measured, too:
    # how much faster a narrow network is depends on the machine.
    values: dict[str, Any] = {}
    tokens = tokens_of(values)
    if WIDTHS in groups:
        values = widths_for(tokens, data.train.tokens)
        tokens = tokens_of(values)

    # How often it then reads the text, and whether it does so faster with more rows in a batch,
    # decide on the rows.
    width = values.get("hidden_size", resolved.values["hidden_size"])
    if resolved.values["layer_sizes"]:
        width = max(sizes(resolved.values["layer_sizes"]))
    if WINDOWS in groups and suits_more_rows(tokens, data.train.tokens, width):
        values, tokens = _with_more_rows(values, tokens, tokens_of)

    # The passes with these rows decide on dropout and, for batches of the usual rows, on long
    # windows: with half of the rows, these would take back what more rows gain.
    passes = passes_of(tokens, data.train.tokens, width)
    values |= regularisation_for(passes)
    if WINDOWS in groups and "batch_rows" not in values:
        values |= windows_for(passes)
    return values, tokens


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


# ---- Recipes of small texts, in steps with names: lines, page, pages, chapter.
#
# Defaults and recipes are made for texts with hundreds of steps in an epoch. An epoch of a page of
# text is a single step by them, so the budget is over before anything is learned, a third of what
# is learned is dropped again, and patience ends at the first bump. The recipes of small texts are
# files in the folder `sizes`: each is for texts of fewer than its `batches` of the usual size.

SMALL_TEXTS = ("lines", "page", "pages", "chapter")  # from the smallest on


def recipe_file(name: str) -> str:
    """Return the file of the recipe called `name`."""
    file = resources.files("rnnlm.lm.neural.training") / "sizes" / f"{name}.toml"
    return file.read_text(encoding="utf-8")


@cache
def small_text_recipes() -> dict[str, dict[str, Any]]:
    """Return the recipes of small texts by name, the one of the smallest first."""
    return {name: tomllib.loads(recipe_file(name)) for name in SMALL_TEXTS}


def follow_size(name: str, resolved: ResolvedSettings, data: FittingData) -> ResolvedSettings:
    """Return settings that suit a small text, by the recipe called `name`."""
    usual, given = resolved.usual, resolved.values
    task, model = given.get("task", registry.LANGUAGE_MODEL), given["model"]
    size = dict(small_text_recipes()[name])
    at_most = size.pop("at_most")
    by_heart, new_text = size.pop("by_heart"), size.pop("new_text")

    # A run that validates on its own text learns it by heart. Unknown words, and a rate and widths
    # that suit new text, matter in others.
    of_kind: dict[str, Any] = {}
    widths: dict[str, int] = new_text.get(task, {}).get(model, {})
    if data.valid is None or data.valid.lines_hash == data.train.lines_hash:
        of_kind = by_heart.get(task, {}).get(model, {})
        at_most = at_most | {"unknown_words": by_heart["unknown_words"]}
        widths = {}

    # What a kind of network needs may go beyond the limits.
    limited = {setting: min(limit, usual.get(setting, 0)) for setting, limit in at_most.items()}
    values = limited | size | of_kind | _validations(resolved, data, size)

    # Time and steps that a recipe gives are used up.
    if Budget.parse(usual["budget"]).epochs is None:
        del values["budget"]
    by = f"recipe {name}"
    examples = plural(data.train.sentences, registry.task(task).example)
    why = f"{examples}, {data.train.tokens:,} tokens"
    narrow = {setting: min(limit, usual[setting]) for setting, limit in widths.items()}
    resolved = resolved.choose(by, why, narrow, together=WIDTHS)
    return resolved.choose(by, why, values)


def keep_rare_words(resolved: ResolvedSettings, examples: int) -> ResolvedSettings:
    """Return settings by which words seen once are words, if there are few examples: most of their
    words are, and as unknown ones all would be alike."""
    name = recipe_for(resolved, examples, 0)
    if name is None or resolved.values["tokenizer"] not in LIMITED:
        return resolved
    task = registry.task(resolved.values["task"])
    return resolved.choose(f"recipe {name}", plural(examples, task.example), {"min_count": 1})


def recipe_for(resolved: ResolvedSettings, sentences: int, tokens: int) -> str | None:
    """Return the name of the recipe for a training text of this size; None for a large text."""
    usual = resolved.usual
    if "batch_rows" not in usual:
        return None

    # Batches in one epoch.
    pieces = tokens / usual["bptt_tokens"] if "bptt_tokens" in usual else sentences
    batches = pieces / usual["batch_rows"]
    return next(
        (name for name, size in small_text_recipes().items() if batches < size["batches"]), None
    )


def _validations(
    resolved: ResolvedSettings, data: FittingData, size: dict[str, Any]
) -> dict[str, Any]:
    """Return how often to validate, by which metric, and when a run ends early."""
    usual = resolved.usual
    kept = {name: usual.get(name) for name in ("validate_every_steps", "patience")}
    if data.valid is None:
        return kept | {"criterion": usual.get("criterion")}
    if resolved.make(OptimizationSettings).follows_validations:
        return kept
    if Budget.parse(resolved.values["budget"]).seconds is not None:
        return kept | {"patience": None}

    # Passes over a larger text for validation would take most of the time.
    shares = data.valid.tokens / max(1, data.train.tokens)
    every = math.ceil(size["validate_every_steps"] * max(1, shares))
    is_every_free = "min_validations" in resolved.free
    values: dict[str, Any] = {"validate_every_steps": every if is_every_free else None}
    # Accuracy may be 0 for a while, which is no reason to stop.
    if size.get("criterion", resolved.values.get("criterion", "loss")) != "loss":
        values["patience"] = usual["patience"]
    return values
