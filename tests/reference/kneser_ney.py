"""Perplexity of interpolated modified Kneser-Ney n-grams on the bundled corpus, by dictionaries: slow and plain.

The yardstick for the demo recipe, on the same tokens as `rnnlm train`: lower-cased, punctuation split, every line
scored with its </s>, unknown words left out of sum and count. Run once: python tests/reference/kneser_ney.py
Formulas: Chen & Goodman 1999, section 3; Heafield et al. 2013, section 2. Sentences are padded with one <s>.
"""

import math
import sys
from collections import Counter, defaultdict

from rnnlm import corpora
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus
from rnnlm.text.tokenizers import TokenizerSettings

BEGIN = -1  # <s>, context only


def sentences(corpus: Corpus, tokenizer) -> list[tuple[list[int], set[int]]]:
    """(ids with </s>, positions of unknown words) of each line."""
    result = []
    for block in corpus.blocks():
        encoded = tokenizer.encode(block.lines)
        oov = set(encoded.oov.tolist())
        for start, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True):
            result.append((encoded.ids[start:end].tolist(), {at - start for at in oov & set(range(start, end))}))
    return result


class KneserNey:
    """Interpolated modified Kneser-Ney of any order, unpruned."""

    def __init__(self, lines: list[list[int]], order: int, vocabulary_size: int) -> None:
        self.order, self.size = order, vocabulary_size
        raw = [Counter() for _ in range(order + 1)]
        for line in lines:
            words = [BEGIN, *line]
            for n in range(1, order + 1):
                raw[n].update(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        self.levels = [None, *(self._level(self._adjusted(raw, n)) for n in range(1, order + 1))]

    def _adjusted(self, raw: list[Counter], n: int) -> dict[tuple, int]:
        """Raw counts at the highest order or after <s>; elsewhere the number of different words to the left."""
        if n == self.order:
            return {gram: count for gram, count in raw[n].items() if gram != (BEGIN,)}
        lefts = Counter(gram[1:] for gram in raw[n + 1])
        return {g: raw[n][g] if g[0] == BEGIN else lefts[g] for g in raw[n] if g != (BEGIN,)}

    def _level(self, counts: dict[tuple, int]) -> tuple:
        t = Counter(min(count, 5) for count in counts.values())
        y = t[1] / (t[1] + 2 * t[2])
        discounts = [0.0, *(j - (j + 1) * y * t[j + 1] / t[j] for j in (1, 2, 3))]
        totals, saved = defaultdict(int), defaultdict(float)
        for gram, count in counts.items():
            totals[gram[:-1]] += count
            saved[gram[:-1]] += discounts[min(count, 3)]
        return counts, discounts, totals, saved

    def probability(self, context: tuple, word: int) -> float:
        context = context[-(self.order - 1) :] if self.order > 1 else ()
        p = 1 / self.size
        for n in range(1, len(context) + 2):
            history = context[len(context) - n + 1 :]
            counts, discounts, totals, saved = self.levels[n]
            if history not in totals:
                break
            count = counts.get((*history, word), 0)
            p = (count - discounts[min(count, 3)] + saved[history] * p) / totals[history]
        return p


def perplexity(model: KneserNey, lines: list[tuple[list[int], set[int]]]) -> float:
    total, tokens = 0.0, 0
    for ids, oov in lines:
        words = (BEGIN, *ids)
        for at, word in enumerate(ids):
            if at not in oov:
                total += math.log(model.probability(words[: at + 1], word))
                tokens += 1
    return math.exp(-total / tokens)


def main() -> None:
    text = {part: Corpus((str(corpora.part("english", part)),)) for part in ("train", "test")}
    tokenizer = tokenizers.train(TokenizerSettings(lowercase=True, split_punctuation=True), text["train"].blocks())
    train = [ids for ids, _ in sentences(text["train"], tokenizer)]
    test = sentences(text["test"], tokenizer)
    for order in (2, 3, 5):
        ppl = perplexity(KneserNey(train, order, tokenizer.size), test)
        sys.stdout.write(f"{order}-gram: test perplexity without unknown words {ppl:.2f} (V = {tokenizer.size})\n")


if __name__ == "__main__":
    main()
