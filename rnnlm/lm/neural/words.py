"""The input of a network: word vectors, characters, pretrained vectors."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.errors import UsageError
from rnnlm.interface import Tokenizer
from rnnlm.lm.neural.alphabet import PADDING, Alphabet
from rnnlm.lm.neural.initialisation import initialise
from rnnlm.lm.neural.layers.kernels.choice import lstm
from rnnlm.lm.neural.layers.layers import RowReader, dropout
from rnnlm.lm.neural.outputs.softmax import OutputLayer
from rnnlm.lm.neural.settings import InputSettings, sizes
from rnnlm.text.encoding import EncodedText
from rnnlm.text.vectors import FoundVectors, svd_vectors

# ---- A word's vector from its characters: convolutions with highway layers (Kim et al. 2016), or
# an LSTM from both ends (Ling et al. 2015; Lample et al. 2016).
#
# Both read characters_NL, a row of character numbers a word, -1 after its end; a word's vector does
# not depend on how much of that there is. Shapes: N words, L characters, C width of the character
# vectors, P places of a filter, F filters.


class CharacterCNN(nn.Module):
    """Filters of w = 1, 2, 3, ... characters, each at its best place (Kim et al. 2016, eq. 5 and
    6):

        f_p = tanh(W [x_p; ...; x_(p+w-1)] + b),  y = max over p of f_p

    A filter is applied at all places where it covers characters of the word alone; to a shorter
    word, at its beginning, with zeros after it. With `character_overhang` it is also applied beyond
    the word's end, where it reads zeros, up to where it reads nothing else: so it finds an ending
    that is shorter than itself, and y >= tanh(b). The code of Kim et al. does that
    (yoonkim/lstm-char-cnn, model/TDNN.lua).

    Weights are initialised by `init_input`, biases as in torch's layers.
    """

    def __init__(self, settings: InputSettings, alphabet_size: int) -> None:
        super().__init__()
        counts = sizes(settings.character_filters)
        self.widest = len(counts)
        self.hangs_over = settings.character_overhang
        self.vectors = character_vectors(settings, alphabet_size)

        # The filters of each width are one linear layer; a width without filters has none.
        self.filters = nn.ModuleDict()
        for w, count in enumerate(counts, start=1):
            if count:
                self.filters[str(w)] = nn.Linear(w * settings.character_size, count)
        self.highways = nn.ModuleList(
            Highway(sum(counts)) for _ in range(settings.character_highways)
        )

        # Fill the weights of filters and highways as `init_input` says.
        for module in self.modules():
            if isinstance(module, nn.Linear) and settings.init_input != "torch":
                initialise(
                    module.weight,
                    settings.init_input,
                    init_range=settings.init_range,
                    gain=settings.init_gain,
                    width=module.in_features,
                )

    def forward(self, characters_NL: Tensor) -> Tensor:
        """Return the vectors (N, F) of the words."""
        # Filters need padding: beyond the end if they extend past it, else for their own width.
        after = self.widest if self.hangs_over else max(0, self.widest - characters_NL.shape[1])
        characters_NL = F.pad(characters_NL, (0, after), value=-1)

        # Beyond a word's end they read zeros.
        is_inside_NL = characters_NL >= 0
        x_NLC = self.vectors(characters_NL.clamp(min=0)) * is_inside_NL.unsqueeze(2)
        best = [
            self._best(int(w), linear, x_NLC, is_inside_NL) for w, linear in self.filters.items()
        ]
        y_NF = torch.tanh(torch.cat(best, dim=1))
        for highway in self.highways:
            y_NF = highway(y_NF)
        return y_NF

    def _best(self, w: int, linear: nn.Module, x_NLC: Tensor, is_inside_NL: Tensor) -> Tensor:
        """Return the largest product of each filter of width `w`. The tanh may follow, as it
        rises."""
        y_NPF = linear(x_NLC.unfold(1, w, 1).flatten(2))
        if self.hangs_over:
            return y_NPF.amax(dim=1)
        is_outside_NP = F.pad(~is_inside_NL[:, w:], (1, 0))  # the first place always counts
        return y_NPF.masked_fill(is_outside_NP.unsqueeze(2), -torch.inf).amax(dim=1)


class Highway(nn.Module):
    """z = t * relu(W y + b) + (1 - t) * y with t = s(W' y + b') (Srivastava et al. 2015, eq. 3; Kim
    et al. 2016, eq. 8).

    b' starts at -2: at first nearly all of y passes.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.candidate = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, y_NF: Tensor) -> Tensor:
        t_NF = torch.sigmoid(self.gate(y_NF))
        return t_NF * torch.relu(self.candidate(y_NF)) + (1 - t_NF) * y_NF


