"""Print a training run while it lasts: what it begins with, then a line now and then."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from rnnlm import events, registry
from rnnlm.amounts import amount, duration, plural
from rnnlm.choices import THE_VALIDATIONS, said
from rnnlm.config import DEFAULT, Budget
from rnnlm.errors import first_of, keyword, notice
from rnnlm.progress import Progress, say
from rnnlm.text.vectors import COUNTED

if TYPE_CHECKING:
    from rnnlm.training.plan import Plan

PLAIN_SECONDS = 15.0
FIRST_SECONDS = 10.0  # after which the first line says how long the run will take
LONG_SECONDS, TRIAL_SECONDS = 1800.0, 600.0  # a long run, and the one that is offered instead
LONG_END_SECONDS = 60.0  # a long exact evaluation


@contextmanager
def lines_for(kind: registry.Kind, order: int = 1) -> Iterator["PlainDisplay"]:
    """Print the events of a run that trains this kind of model. order: of the n-grams that it
    counts."""
    with Progress() as progress:
        display = CountingDisplay if kind.is_counted else PlainDisplay
        yield display(progress, registry.task(kind.task).reads_lines)


def shown(
    plan: "Plan",
    events_of: Callable[[Callable[[str], None]], Iterable[events.Event]],
    display_for: Callable[[registry.Kind, int], AbstractContextManager[Any]] = lines_for,
) -> Iterator[events.Event]:
    """Announce the training, and pass on the events of a run while they are shown."""
    announce(plan)
    with display_for(plan.kind, plan.resolved.values.get("order", 1)) as display:
        is_said = is_end_said = False
        seconds_before = 0.0
        for event in events_of(display.evaluating):
            display.show(event)
            if isinstance(event, events.Validated) and seconds_before and not is_end_said:
                is_end_said = True
                notice_long_end(plan, event, event.seconds - seconds_before)
            if isinstance(event, events.Step):
                seconds_before = event.seconds
            if isinstance(event, events.Step) and event.seconds >= FIRST_SECONDS and not is_said:
                is_said = True
                notice_long_run(plan, event)
            yield event


def notice_long_run(plan: "Plan", step: events.Step) -> None:
    """Say of a long run that nobody gave a time how long it takes, and what ten minutes read."""
    seconds = seconds_left(step)
    if seconds < LONG_SECONDS or Budget.parse(plan.resolved.values["budget"]).seconds:
        return
    passes = step.tokens_per_second * TRIAL_SECONDS / plan.data.train.tokens
    notice(
        f"the run takes about {duration(step.seconds + seconds)}; "
        + keyword("budget", "10m")
        + f" would read about {passes:.2g} times the text"
    )


def notice_long_end(plan: "Plan", event: events.Validated, seconds: float) -> None:
    """Say of a long exact evaluation, which a budget does not cover, how long it will take.
    seconds: of the first validation, which reads as fast."""
    texts = [text for text in (plan.data.valid, plan.test) if text is not None]
    if not texts:
        return
    of_text = seconds / event.share * sum(text.tokens for text in texts) / texts[0].tokens
    if of_text >= LONG_END_SECONDS:
        notice(f"the exact evaluation at the end takes about {duration(of_text)} more")


def announce(plan: "Plan") -> None:
    """Announce the training, and report the steps before the first one."""
    recipe = f", recipe {plan.recipe}" if plan.recipe else ""
    say(f"training: {plan.kind.name}{recipe}, on {first_of(plan.text_names)}")
    if plan.trained is not None:
        say(f"the run in {plan.output} has already ended: no steps are left")
    announce_counting(plan)
    if plan.data.valid is not None:
        say(f"validation on {plan.valid_is}{_way_to_train_on_all(plan)}")


def _way_to_train_on_all(plan: "Plan") -> str:
    """Say how to hold nothing out, where lines are held out that nobody asked for."""
    if not plan.holds_out or plan.resolved.origins["holdout"] != DEFAULT:
        return ""
    if plan.kind.has_ngrams:
        return "; --holdout 0 counts every line, like lmplz"
    return "; --holdout 0 trains on the whole text"


def announce_counting(plan: "Plan") -> None:
    """Say that a run counts word vectors before its first step, if it does: that takes a while on a
    long text."""
    if not plan.is_resumed and plan.resolved.values.get("embeddings") == COUNTED:
        say("computing word vectors from the training text first")


class PlainDisplay:
    """A line for each validation, and one now and then between them. After ten seconds the first of
    these says how long the run will take.

    loss_is_of_text: the loss is the loss of text, so its exponential is shown as a perplexity.
    evaluating: called with the progress of the exact evaluation.
    """

    def __init__(self, progress: Progress, loss_is_of_text: bool = True) -> None:
        self.progress = progress
        self.evaluating = progress
        self.loss_is_of_text = loss_is_of_text
        self.first_at = math.inf
        self.validated: float | None = None  # the metric of the last validation

    def show(self, event: events.Event) -> None:
        lines = rare_event_lines(event)
        now = self.progress.clock()
        is_silent = now - self.progress.last_line >= PLAIN_SECONDS

        # At the first steps, at validations, and after a silence, there is something to say.
        if isinstance(event, events.Started):
            self.first_at = now + FIRST_SECONDS
        elif isinstance(event, events.Validated):
            name, value = criterion(event)
            shown_value = shown_metric(event, value, [self.validated, event.best])
            line = f"step {event.step:,}: validation {name} {shown_value}"
            if event.best is not None and event.best != value and not math.isnan(value):
                line += f" (best {shown_metric(event, event.best, [value])})"
            line += other_metrics(event)
            if event.share < 1:
                line += f" on {event.share:.0%} of the text"
            lines.append(line)
            self.validated = value
        elif isinstance(event, events.Step) and (is_silent or now >= self.first_at):
            self.first_at = math.inf
            lines.append(
                f"step {event.step:,}, epoch {event.epoch:.2f}: "
                f"{training_metric(event, self.loss_is_of_text)}, "
                f"{event.tokens_per_second:,.0f} tokens/s, {event.progress:.0%} done, "
                f"{duration(seconds_left(event))} left"
            )
        for line in lines:
            self.progress.say(line)


class CountingDisplay(PlainDisplay):
    """How far counting is, if it takes its time, then the estimates."""

    def show(self, event: events.Event) -> None:
        if isinstance(event, events.Started | events.Chosen):
            for line in rare_event_lines(event):
                self.progress.say(line)
        elif isinstance(event, events.Counting):
            seconds = event.seconds_left
            left = "" if seconds is None else f", {duration(seconds)} left"
            self.progress(f"{event.phase}: {event.share:.0%}{left}")
        elif isinstance(event, events.Counted):
            self.progress(f"order {event.order}: {plural(event.ngrams, 'n-gram')}")
        elif isinstance(event, events.Estimated):
            by_order = " / ".join(f"{count:,}" for count in event.ngrams)
            size = amount(event.model_bytes, unit="bytes")
            self.progress.say(f"n-grams by order: {by_order}; {size}")
        elif isinstance(event, events.Validated) and event.ppl_token == math.inf:
            # Without smoothing, one unseen n-gram is enough.
            self.progress.say("validation perplexity is infinite: a token has probability zero")


LOSS = "loss_nats"
MOST_DIGITS = 6  # behind the point


def shown_metric(event: events.Validated, value: float, others: Sequence[float | None] = ()) -> str:
    """Return a perplexity, a loss or a metric from 0 to 100 as it is, a share in percent; with
    enough digits to tell it from the `others`. A dash for the loss of nothing."""
    if math.isnan(value):
        return "-"
    scale, sign = (100, "%") if event.is_share else (1, "")
    digits = 4 if event.criterion == LOSS else 2
    different = [scale * other for other in others if other is not None and other != value]
    text = amount(scale * float(value), digits)
    while digits < MOST_DIGITS and text in [amount(other, digits) for other in different]:
        digits += 1
        text = amount(scale * float(value), digits)
    return text + sign


def other_metrics(event: events.Validated) -> str:
    """Return the measurements of a validation besides its criterion: of labels the loss, or where
    it is the criterion, the shares."""
    loss = event.figures.get(LOSS)
    if event.criterion != LOSS:
        return "" if loss is None else f", loss {loss:.4f}"
    shares = {name: value for name, value in event.figures.items() if name != LOSS}
    return "".join(f", {name} {value:.2%}" for name, value in shares.items())


def criterion(event: events.Validated) -> tuple[str, float]:
    """Return the name and the value of the metric by which the best weights are chosen."""
    shown = {events.PERPLEXITY: "perplexity", LOSS: "loss", "mean": "mean of the label columns"}
    return shown.get(event.criterion, event.criterion), event.figures[event.criterion]


def started_line(event: events.Started) -> str:
    """Return the line that names the model and its texts."""
    line = f"{event.model}: "
    if event.parameters:
        line += f"{event.parameters:,} parameters, "
    line += f"vocabulary {event.vocabulary_size:,}, {plural(event.train_tokens, 'token')}"
    if event.valid_tokens:
        line += f", {event.valid_tokens:,} for validation"
    # N-grams are counted on the CPU.
    if event.parameters:
        line += f", {event.device} {event.precision}"
    if event.processes > 1:
        line += f" in {event.processes} processes"
    return line


def rare_event_lines(event: events.Event) -> list[str]:
    """Return the lines for an event that does not happen at every step; none for others."""
    if isinstance(event, events.Started):
        return [started_line(event)]
    if isinstance(event, events.Chosen):
        lines = said(event.choices)
        if lines and event.choices[0].by != THE_VALIDATIONS:  # which have no setting
            lines[-1] += "; --dry-run lists all, --set NAME=VALUE keeps yours"
        return lines
    if isinstance(event, events.RolledBack):
        several = f"{event.left} more attempts are left"
        attempts = "1 more attempt is left" if event.left == 1 else several
        rate = f"{event.rate_factor:g} times the learning rate"
        return [f"{event.why}; back to step {event.to_step:,} at {rate} ({attempts})"]
    if isinstance(event, events.SaveFailed) and event.failures > 1:
        # The first of several is described, and then that training waits.
        if event.failures > 2 or not event.is_pausing:
            return []
        paused = f"step {event.step:,} could not be saved again: training pauses until it can be"
        return [f"note: {paused}; free some space, or end the run with Ctrl-C"]
    if isinstance(event, events.SaveFailed):
        again = f"training continues and tries again within {event.retry_seconds:.0f} s"
        return [f"note: step {event.step:,} could not be saved: " + event.why + f"; {again}"]
    if isinstance(event, events.Evaluating):
        return [f"saved; now evaluating on {', '.join(event.texts)}"]
    return []


def training_metric(event: events.Step, loss_is_of_text: bool = True) -> str:
    """Return the perplexity since the last report; the loss itself for labels or noise words."""
    if not (event.is_exact and loss_is_of_text):
        return f"loss {event.loss_nats:.3f}"
    is_finite = event.loss_nats < 700  # the largest argument whose exp is a float
    return f"perplexity {math.exp(event.loss_nats) if is_finite else math.inf:.1f}"


def seconds_left(event: events.Step) -> float:
    rest = 1 - event.progress
    return event.seconds * rest / event.progress if event.progress > 0 else 0.0
