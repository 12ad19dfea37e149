"""Simulated reading times: `python tests/support/simulated_times.py` writes the bundled table.

    rt = 250 ms + a constant of the subject + one of the item and the effects below + noise

Nobody has read these sentences. Each of 12 subjects gets every item in one of its two conditions.
"""

import collections
import csv
import functools
import sys
from pathlib import Path

import numpy as np

import rnnlm
from rnnlm import corpora

COEFFICIENTS = {
    "surprisal_bits": 4.0, "previous_surprisal_bits": 2.0, "previous2_surprisal_bits": 0.0,
    "word_length": 5.0, "log10_frequency": -6.0, "position": -1.0,
}  # fmt: skip
ITEMS, SUBJECTS, SEED = 40, 12, 1
COLUMNS = ("subject", "item", "condition", "word_index", "region", "word", "rt")
REGIONS = ("subject", "between", "verb", "rest")


def stimuli():
    """Return (item, condition, words, place of the verb) of sentences of the corpus."""
    with corpora.part("english", "agreement").open(encoding="utf-8", newline="") as stream:
        rows = [
            row for row in csv.DictReader(stream, delimiter="\t") if row["number"] == "singular"
        ]
    step = len(rows) // ITEMS
    for item, row in enumerate(rows[: ITEMS * step : step], start=1):
        good, bad = row["good"].split(), row["bad"].split()
        pairs = zip(good, bad, strict=True)
        verb = next(place for place, (one, two) in enumerate(pairs) if one != two)
        yield item, "agrees", good, verb
        yield item, "clashes", bad, verb


@functools.cache
def scored(model):
    """Return the rows of the words of each sentence, with their lags, by position."""
    texts = [" ".join(words) for _, _, words, _ in stimuli()]
    scores = model.score_sentences(texts, words=True, measures=("lags",))
    rows_S = [{} for _ in texts]
    for row in scores.to_rows("word"):
        rows_S[row["id"] - 1][row["position"]] = row
    return rows_S


def simulated(model, seed=SEED, coefficients=COEFFICIENTS, noise=60.0, by_word=0.0):
    """Return the rows of a table, with times that a model's surprisals explain. by_word: standard
    deviation of what each word of a sentence adds, for all subjects."""
    of_words = np.random.default_rng([seed, 1])
    hard_words = collections.defaultdict(lambda: of_words.normal(0, by_word))
    random = np.random.default_rng(seed)
    sentences = list(stimuli())
    scores = scored(model)
    pace = random.normal(0, 40, SUBJECTS)
    hard = random.normal(0, 10, ITEMS)
    rows = []
    for subject in range(SUBJECTS):
        for (item, condition, words, verb), cells in zip(sentences, scores, strict=True):
            if (item + subject + (condition == "clashes")) % 2:
                continue
            for place, word in enumerate(words):
                row = {
                    name: 0.0 if value is None else value
                    for name, value in cells[place + 1].items()
                    if name in coefficients or name == "position"
                }
                effects = sum(value * row[name] for name, value in coefficients.items())
                effects += hard_words[item, condition, place]
                rt = 250 + pace[subject] + hard[item - 1] + effects + random.normal(0, noise)
                region = REGIONS[(place > 1) + (place >= verb) + (place > verb)]
                values = (f"s{subject + 1:02}", item, condition, place + 1, region, word, round(rt))
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


if __name__ == "__main__":
    path = Path(sys.argv[1]) if sys.argv[1:] else corpora.part("english", "simulated.tsv")
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(simulated(rnnlm.load("demo")))