class CharacterLSTM(nn.Module):
    """[h; h'], where h is the state of an LSTM after the word's last character, and h' the state of
    another one, which reads the word backwards, after its first (Ling et al. 2015, section 3;
    Lample et al. 2016, section 4.1)."""

    def __init__(self, settings: InputSettings, alphabet_size: int) -> None:
        super().__init__()
        self.vectors = character_vectors(settings, alphabet_size)
        shape = (settings.character_size, settings.character_hidden_size)
        self.onwards = nn.LSTM(*shape)  # hold the weights; `lstm` computes with them
        self.backwards = nn.LSTM(*shape)

    def forward(self, characters_NL: Tensor) -> Tensor:
        """Return the words' vectors (N, 2 H)."""
        last_N1 = (characters_NL >= 0).sum(dim=1, keepdim=True) - 1
        place_NL = last_N1 - torch.arange(characters_NL.shape[1], device=characters_NL.device)
        reversed_NL = characters_NL.gather(1, place_NL.clamp(min=0))
        h_NH = self._state_at_end(self.onwards, characters_NL, last_N1)
        reversed_h_NH = self._state_at_end(self.backwards, reversed_NL, last_N1)
        return torch.cat([h_NH, reversed_h_NH], dim=1)

    def _state_at_end(self, layer: nn.LSTM, characters_NL: Tensor, last_N1: Tensor) -> Tensor:
        """Return the state (N, H) at the last character.

        Padding after it has no influence. (Packed sequences would need the lengths on the host.)
        nn.LSTM is not called: on CUDA, autocast to bf16 would run it in fp16, without loss scaling.
        """
        weight_ih, weight_hh, bias_ih, bias_hh = layer.parameters()
        x_LNC = self.vectors(characters_NL.clamp(min=0)).transpose(0, 1)
        zeros_NH = weight_hh.new_zeros(len(characters_NL), layer.hidden_size)
        y_LNH, _ = lstm(x_LNC, zeros_NH, zeros_NH, weight_ih, weight_hh, bias_ih + bias_hh)
        place_1NH = last_N1.unsqueeze(0).expand(-1, -1, layer.hidden_size)
        return y_LNH.gather(0, place_1NH).squeeze(0)


def character_vectors(settings: InputSettings, alphabet_size: int) -> nn.Embedding:
    """Make the characters' vectors, uniform in [-init_range, init_range]."""
    return _uniform_vectors(alphabet_size, settings.character_size, settings.init_range)


def _uniform_vectors(count: int, width: int, bound: float) -> nn.Embedding:
    weight = torch.empty(count, width).uniform_(-bound, bound)
    # nn.Embedding's own initialisation would import torch's compiler on the meta device.
    return nn.Embedding.from_pretrained(weight, freeze=False)


# ---- Words as rows of character numbers, for networks that read words by their characters.


class SpelledWords(nn.Module):
    """The characters of every word that has an id, looked up on the network's device.

    The table is not a weight, and is not stored. It is made when it is first needed and grows with
    the tokenizer's unseen words; new words are spelled on the host, and nothing waits for the
    device. Threads that need new words at the same time make a longer table each, and read from
    their own: which of them stays makes no difference, as a word keeps its id.
    """

    characters_WL: Tensor

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.alphabet = Alphabet(tokenizer)
        # from numpy: a real array even where modules are made on the meta device
        nothing = np.zeros((0, 1), dtype=np.int32)
        self.register_buffer("characters_WL", torch.from_numpy(nothing), persistent=False)
        self.times_forgotten = 0

    def forward(self, ids_N: Tensor) -> Tensor:
        """Return the characters (N, L) int32 of the words, -1 after their ends."""
        return self._grow_table().index_select(0, ids_N)

    def _grow_table(self) -> Tensor:
        """Return the table with rows for all words that have an id now."""
        # Once the tokenizer has forgotten its unseen words, their ids belong to others.
        times_forgotten = getattr(self.tokenizer, "times_forgotten", 0)
        if self.times_forgotten != times_forgotten:
            self.characters_WL = self.characters_WL[: self.tokenizer.size].clone()
            self.times_forgotten = times_forgotten

        characters_WL = self.characters_WL
        known, longest = characters_WL.shape
        if known >= self.tokenizer.input_size:
            return characters_WL
        new = torch.from_numpy(self.alphabet.spell(self.tokenizer.spellings(known), known))
        new_WL = new.to(characters_WL.device, non_blocking=True)
        width = max(longest, new_WL.shape[1])
        parts = [
            F.pad(part_WL, (0, width - part_WL.shape[1]), value=PADDING)
            for part_WL in (characters_WL, new_WL)
        ]
        self.characters_WL = grown_WL = torch.cat(parts)
        return grown_WL


# ---- The network's input for each word: its vector, its characters, or both side by side.

