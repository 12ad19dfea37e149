"""What came of the runs of a grid, as their folders tell it, and the table of it."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from rnnlm.errors import RnnlmError, notice
from rnnlm.files import tsv
from rnnlm.files.tables import cell_text
from rnnlm.files.writing import replace_file
from rnnlm.models import model_folder
from rnnlm.models.card import FIGURES, OF_PAIRS
from rnnlm.models.metrics_log import fitted
from rnnlm.training.grid_request import Combination

BOUNDS = ("low", "high")  # of an interval
CLEARLY = 1.01  # a perplexity as many times another is not just about the same


@dataclass(frozen=True)
class RunResult:
    """What came of one run. values: its settings of the grid. stopped: how it ended, as :class:`rnnlm.events.Fitted` has it. parameters:
    numbers in the model. step: of the weights that were kept, of `steps`. seconds: of training, with its validations, and tokens read in
    each. ppl: perplexity per token, exact, with its 95 % bootstrap interval over lines; no_oov: without unknown tokens. Figures are None
    where there are none. figures: of another task than language modelling, those of each text by their names, such as valid_f1 or
    valid_bleu; main: the name, without that of the text, of the one that counts, which has an interval."""

    run: str
    folder: str
    values: dict[str, str]
    stopped: str
    parameters: int | None = None
    steps: int | None = None
    step: int | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    valid_ppl: float | None = None
    valid_ppl_low: float | None = None
    valid_ppl_high: float | None = None
    valid_ppl_no_oov: float | None = None
    test_ppl: float | None = None
    test_ppl_low: float | None = None
    test_ppl_high: float | None = None
    test_ppl_no_oov: float | None = None
    valid_signature: str | None = None
    test_signature: str | None = None
    figures: dict[str, float] = field(default_factory=dict)
    main: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it: perplexities, or the figures of a task."""
        shown = dataclasses.asdict(self)
        figures, main = shown.pop("figures"), shown.pop("main")
        return {name: value for name, value in shown.items() if "_ppl" not in name} | figures if main else shown

    def of(self, text: str, part: str = "") -> float | None:
        """The figure that counts on the text called valid or test. part: low or high, a bound of its interval."""
        if self.main is None:
            return getattr(self, f"{text}_ppl{part and '_'}{part}")
        return self.figures.get(f"{text}_{self.main}{part and '_'}{part}")

    def row(self) -> dict[str, Any]:
        """Its row in the table: the settings of the grid have columns of their own, and its folder is named within the grid's."""
        shown = self.to_dict()
        return {"run": shown.pop("run"), **shown.pop("values"), **shown, "folder": Path(self.folder).name}


def read(run: Combination, error: RnnlmError | None = None) -> RunResult:
    """What the folder of `run`, which has ended, tells of it. error: what made it fail.

    Raises:
        ModelError: the model there is damaged.
    """
    folder = run.request.output
    assert folder is not None
    ended = fitted(folder)
    known: dict[str, Any] = {"steps": ended.get("steps"), "seconds": ended.get("seconds"), "stopped": ended.get("stopped", "error")}
    if known["seconds"]:
        known["tokens_per_second"] = ended["tokens"] / known["seconds"]
    if model_folder.is_model(folder):
        manifest = model_folder.read_manifest(folder)
        shapes = model_folder.content(folder, manifest)[2]
        known |= {"step": manifest.step, "parameters": sum(math.prod(shape) for _, shape in shapes.values())}
        for text, result in manifest.results.items():
            if "columns" in result or "main" in result:
                known |= _of_task(text, result, known.setdefault("figures", {}))
                continue
            known |= {f"{text}_signature": result["signature"], f"{text}_ppl": result["ppl_token"]}
            known |= {f"{text}_ppl_{bound}": result.get(f"ppl_token_{bound}") for bound in ("low", "high", "no_oov")}
    return RunResult(run.name, str(folder), run.values, **known)


def _of_task(text: str, result: dict[str, Any], figures: dict[str, float]) -> dict[str, Any]:
    """What a result on a text says of labels, or of what is written, but for its figures, which go into `figures`."""
    columns = result.get("columns", [result])
    prefixes = [f"{each['column']}_" if len(columns) > 1 else "" for each in columns]
    for prefix, each in zip(prefixes, columns, strict=True):
        shown = {name: each.get(name) for name in (*FIGURES, *OF_PAIRS)} | {f"{each['main']}_{bound}": each.get(bound) for bound in BOUNDS}
        figures |= {f"{text}_{prefix}{name}": value for name, value in shown.items() if value is not None}
    return {f"{text}_signature": result["signature"], "main": prefixes[0] + columns[0]["main"]}


def notice_unknown_words(results: Sequence[RunResult]) -> None:
    """Send a notice for each text on which another run is clearly the best without unknown words, which are one, often easy, token."""
    for text, name in (("valid", "validation"), ("test", "test")):
        found = [each for each in results if getattr(each, f"{text}_ppl_no_oov") is not None]
        if len({getattr(each, f"{text}_signature").rpartition("|model:")[0] for each in found}) != 1:
            continue  # other texts or tokenizers: the figures do not compare
        best, known = (min(found, key=attrgetter(f"{text}_ppl{end}")) for end in ("", "_no_oov"))
        low, high = (getattr(each, f"{text}_ppl_no_oov") for each in (known, best))
        if high > CLEARLY * low and getattr(known, f"{text}_ppl") > CLEARLY * getattr(best, f"{text}_ppl"):
            notice(
                f"on the {name} text, {best.run} is the best with its unknown words, {known.run} without them "
                f"({low:,.2f} to {high:,.2f}): only the latter is about words that the models know"
            )


def columns(results: Sequence[RunResult]) -> list[str]:
    """The columns of the table: those of texts that no run was evaluated on are left out."""
    rows = [result.row() for result in results]
    texts = [text for text in ("valid", "test") if all(row[f"{text}_signature"] is None for row in rows)]
    names = dict.fromkeys(name for row in rows for name in row)  # runs that failed have no figures of labels
    if any(result.main for result in results):
        names = {name: None for name in names if "_ppl" not in name}
    return [name for name in names if not name.startswith(tuple(f"{text}_" for text in texts))]


def write_table(path: Path, results: Sequence[RunResult]) -> None:
    """Write the table: a row for each run, figures in full, empty cells where there are none.

    Raises:
        OSError: it cannot be written.
    """
    names = columns(results)
    rows = ([cell_text(result.row().get(name)) for name in names] for result in results)
    replace_file(path, "".join(map(tsv.line, [names, *rows])).encode("utf-8", "backslashreplace"))
