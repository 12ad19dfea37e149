"""The model card: README.md of a model folder, for whoever finds the model later."""

import json
from pathlib import Path
from typing import Any

from rnnlm import safe_files
from rnnlm.interface import Tokenizer
from rnnlm.model_folder import Manifest


def write(folder: Path, manifest: Manifest, tokenizer: Tokenizer) -> None:
    """Write or replace the card of the model in `folder`.

    Raises:
        OutputError: it cannot be written.
    """
    with safe_files.writing(folder):
        card = text(folder.resolve().name, manifest, tokenizer)
        safe_files.replace_file(folder / "README.md", card.encode("utf-8", "backslashreplace"))


def text(name: str, manifest: Manifest, tokenizer: Tokenizer) -> str:
    """The card as Markdown."""
    training = manifest.training
    lines = [
        f"# {name}",
        "",
        f"A language model of kind `{manifest.model}`, trained with rnnlm.",
        "",
        "| | |",
        "|---|---|",
        f"| recipe | {training.get('recipe') or '-'} |",
        f"| training text | {_listed(training.get('text', []))}; {training.get('train_words', 0):,} words, "
        f"{training.get('train_sentences', 0):,} lines, hash `{training.get('train_data', '')}` |",
        f"| validation | {training.get('validation', 'none')} |",
        f"| tokenizer | {tokenizer.name}, V = {tokenizer.size:,}, `{tokenizer.fingerprint}` |",
        f"| step | {manifest.step:,} |",
        f"| training time | {training.get('seconds', 0):.0f} s |",
        f"| model | `{manifest.fingerprint}` |",
        "",
        *_results(manifest.results),
        "## How to use it",
        "",
        "```",
        f'rnnlm score -m {name} "it is hard to recognize speech" "it is hard to wreck a nice beach"',
        f"rnnlm eval -m {name} TEXT",
        f"rnnlm generate -m {name}",
        "```",
        "",
        "## Settings",
        "",
        "```toml",
        *(f"{key} = {_toml(value)}" for key, value in manifest.settings.items()),
        "```",
        "",
    ]
    return "\n".join(lines)


def _results(results: dict[str, dict[str, Any]]) -> list[str]:
    if not results:
        return []
    lines = ["## Numbers", "", "| text | tokens | ppl_token | ppl_token_no_oov | ppl_word | OOV words |", "|---|---|---|---|---|---|"]
    for name, result in results.items():
        numbers = " | ".join(_number(result[key]) for key in ("ppl_token", "ppl_token_no_oov", "ppl_word"))
        lines.append(f"| {name} | {result['tokens']:,} | {numbers} | {result['oov_words']:,} |")
    lines += ["", "Signatures:", "", *(f"* {name}: `{result['signature']}`" for name, result in results.items()), ""]
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _toml(value: Any) -> str:
    return json.dumps("none" if value is None else value, ensure_ascii=False)  # what JSON and TOML write alike: texts, numbers, truth values
