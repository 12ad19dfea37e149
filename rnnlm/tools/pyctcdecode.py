"""Wrap a language model of any kind for the CTC beam search of pyctcdecode: n-grams, networks,
mixtures, models that adapt themselves.

    decoder = BeamSearchDecoderCTC(Alphabet.build_alphabet(labels),
    rnnlm.tools.pyctcdecode.LanguageModel("demo"))

On an ARPA file, beams and scores are the same as with pyctcdecode's own class, which needs KenLM. A
network is called once for each beam that the search extends. Importing this module needs the
package pyctcdecode (the extra of that name).
"""

import json
import math
from bisect import bisect_left
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from rnnlm.errors import ModelError, SettingsError, require_package
from rnnlm.interface import BOUNDARY, UNKNOWN, LanguageModel as AnyModel
from rnnlm.lm.ngram.arpa.writing import export_arpa
from rnnlm.storage.files import outputs
from rnnlm.tools import kenlm

package: Any = require_package("pyctcdecode.language_model", "pyctcdecode", "CTC beam searches")
constants: Any = require_package("pyctcdecode.constants", "pyctcdecode", "CTC beam searches")

NATS_PER_LOG10 = math.log(10)
# File names that pyctcdecode uses.
ARPA_FILE, SETTINGS_FILE, WORDS_FILE = "model.arpa", "attrs.json", "unigrams.txt"


class LanguageModel(package.AbstractLanguageModel):
    """A language model for a beam search.

    unigrams: the known words; all others get `unk_score_offset` added. By default the words of the
    model's vocabulary, or all words if any word has tokens (characters, bytes, subwords). alpha:
    the weight of the model's log-probability (nats). beta: added for each word. score_boundary: a
    text begins with `<s>` and ends with `</s>`.
    """

    SETTINGS: ClassVar = {
        "alpha": float,
        "beta": float,
        "unk_score_offset": float,
        "score_boundary": bool,
    }

    def __init__(
        self, model: str | Path | AnyModel | kenlm.Model, unigrams: Collection[str] | None = None,
        alpha: float = constants.DEFAULT_ALPHA, beta: float = constants.DEFAULT_BETA,
        unk_score_offset: float = constants.DEFAULT_UNK_LOGP_OFFSET,
        score_boundary: bool = constants.DEFAULT_SCORE_LM_BOUNDARY,
    ) -> None:  # fmt: skip
        """Use `model`: a model, the path of an ARPA file, or a model of rnnlm by folder or name.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        if isinstance(model, str | Path):
            self.model = kenlm.Model(model)
        else:
            self.model = model if isinstance(model, kenlm.Model) else kenlm.Model.of(model)

        # The known words. With them the search sees whether a partial word can still become one.
        if unigrams is None and self.model.is_closed:
            unigrams = {*self.model.model.tokenizer.symbols()} - {BOUNDARY, UNKNOWN}
        known = None if unigrams is None else set(filter(self.model.__contains__, unigrams))
        self._unigrams = known
        self._sorted = sorted(self._unigrams or ())

        self.alpha = alpha
        self.beta = beta
        self.unk_score_offset = unk_score_offset
        self.score_boundary = score_boundary

    @property
    def order(self) -> int:
        """The order of the n-gram model. The search merges beams whose last `order` - 1 words are
        the same; with a network, only beams that agree in all words."""
        return self.model.order

    def reset_params(self, **params: Any) -> None:
        """Change alpha, beta, unk_score_offset or score_boundary; None keeps the value.

        Raises:
            SettingsError: one is of the wrong type.
        """
        for name, kind in self.SETTINGS.items():
            value = params.get(name)
            if not isinstance(value, kind | None):
                raise SettingsError(
                    f"{name} = {value!r} is not valid", f"it is not a {kind.__name__}"
                )
            if value is not None:
                setattr(self, name, value)

    def get_start_state(self) -> kenlm.State:
        """Return the state before the first word."""
        state = kenlm.State()
        if self.score_boundary:
            self.model.BeginSentenceWrite(state)
        else:
            self.model.NullContextWrite(state)
        return state

    def score_partial_token(self, partial_token: str) -> float:
        """Return the score of an incomplete word: 0, or a penalty that grows with its length if no
        known word begins with it."""
        place = bisect_left(self._sorted, partial_token)
        begins_a_word = any(
            word.startswith(partial_token) for word in self._sorted[place : place + 1]
        )
        if self._unigrams is None or begins_a_word:
            return 0.0
        return self.unk_score_offset * max(1.0, len(partial_token) / constants.AVG_TOKEN_LEN)

    def score(
        self, prev_state: kenlm.State, word: str, is_last_word: bool = False
    ) -> tuple[float, kenlm.State]:
        """Return alpha log p(word | prev_state) + beta in nats, and the state after the word. After
        the last word, log p of `</s>` is included."""
        after = kenlm.State()
        answer = self.model.BaseFullScore(prev_state, word, after)
        log10_p = answer.log_prob

        # A word outside the list is penalized even if the model knows it.
        if answer.oov or (self._unigrams and word not in self._unigrams):
            log10_p += self.unk_score_offset
        if is_last_word and self.score_boundary:
            log10_p += self.model.BaseScore(after, BOUNDARY, kenlm.State())
        return self.alpha * log10_p * NATS_PER_LOG10 + self.beta, after

    def save_to_dir(self, filepath: str, unigram_encoding: str | None = None) -> None:
        """Save an n-gram model in pyctcdecode's format, which its own class, with KenLM, reads as
        well as this one.

        Raises:
            UsageError: it is not made of n-grams; pass its folder to a new decoder instead.
            OutputError: the file cannot be written.
        """
        folder = Path(filepath)
        export_arpa(self.model.model, folder / ARPA_FILE, overwrite=True)
        settings = {name: getattr(self, name) for name in self.SETTINGS}
        words = "".join(f"{word}\n" for word in self._sorted)
        outputs.save_file(folder / SETTINGS_FILE, [json.dumps(settings).encode()])
        outputs.save_file(folder / WORDS_FILE, [words.encode(unigram_encoding or "utf-8")])

    @classmethod
    def load_from_dir(cls, filepath: str, unigram_encoding: str | None = None) -> "LanguageModel":
        """Load a model that :meth:`save_to_dir` or pyctcdecode saved, if it is an ARPA file.

        Raises:
            ModelError: a file is missing or damaged.
        """
        try:
            paths = package.LanguageModel.parse_directory_contents(filepath)
            settings = json.loads(Path(paths["json_attrs"]).read_text(encoding="utf-8"))
            words = Path(paths["unigrams"]).read_text(encoding=unigram_encoding or "utf-8")
        except (OSError, ValueError) as error:
            raise ModelError(f"no language model at {filepath}", str(error)) from None

        # Each line ends with a newline, the last one, too.
        made = cls(paths["kenlm"], words.split("\n")[:-1])
        made.reset_params(**settings)
        return made
