"""N-best lists, weights for them, files of counts, lists of words, vectors."""

import gzip
import json
from pathlib import Path

from support.hostile.cases import TINY, Bad, folder
from support.hostile.tables import DEEP_ROW

GOOD = b"u1\tREF\t\tthe man\nu1\t1\t-3.0\tthe man\nu1\t2\t-4.0\tthe men\n"
NBEST = {
    "empty": (b"", "n.tsv is empty"),
    "blank": (b"\n\n\n", "n.tsv is empty"),
    "a text": (b"the man\n", ""),
    "three fields": (b"u1\t1\t-3\n", "n.tsv, line 1: not a line of an n-best list"),
    "no name": (b"\t1\t-3\tthe man\n", "n.tsv, line 1: the utterance has no name"),
    "a rank of words": (b"u1\tone\t-3\tthe man\n", "n.tsv, line 1: 'one' is not a valid rank"),
    "a rank of 30 digits": (b"u1\t" + b"9" * 30 + b"\t-3\tthe man\n", "n.tsv, line 1: '999"),
    "a negative rank": (b"u1\t-1\t-3\tthe man\n", "n.tsv, line 1: '-1' is not a valid rank"),
    "a score of NaN": (b"u1\t1\tnan\tthe man\n", "n.tsv, line 1: the score is nan"),
    "a score of 1e400": (b"u1\t1\t1e400\tthe man\n", "n.tsv, line 1: the score is inf"),
    "no score": (b"u1\t1\t\tthe man\n", "n.tsv, line 1: the score is missing"),
    "a rank twice": (b"u1\t1\t-3\ta\nu1\t1\t-4\tb\n", "n.tsv, line 2"),
    "two references": (b"u1\tREF\t\ta\nu1\tREF\t\tb\nu1\t1\t-4\tb\n", "n.tsv, line 2"),
    "no hypothesis": (b"u1\tREF\t\tthe man\n", "n.tsv holds no hypotheses"),
    "no reference": (b"u1\t1\t-3\tthe man\n", "no utterance has a reference"),
    "invalid UTF-8": (b"u1\t1\t-3\t\xff\n", "n.tsv, line 1, byte 9: not UTF-8"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "n.tsv is in UTF-16, not in UTF-8"),
    "a reserved symbol": (GOOD + b"u2\tREF\t\ta\nu2\t1\t-1\t<s> a\n", "n.tsv, line 5"),
    "JSON cut off": (b'{"utt": "u1", "hypotheses": [', "n.tsv, line 1: not JSON"),
    "JSON without hypotheses": (b'{"utt": "u1"}\n', "n.tsv, line 1: 'hypotheses' is missing"),
    "JSON, hypotheses are no list": (
        b'{"utt": "u1", "hypotheses": 3}\n',
        "n.tsv, line 1: 'hypotheses' is not a list",
    ),
    "JSON, a hypothesis is a number": (
        b'{"utt": "u1", "hypotheses": [3]}\n',
        "n.tsv, line 1, hypothesis 1: not an object",
    ),
    "JSON, a score of true": (
        b'{"utt": "u1", "hypotheses": [{"text": "a", "score": true}]}\n',
        "n.tsv, line 1, hypothesis 1: 'score' is not",
    ),
    "JSON, a score of 1e400": (
        b'{"utt": "u1", "hypotheses": [{"text": "a", "score": 1e400}]}\n',
        "n.tsv, line 1",
    ),
    "JSON, a score of 10000 digits": (
        b'{"utt": "u1", "hypotheses": [{"text": "a", "score": ' + b"9" * 10000 + b"}]}\n",
        "n.tsv, line 1",
    ),
    "JSON, a name of 10000 digits": (
        b'{"utt": ' + b"9" * 10000 + b', "hypotheses": [{"text": "a", "score": 1}]}\n',
        "n.tsv, line 1",
    ),
    "JSON, a nest of arrays": (DEEP_ROW, "n.tsv, line 1: not JSON"),
    "JSON, half a surrogate pair": (
        b'{"utt": "u1", "hypotheses": [{"text": "\\udc00", "score": 1}]}\n',
        "n.tsv, line 1: not JSON",
    ),
}


