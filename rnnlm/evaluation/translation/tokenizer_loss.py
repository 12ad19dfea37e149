"""What a tokenizer loses: references encoded and decoded again, measured against themselves.

A model writes nothing that its tokenizer cannot decode to: what is lost here, as unknown words are, no model over this tokenizer can make
good, unless it copies words from the source. BLEU is 100 where nothing is lost that BLEU sees.
"""

import itertools
from collections.abc import Sequence

from rnnlm.evaluation.translation.figures import TranslationFigures, measure
from rnnlm.evaluation.translation.translations import Translations, TranslationSettings
from rnnlm.interface import Tokenizer


def tokenizer_figures(
    tokenizer: Tokenizer, references: Sequence[Sequence[str]], settings: TranslationSettings = TranslationSettings()
) -> TranslationFigures:
    """The figures of every single reference after `encode` and `decode`, against itself; its `is_perfect` says whether anything is lost.

    settings: with `lowercase` where the tokenizer lower-cases, as for the model's own figures.

    Raises:
        UsageError: there is no reference, or the BLEU tokenizer needs a package that is not installed.
    """
    lines = [each for row in references for each in row]
    encoded = tokenizer.encode(lines)
    decoded = [tokenizer.decode(encoded.ids[start : end - 1]) for start, end in itertools.pairwise(encoded.offsets.tolist())]
    return measure(Translations(decoded, [[line] for line in lines], settings))
