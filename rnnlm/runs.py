"""Train from Python: a run whose events one may follow, or that one waits for."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from rnnlm.config import SettingValue
from rnnlm.errors import TrainingError, UsageError
from rnnlm.events import Event, Finished, never
from rnnlm.tabular import html_table
from rnnlm.text.corpus import Corpus
from rnnlm.training.storing_run import StoringRun

if TYPE_CHECKING:
    from rnnlm.evaluation.learning_curves import LearningCurve
    from rnnlm.evaluation.metrics import Evaluation
    from rnnlm.model import Model
    from rnnlm.text.lines import Progress
    from rnnlm.training.plan import Plan
    from rnnlm.training.run_folder import CompletedRun

Texts: TypeAlias = str | Path | Corpus | Sequence[str | Path | Corpus]

# Arguments of `train` that are not part of the request
_OF_THE_CALL = ("text", "stop", "save", "settings")


def train(
    text: Texts | None = None,
    *,
    model: str | None = None,
    recipe: str | Path | None = None,
    output: str | Path | None = None,
    valid: Texts = (),
    test: Texts = (),
    budget: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    save_every: str | None = None,
    overwrite: bool = False,
    tokenizer_from: str | Path | None = None,
    init_from: str | Path | None = None,
    counts: str | Path | None = None,
    task: str | None = None,
    contextual: Sequence[str | Path] = (),
    target: Texts = (),
    valid_target: Texts = (),
    test_target: Texts = (),
    init_encoder_from: str | Path | None = None,
    init_decoder_from: str | Path | None = None,
    stop: Callable[[], bool] = never,
    save: Callable[[], bool] = never,
    **settings: SettingValue,
) -> "TrainingRun":
    """Prepare a training run. It trains when you call `wait()` or iterate over it.

    The run saves its state on `close()`, on leaving `with rnnlm.train(...) as run:`, when it is
    garbage-collected, for example after `break`, and at once on Ctrl-C. The same call resumes the
    run; once it has ended, the same call returns its model at once.

    Args:
        text: One or more files, or a text in memory (:class:`rnnlm.Corpus`). None: a bundled
            corpus.
        model: Kind of model: "lstm" (the default, or that of `init_from`), "gru", "rnn", "ngram"
            and others.
        recipe: Name of a set of settings, which include the kind. None: the recipe for the kind and
            the task, if there is one.
        output: Folder of the model. None: ./checkpoints/TEXT-KIND.
        valid: Texts to validate on. Empty: hold out a share of the text (`holdout`, by default 5
            %).
        test: Texts to evaluate on at the end. Empty: none.
        budget: How long to train: "10m", "500steps" or "3epochs". None: as in the recipe.
        seed: Random seed. None: as in the recipe.
        device: Where to compute: "cpu", "cuda" and so on. None: as in the recipe, or the best
            available.
        precision: Precision of the computation, such as "bf16". None: as in the recipe, or the best
            available.
        threads: Number of CPU threads. None: as in the recipe, or the best available.
        save_every: Interval between checkpoints: "5m" or "200steps". None: as in the recipe.
        overwrite: Replace the model in `output`.
        tokenizer_from: Model whose tokenizer to use.
        init_from: Model to start from: its kind, weights, sizes and tokenizer.
        counts: For an n-gram model, a folder of counts from `rnnlm count` instead of a text.
        task: "language-model" (the default), "tagging", "classification" or "seq2seq".
        contextual: For taggers and classifiers, language models whose hidden states are additional
            input.
        target: For encoder-decoders, one file of targets for each file of `text`.
        valid_target: For encoder-decoders, one file of targets for each file of `valid`.
        test_target: For encoder-decoders, one file of targets for each file of `test`.
        init_encoder_from: Language model to start the encoder from.
        init_decoder_from: Language model to start the decoder from.
        stop: Callback, asked at every step, that returns whether to end the run.
        save: Callback, asked at every step, that returns whether to save a checkpoint.
        **settings: All other settings, as `rnnlm train --help` lists them: `hidden_size=300`.

    Returns:
        The run, which has not begun.

    Raises:
        RnnlmError: Any subclass, for problems with arguments, text, device or output folder. Errors
            of text, device and folder are raised with the first event.
    """
    # All keywords by name, as they were given.
    given = dict(locals())
    from rnnlm.system import planning_together
    from rnnlm.training.plan import check_request, plan
    from rnnlm.training.resolution import request_of
    from rnnlm.training.run import run

    # The file of a text in memory lasts as long as the text is referenced, which the plan does.
    keywords = _asked(given) | settings
    held = (text, dict(keywords))
    request = request_of(text, keywords)
    check_request(request)

    def planned(held: object = held) -> "Plan | CompletedRun":
        with planning_together():
            return plan(request)

    return TrainingRun(StoringRun(planned, run, stop, save))


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that ask the run for something: the others are left at their usual
    values."""
    keywords = {}
    for name, value in given.items():
        if name in _OF_THE_CALL:
            continue
        is_empty = isinstance(value, tuple) and not value
        if value is not None and value is not False and not is_empty:
            keywords[name] = value
    return keywords