def weights(**changes):
    """Make a file of weights for the unigram model, with changes."""

    def make(path: Path, models) -> None:
        import rnnlm

        name = rnnlm.load(models["unigram"], "cpu").fingerprint
        whole = {
            "weights": {"lm:unigram": 1.0, "words": 0.0, "oov:unigram": 0.0},
            "models": {"unigram": name},
            "format_version": 1,
        }
        path.write_text(json.dumps({**whole, **changes}))

    return make


WEIGHTS = {
    "empty": (b"", "w.json holds no weights"),
    "no JSON": (b"words = 1", "w.json holds no weights"),
    "an array": (b"[]", "w.json holds no weights"),
    "invalid UTF-8": (b'{"weights": {"\xff": 1}}', "w.json holds no weights"),
    "a nest of arrays": (b"[" * 100_000, "w.json holds no weights"),
    "a nest in what is not read": (
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "w.json holds no weights",
    ),
    "1e400": (
        weights(weights={"lm:unigram": 1.0, "words": float("inf")}),
        "w.json holds no weights",
    ),
    "a text": (weights(weights={"lm:unigram": "1"}), "w.json holds no weights"),
    "a stranger": (
        weights(weights={"lm:unigram": 1.0, "lm:\x1b[31m": 1.0}),
        "w.json holds no weights",
    ),
    "none": (weights(weights={}), "w.json holds no weights"),
    "another model": (
        weights(models={"unigram": "0" * 12}),
        "the weights were tuned for other models",
    ),
    "a newer format": (weights(format_version=2), "w.json holds no weights"),
}
VECTORS = {
    "empty": (b"", "no vectors in v.txt"),
    "binary": (b"3 8\nthe \0\0\x80\x3f", "v.txt is a binary file"),
    "a text": (b"the man was here\n", "v.txt, line 1: 'man' is not a finite number"),
    "another width": (b"the 1 2 3\n", "v.txt, line 1: vectors of width 3"),
    "another width in the header": (b"1 3\nthe 1 2 3\n", "v.txt, line 1: vectors of width 3"),
    "a width of 9 digits": (b"1 999999999\nthe 1\n", "v.txt, line 1: vectors of width 999999999"),
    "10^18 vectors": (b"999999999999999999 8\nthe 1 2 3 4 5 6 7 8\n", "v.txt is cut off"),
    "cut off": (b"the 1 2 3 4 5 6 7 8\nman 1 2 3", "v.txt, line 2: 3 numbers instead of 8"),
    "NaN": (b"the 1 2 3 4 5 6 7 nan\n", "v.txt, line 1: 'nan' is not a finite number"),
    "1e400": (b"the 1 2 3 4 5 6 7 1e400\n", "v.txt, line 1: '1e400' is not a finite number"),
    "1e39": (b"the 1 2 3 4 5 6 7 1e39\n", "v.txt, line 1: '1e39' is not a finite number"),
    "other words": (b"zorp 1 2 3 4 5 6 7 8\n", "v.txt has no vector for any of the"),
    "invalid UTF-8": (b"\xff 1 2 3 4 5 6 7 8\n", "v.txt, line 1, byte 1: not UTF-8"),
    "terminal escapes": (
        b"the 1 2 3 4 5 6 7 \x1b[31m8\n",
        "v.txt, line 1: '\\x1b[31m8' is not a finite number",
    ),
}
RESCORE = "rescore -m {unigram} --tune n.tsv --nbest-output out.tsv"
EMBED = f"train {{text}} --model lstm {TINY} --embeddings v.txt -o out"


ROWS = [
    Bad(f"n-best: {name}", RESCORE, what, {"n.tsv": content})
    for name, (content, what) in NBEST.items()
]
ROWS += [Bad(f"weights: {name}", "rescore -m {unigram} --apply {nbest} --weights w.json", what,
             {"w.json": content})
         for name, (content, what) in WEIGHTS.items()]  # fmt: skip
