"""Say what a command or an option of other tools is here: people type first what they know.

Satellites add what they have (`elsewhere`). Settings that have another name elsewhere are in
:data:`rnnlm.config.OTHER_NAMES`.
"""

from rnnlm import satellites

# Commands and scripts. Those with the same meaning share a line of docs/other-tools.md.
COMMANDS = {
    "ngram-count": "rnnlm train TEXT --model ngram",
    "lmplz": "rnnlm train TEXT --model ngram",
    "ngram": "rnnlm eval TEXT -m MODEL",
    "query": "rnnlm eval TEXT -m MODEL",
    "perplexity": "rnnlm eval TEXT -m MODEL",
    "ppl": "rnnlm eval TEXT -m MODEL",
    "test": "rnnlm eval TEXT -m MODEL",
    "build_binary": "rnnlm import FILE.arpa -o MODEL",
    "main.py": "rnnlm train TEXT",
    "train.py": "rnnlm train TEXT",
    "finetune.py": "rnnlm train TEXT --init-from MODEL",
    "finetune": "rnnlm train TEXT --init-from MODEL",
    "sample": "rnnlm generate -m MODEL",
    "sample.py": "rnnlm generate -m MODEL",
    "generate.py": "rnnlm generate -m MODEL",
}

OPTIONS = {
    "-text": "TEXT is an argument: rnnlm train TEXT --model ngram",
    "-order": "--order N, of n-gram models",
    "-lm": "-o MODEL where it is written, -m MODEL where it is read",
    "-ppl": "rnnlm eval TEXT -m MODEL",
    "-kndiscount": "--smoothing mkn",
    "-interpolate": "--smoothing mkn, which interpolates",
    "-unk": "leave it out: unknown words are <unk>",
    "-qz": "leave it out: texts ending in .gz, .xz, .bz2 and .zst are read as they are",
    "--arpa": "rnnlm export -m MODEL --arpa FILE",
    "--limit_vocab_file": "--vocab FILE",
    "--discount_fallback": "--discounts lmplz",
    "--data": "TEXT is an argument: rnnlm train TEXT --valid TEXT",
    "--data_dir": "TEXT is an argument: rnnlm train TEXT --valid TEXT",
    "--save": "-o MODEL",
    "--cuda": "--device cuda",
    "--tied": "--set tied=true",
    "--resume": "leave it out: the same command, given again, resumes",
    "--log-interval": "leave it out: progress is shown",
}


def name_here(name: str) -> str:
    """Return what a command or an option of another tool is here; "" if it is unknown."""
    of_satellites = {entry.name: entry.here for entry in satellites.entries("elsewhere")}
    return {**COMMANDS, **OPTIONS, **of_satellites}.get(name, "")
