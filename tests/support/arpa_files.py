"""Small ARPA files and what models make of them, for the tests."""

import math
import random
from pathlib import Path

import pytest

from rnnlm.lm.base import span_scoring
from rnnlm.lm.ngram.arpa import writing
from rnnlm.lm.ngram.arpa.reading import read_arpa
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer
from support import tiny_models

GOLDEN = Path(__file__).parent.parent / "reference" / "data" / "golden"
SMALL = """\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-1\t<unk>
-99\t<s>\t-0.5
-0.5\tb
-0.6\ta\t-0.3
-0.7\t</s>

\\2-grams:
-0.2\t<s> a\t0.05
-0.1\ta b
-0.4\ta </s>

\\3-grams:
-0.05\t<s> a b

\\end\\
"""
WORDS = [f"w{number}" for number in range(9)]


def random_arpa(seed: int, order: int, dropped: float, closed: bool = False) -> str:
    """Return an ARPA file of the n-grams of a few sentences, with random numbers.

    Some backoff weights are missing, and entries are shuffled. A share `dropped` of the n-grams
    below the highest order is left out though longer ones contain them (closed: only those that are
    no context of others). Odd seeds have no `<unk>`.
    """
    chance = random.Random(seed)
    padded = [["<s>", *chance.choices(WORDS, k=chance.randint(1, 9)), "</s>"] for _ in range(15)]
    levels = [[(word,) for word in ["<s>", "</s>", *WORDS, *(["<unk>"] if seed % 2 == 0 else [])]]]
    for n in range(2, order + 1):
        places = [(words, at) for words in padded for at in range(len(words) - n + 1)]
        levels.append(sorted({tuple(words[at : at + n]) for words, at in places}))
    contexts = {gram[:-1] for level in levels for gram in level}
    for n in range(1, order - 1):
        kept = contexts if closed else set()
        levels[n] = [gram for gram in levels[n] if chance.random() >= dropped or gram in kept]
    lines = ["\\data\\", *(f"ngram {n}={len(level)}" for n, level in enumerate(levels, start=1))]
    for n, level in enumerate(levels, start=1):
        lines += ["", f"\\{n}-grams:"]
        for gram in chance.sample(level, len(level)):
            backoff = (
                f"\t{chance.uniform(-1, 0.3):.6f}" if n < order and chance.random() < 0.8 else ""
            )
            # no backing off makes it positive
            log10 = -99 if chance.random() < 0.1 else chance.uniform(-4, -1)
            lines.append(f"{log10:.7g}\t{' '.join(gram)}{backoff}")
    return "\n".join([*lines, "", "\\end\\", ""])


def odd_arpa(seed: int) -> str:
    """Return an ARPA file as programs that filter, convert or repair them leave it: empty orders,
    markers listed twice or not at all, n-grams of no sentence, odd white space and numbers."""
    chance = random.Random(f"odd {seed}")
    order = chance.randint(1, 5)
    whole = random_arpa(seed, order, dropped=chance.choice([0, 0.3, 0.6]))
    parts = whole.removesuffix("\n\n\\end\\\n").split("\n\n")[1:]
    sections = [part.split("\n")[1:] for part in parts]

    # Empty orders: a filter leaves the backoff weights below them.
    emptied = min(chance.choice([0, 0, 1, 2]), order - 1)
    sections[order - emptied :] = [[] for _ in range(emptied)]
    if chance.random() < 0.4:
        sections[-1] = [f"{line}\t{chance.uniform(-1, 0):.5f}" for line in sections[-1]]
        sections += [[] for _ in range(chance.choice([1, 2]))]

    # The markers again, or one of them not at all; n-grams that no sentence holds.
    unigrams = sections[0]
    if chance.random() < 0.3:
        unigrams += [f"{chance.uniform(-2, 0):.5f}\t{word}" for word in ("</s>", "<s>")]
    elif chance.random() < 0.3:
        marker = chance.choice(["</s>", "<s>"])
        unigrams[:] = [line for line in unigrams if line.split()[1] != marker]
        for section in sections[1:]:
            section[:] = [line for line in section if marker not in line.split()]
    elif len(sections) > 1 and sections[1]:
        sections[1] = [*sections[1], "-0.5\tw1 <s>", "-0.25\t</s> w2"]

    # Numbers: zero, infinite, above one, with signs and exponents.
    for section in sections:
        for at in range(len(section)):
            if chance.random() < 0.1:
                number = chance.choice(["-inf", "0", "-0", "+0.125", "-1.5e-2", "-2E0", "inf"])
                section[at] = "\t".join([number, *section[at].split("\t")[1:]])

    header = [f"ngram {n}={len(section)}" for n, section in enumerate(sections, start=1)]
    lines = ["\\data\\", *header]
    for n, section in enumerate(sections, start=1):
        if section or chance.random() < 0.7:
            lines += ["", f"\\{n}-grams:", *section]
    text = "\n".join([*lines, "", "\\end\\", ""])
    if chance.random() < 0.2:
        text = text.replace("<unk>", "<UNK>")
    rewritten = chance.choice(["", "spaces", "lines", "blank", "before"])
    if rewritten == "spaces":
        return text.replace("\t", "  ").replace("\n", " \n")
    if rewritten == "lines":
        return text.replace("\n", "\r\n")
    if rewritten == "blank":
        return text.replace("\n", "\n\t\n\n")
    return f"made by hand\n\n{text}" if rewritten else text


def sentences(seed: int) -> list[str]:
    """Return random sentences, with unknown words among them, and the empty one."""
    chance = random.Random(seed)
    words = [*WORDS, "unheard"]
    return ["", *(" ".join(chance.choices(words, k=chance.randint(1, 12))) for _ in range(40))]


def model_of(path: Path, allow_positive: bool = False) -> NgramModel:
    symbols, levels = read_arpa(str(path), allow_positive=allow_positive)
    tokenizer = WordTokenizer(TokenizerSettings(), Vocabulary(tuple(symbols), None))
    return NgramModel.from_levels(levels, tokenizer, normalised=False)


def word_scores(model: NgramModel, sentence: str) -> list[float]:
    """Return log p (nats) of each word and of `</s>`."""
    ids = model.tokenizer.encode([sentence]).ids
    return span_scoring.score_spans(model, ids, span_scoring.whole_text(ids)).tolist()


def save_pieces(folder: Path, lines: list[str]) -> None:
    """Make en.sp.model, and en.arpa of the pieces of these lines, as CCNet has them."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "en.sp"), vocab_size=400,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "en.sp.model"))
    # A character that is no piece may be a word.
    pieces = [" ".join(processor.encode(line, out_type=str)) for line in [*lines, "\u6f22\u5b57"]]
    writing.export_arpa(tiny_models.fit("ngram", pieces, order=3), folder / "en.arpa")


def kenlm_scores(path: Path, sentences: list[str]) -> list[list[float]]:
    """Return KenLM's scores of sentences: log p (nats) of each word and of `</s>`. Skip the test if
    it is not installed."""
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed; it is compiled from PyPI")
    config = kenlm.Config()
    config.arpa_complain, config.show_progress = kenlm.ARPALoadComplain.NONE, False
    model = kenlm.Model(str(path), config)
    return [
        [score * math.log(10) for score, _, _ in model.full_scores(sentence)]
        for sentence in sentences
    ]
