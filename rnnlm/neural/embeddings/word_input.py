"""What a network reads for each word: its vector, its characters, or both side by side."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.interface import Tokenizer
from rnnlm.neural.embeddings.character_encoders import CharacterCNN, CharacterLSTM
from rnnlm.neural.embeddings.spelling import SpelledWords
from rnnlm.neural.input_settings import InputSettings
from rnnlm.neural.regularization import dropout

WORDS_AT_ONCE = 4096  # what their characters' products take in memory stays below some hundred megabytes
WORDS_OF_A_LENGTH = 128  # are read side by side on a CPU: half to three quarters of the time that 300 words at once take


class WordInput(nn.Module):
    """ids_TB to x_TBE, E being `settings.input_width`: the word's vector, then what its characters say.

    Where words are read as characters the tokenizer is one that spells (`tokenizer.spelling()`). Ids from V on, unseen
    words, have the vector of `<unk>` and characters of their own.
    """

    def __init__(self, settings: InputSettings, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.size, self.unk_id, self.is_shared = tokenizer.size, tokenizer.unk_id, settings.is_tied
        self.dropout = settings.dropout_embedding
        self.embedding = _word_vectors(settings, self.size) if settings.has_word_vectors else None
        self.characters = CharacterInput(settings, tokenizer) if settings.characters else None

    @property
    def weight(self) -> Tensor | None:
        """The word vectors (V, E), for an output layer to share; None where there are none."""
        return None if self.embedding is None else self.embedding.weight

    def forward(self, ids_TB: Tensor, vector_ids_TB: Tensor | None = None) -> Tensor:
        return self._drop_words(self.vectors(ids_TB, vector_ids_TB), ids_TB)

    def vectors(self, ids_TB: Tensor, vector_ids_TB: Tensor | None = None) -> Tensor:
        """The words without dropout. vector_ids_TB: of the vectors that are read, below V; None: the words' own. Characters are the words'
        own all the same."""
        parts = []
        if (weight_VE := self.weight) is not None:
            known_TB = self.known(ids_TB) if vector_ids_TB is None else vector_ids_TB
            parts.append(F.embedding(known_TB, weight_VE, sparse=self._adds_rows(ids_TB)))
        if self.characters is not None:
            parts.append(self.characters(ids_TB))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def _drop_words(self, x_TBE: Tensor, ids_TB: Tensor) -> Tensor:
        """Embedding dropout (Gal & Ghahramani 2016; Merity et al. 2018, section 4.3): rows of the matrix of word vectors, so a
        word that is drawn is zero at all its places in the window. As output weights the word vectors stay whole."""
        if not self.training or self.dropout == 0:
            return x_TBE
        kept_V = dropout(x_TBE.new_ones(self.size), self.dropout, training=True)
        return x_TBE * kept_V[self.known(ids_TB)].unsqueeze(2)

    def _adds_rows(self, ids_TB: Tensor) -> bool:
        """Whether the gradient is of the rows read alone: where the output layer shares the word vectors, its own gradient is
        there already, and on a CPU rows are added to it in place, which spares an array of zeros of that size."""
        return self.is_shared and ids_TB.device.type == "cpu"

    def known(self, ids: Tensor) -> Tensor:
        """`ids` with `<unk>` for unseen words: what they are as targets, and where nothing is spelled."""
        return ids if self.unk_id is None else ids.masked_fill(ids >= self.size, self.unk_id)


class CharacterInput(nn.Module):
    """ids_TB to what the words' characters say."""

    def __init__(self, settings: InputSettings, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.spelled = SpelledWords(tokenizer)
        reader = CharacterCNN if settings.characters == "cnn" else CharacterLSTM
        self.reader = reader(settings, self.spelled.alphabet.size)

    def forward(self, ids_TB: Tensor) -> Tensor:
        """On a CPU each different word is read once, beside words of about its length. Elsewhere all are read side by side: to
        know how many differ, and how long they are, the host would wait for the device (and the meta device cannot tell)."""
        if ids_TB.device.type == "cpu":
            different_N, at_TB = torch.unique(ids_TB, return_inverse=True)
            y_NE, place_N = self._read_by_length(self.spelled(different_N))
            return F.embedding(place_N[at_TB], y_NE)
        parts = self.spelled(ids_TB.flatten()).split(WORDS_AT_ONCE)
        return torch.cat([self.reader(part_NL) for part_NL in parts]).unflatten(0, ids_TB.shape)

    def _read_by_length(self, characters_NL: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of the words, shorter ones first, and each word's place among them."""
        lengths_N, order_N = (characters_NL >= 0).sum(dim=1).sort()
        parts = zip(order_N.split(WORDS_OF_A_LENGTH), lengths_N.split(WORDS_OF_A_LENGTH), strict=True)
        y_NE = torch.cat([self.reader(characters_NL[words_N, : int(length_N[-1])]) for words_N, length_N in parts])
        return y_NE, order_N.argsort()


def _word_vectors(settings: InputSettings, size: int) -> nn.Embedding:
    """Uniform in [-init_range, init_range]."""
    weight = torch.empty(size, settings.embedding_size).uniform_(-settings.init_range, settings.init_range)
    return nn.Embedding.from_pretrained(weight, freeze=False)  # nn.Embedding's own start imports torch's compiler on meta
