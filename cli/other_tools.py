"""Say what a command or an option of other tools is here: people type first what they know.

Settings that have another name elsewhere are in :data:`rnnlm.config.OTHER_NAMES`.
"""

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
    "pointer.py": "rnnlm tune -m MODEL+cache --on TEXT",
    "sample": "rnnlm generate -m MODEL",
    "sample.py": "rnnlm generate -m MODEL",
    "generate.py": "rnnlm generate -m MODEL",
    "minicons": "rnnlm score SENTENCE --words -m hf:NAME",
    "surprisal": "rnnlm score SENTENCE --words -m hf:NAME",
    "lm_eval": "rnnlm export -m MODEL --hf DIR",
    "lm-eval": "rnnlm export -m MODEL --hf DIR",
    "jiwer": "rnnlm rescore --apply LIST -m MODEL",
    "wer": "rnnlm rescore --apply LIST -m MODEL",
}

OPTIONS = {
    "-text": "TEXT is an argument: rnnlm train TEXT --model ngram",
    "-order": "--order N, of n-gram models",
    "-lm": "-o MODEL where it is written, -m MODEL where it is read",
    "-ppl": "rnnlm eval TEXT -m MODEL",
    "-mix-lm": "rnnlm mix MODEL MODEL --on TEXT",
    "-lambda": "rnnlm mix MODEL MODEL --weights 0.7,0.3",
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
