"""By which vector a word is read: that of its lower-cased form, however it is written."""

import numpy as np
import torch
from torch import Tensor, nn

from rnnlm.interface import Tokenizer


class LowerCasedForms(nn.Module):
    """Ids of words to ids of their forms: of all words of the vocabulary that are the same in lower case, the most frequent one; also of a
    word that the vocabulary lacks, where the tokenizer spells. Specials stay.

    The table is not a weight, and is not stored. It grows with the tokenizer's unseen words, as that of their characters does
    (:class:`rnnlm.neural.embeddings.spelling.SpelledWords`).
    """

    form_V: Tensor

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.specials = {tokenizer.boundary_id, tokenizer.unk_id}
        self.form_of: dict[str, int] = {}
        for id, word in enumerate(tokenizer.symbols()):  # the most frequent come first
            if id not in self.specials:
                self.form_of.setdefault(word.lower(), id)
        self.register_buffer("form_V", torch.from_numpy(np.zeros(0, dtype=np.int64)), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """The ids of the forms, all below V; `<unk>` where no word of the vocabulary is the same in lower case."""
        return self._grown()[ids]

    def _grown(self) -> Tensor:
        """The table with a place for each word that has an id now."""
        form_V = self.form_V
        known = len(form_V)
        if known >= self.tokenizer.input_size:
            return form_V
        new = [self._form(known + place, word) for place, word in enumerate(self.tokenizer.spellings(known))]
        grown_V = torch.cat([form_V, torch.from_numpy(np.array(new, dtype=np.int64)).to(form_V.device, non_blocking=True)])
        self.form_V = grown_V
        return grown_V

    def _form(self, id: int, word: str) -> int:
        if id in self.specials:
            return id
        unknown = self.tokenizer.boundary_id if self.tokenizer.unk_id is None else self.tokenizer.unk_id
        return self.form_of.get(word.lower(), unknown)