# So that the products of their characters take no more than some hundred megabytes.
WORDS_AT_ONCE = 4096
# On a CPU, words of about a length that are read side by side: it takes half to three quarters of
# the time that 300 words at once take.
WORDS_OF_A_LENGTH = 128


class WordInput(nn.Module):
    """The vectors x_TBE that a network reads for the words ids_TB: the word's vector, then one made
    of its characters, `settings.input_width` wide in all.

    If words are read as characters, the tokenizer is one that spells (`tokenizer.spelling()`). Ids
    from V on, unseen words, have the vector of `<unk>` and their own characters.
    """

    def __init__(self, settings: InputSettings, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.size = tokenizer.size
        self.unk_id = tokenizer.unk_id
        self.is_shared = settings.is_tied
        self.dropout = settings.dropout_embedding
        # How a training step reads word vectors, if not as usual.
        self.read_rows: RowReader | None = None
        self.embedding: nn.Embedding | None = None
        if settings.has_word_vectors:
            shape = self.size, settings.embedding_size
            self.embedding = _uniform_vectors(*shape, settings.init_range)
        self.characters = CharacterInput(settings, tokenizer) if settings.characters else None

    @property
    def weight(self) -> Tensor | None:
        """The word vectors (V, E), for an output layer to share; None if there are none."""
        return None if self.embedding is None else self.embedding.weight

    def forward(self, ids_TB: Tensor, vector_ids_TB: Tensor | None = None) -> Tensor:
        return self._drop_words(self.vectors(ids_TB, vector_ids_TB), ids_TB)

    def vectors(self, ids_TB: Tensor, vector_ids_TB: Tensor | None = None) -> Tensor:
        """Return the input vectors of the words, without dropout.

        vector_ids_TB: ids below V of the vectors to read; None: the words' own. Characters are the
        words' own in any case.
        """
        parts = []
        weight_VE = self.weight
        if weight_VE is not None:
            # Where the output layer shares the word vectors, its gradient is an array for all of
            # them. On a CPU the rows read are added to that in place: no second array of zeros.
            known_TB = self.known(ids_TB) if vector_ids_TB is None else vector_ids_TB
            adds_rows = self.is_shared and ids_TB.device.type == "cpu"
            if self.read_rows is None:
                parts.append(F.embedding(known_TB, weight_VE, sparse=adds_rows))
            else:
                parts.append(self.read_rows(known_TB))
        if self.characters is not None:
            parts.append(self.characters(ids_TB))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def _drop_words(self, x_TBE: Tensor, ids_TB: Tensor) -> Tensor:
        """Apply embedding dropout (Gal & Ghahramani 2016; Merity et al. 2018, section 4.3).

        Rows of the matrix of word vectors are dropped, so a word that is drawn is zero at all its
        places in the window. As output weights the word vectors stay whole.
        """
        if not self.training or self.dropout == 0:
            return x_TBE
        kept_V = dropout(x_TBE.new_ones(self.size), self.dropout, training=True)
        return x_TBE * kept_V[self.known(ids_TB)].unsqueeze(2)

    def known(self, ids: Tensor) -> Tensor:
        """Replace unseen words by `<unk>`: their id as targets, and as inputs where nothing is
        spelled."""
        return ids if self.unk_id is None else ids.masked_fill(ids >= self.size, self.unk_id)


class SomeUnknown(nn.Module):
    """Read some words as `<unk>` in training, so that a network learns to use it: a word of
    frequency n with probability a / (a + n) (Kiperwasser & Goldberg 2016)."""

    def __init__(self, alpha: float, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.unk_id, counts_V = tokenizer.unk_id, tokenizer.counts_V
        self.chance_V: Tensor | None
        chances: Tensor | None = None
        if alpha and counts_V is not None and self.unk_id is not None:
            chance_V = alpha / (alpha + np.maximum(counts_V, 1))
            chance_V[tokenizer.boundary_id] = 0
            chances = torch.from_numpy(chance_V.astype(np.float32))
        self.register_buffer("chance_V", chances, persistent=False)

    def forward(self, ids_TB: Tensor) -> Tensor:
        if not self.training or self.chance_V is None or self.unk_id is None:
            return ids_TB
        drawn_TB = torch.rand_like(ids_TB, dtype=torch.float32)
        return ids_TB.masked_fill(drawn_TB < self.chance_V[ids_TB], self.unk_id)


class CharacterInput(nn.Module):
    """The vectors that a network makes of the characters of the words ids_TB."""

    def __init__(self, settings: InputSettings, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.spelled = SpelledWords(tokenizer)
        reader = CharacterCNN if settings.characters == "cnn" else CharacterLSTM
        self.reader = reader(settings, self.spelled.alphabet.size)

    def forward(self, ids_TB: Tensor) -> Tensor:
        """Read the words by their characters.

        On a CPU each different word is read once, along with words of similar length. Elsewhere all
        are read side by side: to know how many differ, and how long they are, the host would have
        to wait for the device (and the meta device cannot tell).
        """
        if ids_TB.device.type == "cpu":
            different_N, at_TB = torch.unique(ids_TB, return_inverse=True)
            y_NE, place_N = self._read_by_length(self.spelled(different_N))
            return F.embedding(place_N[at_TB], y_NE)
        parts = self.spelled(ids_TB.flatten()).split(WORDS_AT_ONCE)
        return torch.cat([self.reader(part_NL) for part_NL in parts]).unflatten(0, ids_TB.shape)

    def _read_by_length(self, characters_NL: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of the words, shorter ones first, and each word's place among
        them."""
        lengths_N, order_N = (characters_NL >= 0).sum(dim=1).sort()
        words = order_N.split(WORDS_OF_A_LENGTH)
        longest = [int(lengths_n[-1]) for lengths_n in lengths_N.split(WORDS_OF_A_LENGTH)]
        alike = zip(words, longest, strict=True)
        read = [self.reader(characters_NL[words_n, :length]) for words_n, length in alike]
        return torch.cat(read), order_N.argsort()


# ---- Word vectors that a network starts from: made elsewhere, or counted in its training text.

MOST_TOKENS = 10_000_000  # of a longer text, its beginning is counted
NOTHING = 1e-6  # the rounded length of a vector of zeros, which a token without neighbours has


def load_vectors(weight_VE: Tensor, vectors: FoundVectors) -> None:
    """Write the vectors into their rows, narrower ones into the first columns; leave the rest as it
    is."""
    with torch.no_grad():
        ids_K = torch.from_numpy(vectors.ids_K).to(weight_VE.device)
        values_KE = torch.from_numpy(vectors.values_KE).to(weight_VE)
        weight_VE[:, : values_KE.shape[1]].index_copy_(0, ids_K, values_KE)


def counted_vectors(text: EncodedText, size: int, width: int) -> FoundVectors:
    """Compute vectors of a text's tokens from their neighbours in its lines, each line's `</s>`
    included. They have fewer than V = `size` numbers, and `width` at most."""
    ids_N = text.ids[:MOST_TOKENS]
    offsets = text.line_offsets[:MOST_TOKENS]  # no line is empty
    offsets = np.append(offsets[offsets < len(ids_N)], len(ids_N))
    values_VE = svd_vectors(ids_N, offsets, size, min(width, size - 1))
    seen_K = np.flatnonzero(np.abs(values_VE).max(axis=1) > NOTHING)
    return FoundVectors(seen_K, values_VE[seen_K])


# ---- The vectors that a network has of its words: those it reads, and the weights of its output
# layer.


class WordRows(NamedTuple):
    """Vectors of the words of a vocabulary.

    symbols: V of them, as their tokenizer has them. rows_VE: float32, a vector for each. note:
    their difference from plain word vectors; "" if there is none.
    """

    symbols: list[str]
    rows_VE: np.ndarray
    note: str


def input_table(words: WordInput) -> Tensor:
    """Return a network's input vector for each id of the vocabulary, (V, E): if it reads
    characters, the vector made of them."""
    if words.weight is not None and words.characters is None:
        return words.weight.detach()
    # Spell out all words, some at a time.
    with torch.no_grad():
        ids_V = torch.arange(words.size, device=next(words.parameters()).device)
        rows = [words.vectors(ids_N.unsqueeze(0))[0] for ids_N in ids_V.split(WORDS_AT_ONCE)]
        return torch.cat(rows)


def input_rows(words: WordInput, tokenizer: Tokenizer) -> WordRows:
    """Return the vector that a network reads for each word of the vocabulary; where it reads words
    as characters alone, the vector that it makes of these."""
    weight_VE = words.weight
    if weight_VE is not None:
        left_out = "the characters that are read beside them are left out"
        return _rows(tokenizer, weight_VE, "" if words.characters is None else left_out)

    note = f"made of the characters of each of the {tokenizer.size:,} words of the vocabulary"
    return _rows(tokenizer, input_table(words), note)


def output_rows(output: OutputLayer, tied_VE: Tensor | None, tokenizer: Tokenizer) -> WordRows:
    """Return the weights of each word in a softmax."""
    rows_VE = output.word_rows(tied_VE)
    if rows_VE is None:
        raise UsageError(
            "this model has no output vectors",
            f"its output layer, {type(output).__name__}, spreads a word over several groups, "
            "whose weights are not comparable",
            "use its input vectors, which are the default",
        )
    note = "" if tied_VE is None else "tied: input and output vectors are the same"
    return _rows(tokenizer, rows_VE, note)


def _rows(tokenizer: Tokenizer, rows_VE: Tensor, note: str) -> WordRows:
    return WordRows(tokenizer.symbols(), rows_VE.detach().float().cpu().numpy(), note)
