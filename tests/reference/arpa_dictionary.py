"""An ARPA file as a dictionary, scored as its format says: plain and slow.

log p(w|h) is that of the longest n-gram there is that ends in w, plus the backoff weights of the
contexts given up; what a file does not have weighs nothing, and a missing <unk> or </s> has log10 p
= -100, as in KenLM. Of an n-gram that is listed twice, the first counts; p is not above 1.
"""

import math
from pathlib import Path


class ArpaDictionary:
    def __init__(self, path: Path) -> None:
        self.logprob: dict[tuple[str, ...], float] = {}
        self.logbackoff: dict[tuple[str, ...], float] = {}
        self.order = order = 0
        for line in path.read_text(encoding="utf-8").replace("<UNK>", "<unk>").splitlines():
            fields = line.split()
            if line.startswith("ngram "):
                self.order += 1
            elif line.startswith("\\") and "-grams:" in line:
                order = int(line[1:].split("-")[0])
            elif order and len(fields) > order:
                gram = tuple(fields[1 : order + 1])
                logbackoff = float(fields[order + 1]) if len(fields) > order + 1 else 0.0
                self.logprob.setdefault(gram, min(0.0, float(fields[0])))
                self.logbackoff.setdefault(gram, logbackoff)
        for word in ("<unk>", "</s>"):
            self.logprob.setdefault((word,), -100.0)

    def log10_p(self, word: str, context: tuple[str, ...]) -> float:
        if (*context, word) in self.logprob:
            return self.logprob[*context, word]
        return self.logbackoff.get(context, 0.0) + self.log10_p(word, context[1:])

    def nats(self, sentence: str) -> list[float]:
        """Return log p of each word and of `</s>`."""
        words = [
            "<s>",
            *(word if (word,) in self.logprob else "<unk>" for word in sentence.split()),
            "</s>",
        ]
        contexts = [tuple(words[max(0, at - self.order + 1) : at]) for at in range(1, len(words))]
        return [
            self.log10_p(word, context) * math.log(10)
            for word, context in zip(words[1:], contexts, strict=True)
        ]