class TrainingRun(Iterator[Event]):
    """A run of :func:`rnnlm.train`. To train, iterate over its events or call `wait()`.

    The run saves its state when it ends, on `close()`, on leaving a `with` block, when it is
    garbage-collected, and at once on Ctrl-C. The same call to `train` then resumes it. An n-gram
    model has no state to save before it is complete.

    Args:
        work: The run as the command line does it: it trains and stores checkpoints.
    """

    _finished: Finished | None = None

    def __init__(self, work: StoringRun) -> None:
        self._work = work
        self._finalizer = weakref.finalize(self, work.drop)

    def __next__(self) -> Event:
        event = self._work.next()
        if isinstance(event, Finished):
            self._finished = event
        return event

    @property
    def folder(self) -> Path | None:
        """The folder that the model is saved in; None before the run has started."""
        return self._work.plan.output if self._work.plan else None

    def close(self) -> None:
        """End the run now and save its state. Do nothing if it has already ended.

        Raises:
            OutputError: the state cannot be written.
        """
        self._work.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and not self._work.is_started:
            self._work.notify_unstarted()
        self.close()

    def wait(self, progress: bool = True) -> "FinishedRun":
        """Train to the end and return the finished run.

        Args:
            progress: Print progress on standard error, as `rnnlm train` does without a terminal.

        Raises:
            RnnlmError: As in iteration.
            TrainingError: The run was closed before its end.
        """
        if progress and self._finished is None:
            from rnnlm.training import printing
            from rnnlm.training.plan import Plan

            plan = self._work.planned()
            if isinstance(plan, Plan):
                for _ in printing.shown(plan, self._with_progress):
                    pass
        for _ in self:
            pass
        return self._end

    def _with_progress(self, progress: "Progress") -> "TrainingRun":
        self._work.progress = progress
        return self

    @property
    def model(self) -> "Model":
        """The best model so far, loaded from the run's folder.

        Raises:
            ModelError: no model is saved yet.
            UsageError: the run has not started.
        """
        from rnnlm.model import load

        return load(self._started_folder())

    @property
    def history(self) -> "LearningCurve":
        """The measurements of the run so far, as a table.

        Raises:
            UsageError: the run has not started.
        """
        from rnnlm.evaluation.learning_curves import learning_curve

        return learning_curve(self._started_folder())

    def _started_folder(self) -> Path:
        if self.folder is None:
            raise UsageError("the run has not started", hint="iterate over it, or call wait()")
        return self.folder

    @property
    def evaluation(self) -> "Evaluation | None":
        """The exact evaluation at the end of the run; None before the end, or if there is none."""
        return self._end.evaluation if self._finished else None

    @property
    def _end(self) -> "FinishedRun":
        if self._finished is None:
            raise TrainingError(
                "the run was closed before its end",
                hint="call train again in the same way to continue",
            )
        return FinishedRun(Path(self._finished.folder), self._finished)

    def __repr__(self) -> str:
        if self._finished is not None:
            return repr(self._end)
        state = "not started" if self.folder is None else f"in {self.folder}"
        return f"<training run {state}>"


@dataclass(frozen=True, repr=False)
class FinishedRun:
    """A run that has ended.

    Attributes:
        folder: The folder of the model.
        finished: The last event, with the `step` of the best weights, the number of `steps`, the
            `seconds`, and the reason why the run `stopped`.
    """

    folder: Path
    finished: Finished = field(repr=False)

    @cached_property
    def model(self) -> "Model":
        """The best model of the run, loaded.

        Raises:
            ModelError: the model is missing or damaged.
        """
        from rnnlm.model import load

        return load(self.folder)

    def __fspath__(self) -> str:
        """Return the folder, so that functions take the run where they take the name of a model or
        of a run."""
        return str(self.folder)

    @cached_property
    def evaluations(self) -> "Mapping[str, Evaluation]":
        """The exact evaluations at the end, under the names "valid" and "test"."""
        from rnnlm.evaluation.metrics import stored_evaluations
        from rnnlm.storage.manifest import read_manifest

        return stored_evaluations(read_manifest(self.folder))

    @property
    def evaluation(self) -> "Evaluation | None":
        """The evaluation on the test text, or on the validation text if there is no test text."""
        evaluations = self.evaluations
        return evaluations.get("test") or evaluations.get("valid")

    @property
    def history(self) -> "LearningCurve":
        """The validations of the run and its training losses, as a table."""
        from rnnlm.evaluation.learning_curves import learning_curve

        return learning_curve(self.folder)

    def __repr__(self) -> str:
        # Counting is one step.
        steps = f"{self.finished.steps:,} steps, " if self.finished.steps > 1 else ""
        return f"<training run {self.folder}: {steps}{self.finished.seconds:.1f} s>"

    def _repr_html_(self) -> str:
        facts = [
            (f"{text}: {metric.label}", metric.with_unit())
            for text, evaluation in self.evaluations.items()
            for metric in evaluation.mains
        ]
        return html_table(repr(self).strip("<>"), (), facts)