ROWS += [
    Bad(f"vectors: {name}", EMBED, what, {"v.txt": content}, code=2 if "width" in name else 1)
    for name, (content, what) in VECTORS.items()
]
ROWS += [
    Bad("n-best: missing", RESCORE, "cannot read n.tsv"),
    Bad("n-best: an empty folder", "rescore -m {unigram} --tune n", "", {"n": folder(x=b"")}),
    Bad("n-best: a line without end", "rescore -m {unigram} --tune n.tsv.gz",
        "n.tsv.gz, line 1: longer than",
        {"n.tsv.gz": gzip.compress(b"a" * (1 << 20)) * 160}),
    Bad("n-best: truncated gzip", RESCORE.replace("n.tsv", "n.tsv.gz"), "cannot read n.tsv.gz",
        {"n.tsv.gz": gzip.compress(GOOD)[:-9]}),
    Bad("n-best: references that contradict", f"{RESCORE} --ref r",
        "r, line 1: another reference for 'u1'", {"n.tsv": GOOD,
        "r": b"u1 a dog\n"}),
    Bad("n-best: references that are missing", f"{RESCORE} --ref r", "cannot read r",
        {"n.tsv": GOOD}),
    Bad("n-best: a factor that is none", "rescore -m {unigram} --tune n --scores 1e400*s", "",
          {"n": folder(text=b"u1-1 a\n", s=b"u1-1 3\n", ref=b"u1 a\n")}),
    Bad("n-best: Kaldi, a hypothesis without score", "rescore -m {unigram} --tune n",
        "n/text, line 2",
        {"n": folder(text=b"u1-1 a\nu1-2 b\n", scores=b"u1-1 3\n", ref=b"u1 a\n")}),
    Bad("n-best: Kaldi, a name without number", "rescore -m {unigram} --tune n", "n/text, line 1",
        {"n": folder(text=b"u1 a\n",
        scores=b"u1 3\n")}),
    Bad("n-best: ESPnet, no score", "rescore -m {unigram} --tune n",
        "cannot read n/1best_recog/score",
        {"n": folder(**{"1best_recog__text": b"u1 a\n"})}),
    Bad("n-best: ESPnet, a rank of 400 digits", "rescore -m {unigram} --tune n", "",
        {"n": folder(**{"9" * 200 + "best_recog__text": b"u1 a\n"})}),
    Bad("weights: missing", "rescore -m {unigram} --apply {nbest} --weights w.json",
        "cannot read w.json"),
    Bad("weights: without end", "rescore -m {unigram} --apply {nbest} --weights /dev/zero",
        "/dev/zero holds no weights"),
    Bad("vectors: missing", EMBED, "cannot read v.txt"),
    Bad("vectors: a line without end", EMBED.replace("v.txt", "v.gz"), "v.gz, line 1: longer than",
        {"v.gz": gzip.compress(b"1 " * (1 << 19)) * 160}),
    Bad("vectors: a truncated gzip", EMBED.replace("v.txt", "v.gz"), "cannot read v.gz",
        {"v.gz": gzip.compress(b"the 1 2 3 4 5 6 7 8\n" * 99)[:-9]}),
    Bad("vocabulary: missing", "prune -m {ngram} -o out --vocab words", "cannot read words"),
    Bad("vocabulary: invalid UTF-8", "prune -m {ngram} -o out --vocab words",
        "words, line 1, byte 1: not UTF-8", {"words": b"\xff\n"}),
    Bad("vocabulary: empty", "prune -m {ngram} -o out --vocab words",
        "words has no word that is in the model", {"words": b""}),
    Bad("vocabulary: other words", "prune -m {ngram} -o out --vocab words",
        "words has no word that is in the model", {"words": b"word,count\nzorp,3\n"}),
    Bad("a prompt with a newline", "generate -m {unigram} 'a\nb'",
        "a line holds a newline"),
    Bad("a prompt with </s>", "generate -m {unigram} 'the </s>'",
        "the prompt: the text holds </s>"),
    Bad("a prompt that is not UTF-8", "generate -m {unigram} 'a\udcff'",
        "a beginning is not UTF-8"),
]  # fmt: skip
