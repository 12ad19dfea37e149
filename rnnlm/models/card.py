"""The model card: README.md of a model folder, for people who find the model later."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlm.errors import visible
from rnnlm.files import writing as safe_files
from rnnlm.interface import Tokenizer
from rnnlm.models import registry
from rnnlm.models.manifest import PART_ADAPTATIONS
from rnnlm.models.model_folder import Manifest
from rnnlm.models.registry import summary_table

if TYPE_CHECKING:
    from rnnlm.evaluation.metrics import Evaluation

# Models that a run may start from, by their names in the stored training.
STARTS = ("init_from", "init_from_reversed", "init_encoder_from", "init_decoder_from")
# A larger share of a text's lines than this in the training text: its metrics are not held out.
MUCH_OVERLAP = 0.2


def write(folder: Path, manifest: Manifest, tokenizer: Tokenizer) -> None:
    """Write or replace the card of the model in `folder`."""
    with safe_files.writing(folder):
        card = text(folder.resolve().name, manifest, tokenizer)
        safe_files.replace_file(folder / "README.md", card.encode("utf-8", "backslashreplace"))


def text(name: str, manifest: Manifest, tokenizer: Tokenizer) -> str:
    """Return the card as Markdown."""
    task = registry.task(manifest.task)
    what = task.singular[0].upper() + task.singular[1:]
    lines = [f"# {name}", ""]
    lines += [f"{what} of kind `{manifest.model}`, {_origin(manifest.training)}.", ""]

    # A table of facts, whose header row is empty, then a table of the metrics.
    lines += ["| | |", "|---|---|"]
    lines += [f"| {what} | {value} |" for what, value in facts(manifest, tokenizer)]
    lines += ["", *_numbers(manifest.evaluations)]

    lines += ["## How to use it", "", "```", *commands(task.usage, name, manifest), "```", ""]
    settings = [f"{key} = {_toml(value)}" for key, value in settings_of(manifest).items()]
    lines += ["## Settings", "", "```toml", *settings, "```", ""]
    return "\n".join(map(visible, lines))


def settings_of(manifest: Manifest) -> dict[str, Any]:
    """Return the settings a model was made with. Of one that was imported, or joined of others,
    only its kind, order and tokenizer are known. How the parts of a combination adapt is shown with
    these."""
    if manifest.training.keys() & {"imported_from", "joined"}:
        order = manifest.settings.get("order")
        return {"model": manifest.model, "order": order, **manifest.tokenizer}
    settings = dict(manifest.settings)
    settings.pop(PART_ADAPTATIONS, None)
    # Models that were stored without a prior have the only one that there was.
    if settings.get("smoothing") == "additive":
        settings.setdefault("additive_prior", "lower-order")
    return settings


def _is_reversed(manifest: Manifest) -> bool:
    """Return whether it is a language model that reads each line from its end."""
    return bool(manifest.tokenizer.get("reversed"))


def commands(usage: Sequence[str], name: str, manifest: Manifest) -> Iterator[str]:
    """Yield the lines of `usage` for the model that is called `name`: one that reads lines from
    their end writes no text."""
    for line in usage:
        if not (_is_reversed(manifest) and "generate" in line):
            yield line.format(name=name)


def _origin(training: dict[str, Any]) -> str:
    if "mixed" in training:
        return "mixed with rnnlm"
    if "joined" in training:
        return "joined from n-gram models with rnnlm"
    if "imported_from" in training:
        return f"imported from `{training['imported_from']}`"
    return "trained with rnnlm"


def facts(manifest: Manifest, tokenizer: Any) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of what a model is made of and how. Names of people and files are between
    backticks."""
    # What it was made from: other models, or texts. Of an imported one nothing is known.
    training, task = manifest.training, registry.task(manifest.task)
    if "mixed" in training:
        parts = zip(manifest.parts, training["mixed"], strict=True)
        for number, (part, mixed) in enumerate(parts, start=1):
            text = f"`{mixed['model']}`, weight {mixed['weight']:.4f}"
            text += f", fingerprint `{part.fingerprint}`"
            if "adaptation" in mixed:
                text += f", {mixed['adaptation']}"
            yield f"part {number}", text
        yield "weights", training["weights"]
    elif "joined" in training:
        for number, part in enumerate(training["joined"], start=1):
            text = f"`{part['model']}`, weight {part['weight']:.4f}"
            yield f"part {number}", f"{text}, fingerprint `{part['fingerprint']}`"
        yield "weights", training["weights"]
    elif "imported_from" not in training:
        words, examples = training.get("train_words", 0), training.get("train_sentences", 0)
        names = first_names(training.get("text", []))
        text = f"{names}; {words:,} words, {examples:,} {task.examples}"
        yield "recipe", training.get("recipe") or "-"
        yield "training text", f"{text}, hash `{training.get('train_data', '')}`"
        for name in STARTS:
            if name in training:
                yield name.replace("_", " "), f"`{training[name]}`"
        if "contextual" in training:
            yield "language models beside", first_names(training["contextual"])
        yield "validation", training.get("validation", "none")
        repeated = []
        for name, share in training.get("lines_in_train", {}).items():
            if share > MUCH_OVERLAP:
                repeated.append(f"{name} {share:.0%}")
        if repeated:
            yield "lines in the training text, too", ", ".join(repeated)

    # What it reads and writes.
    yield from task.facts(tokenizer)
    for what, each in task.tokenizers(tokenizer).items():
        yield what, f"{each.name}, V = {each.size:,}, `{each.fingerprint}`"
    if _is_reversed(manifest):
        yield "direction", "reads each line from its end"

    # How it was made.
    if "ngrams" in training:
        yield "n-grams by order", " / ".join(f"{count:,}" for count in training["ngrams"])
    if "pruned" in training:
        yield "pruned", ", ".join(f"{key} {value}" for key, value in training["pruned"].items())
    if "compact" in training:
        yield "compact form", training["compact"]
    if manifest.kind.trains_in_steps:
        yield "step", f"{manifest.step:,}"
    if "seconds" in training:
        yield "seconds", f"{training['seconds']:,}"
    yield "model", f"`{manifest.fingerprint}`"


def _numbers(evaluations: "dict[str, Evaluation]") -> list[str]:
    """Return the metrics of each text, and column of labels, in one table; then their
    signatures."""
    if not evaluations:
        return []
    table = summary_table(evaluations)
    lines = ["## Numbers", "", _row(table.columns), "|---" * len(table.columns) + "|"]
    lines += [*map(_row, table.rows), ""]
    if table.remark:
        lines += [table.remark, ""]
    lines += ["Signatures:", ""]
    for text, its in evaluations.items():
        for of, signature in its.signatures.items():
            lines.append(f"* {', '.join(filter(None, [text, of]))}: `{signature}`")
    return [*lines, ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def first_names(names: list[str]) -> str:
    """Return the first five names, each between backticks, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:5])
    if len(names) > 5:
        shown += f" and {len(names) - 5} more"
    return shown


def _toml(value: object) -> str:
    # JSON and TOML write texts, numbers and truth values alike.
    return json.dumps("none" if value is None else value, ensure_ascii=False)
