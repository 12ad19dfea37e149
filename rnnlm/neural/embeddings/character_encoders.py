"""A word's vector from its characters: convolutions with highway layers (Kim et al. 2016), or an LSTM from both ends
(Ling et al. 2015; Lample et al. 2016).

Both read characters_NL, a row of character numbers a word, -1 after its end; a word's vector does not depend on how much
of that there is. Shapes: N words, L characters, C width of the character vectors, P places of a filter, F filters.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.neural.initialisation import initialise
from rnnlm.neural.input_settings import InputSettings, sizes
from rnnlm.neural.layers.kernels.choice import lstm


class CharacterCNN(nn.Module):
    """Filters of w = 1, 2, 3, ... characters, each at its best place (Kim et al. 2016, eq. 5 and 6):

        f_p = tanh(W [x_p; ...; x_(p+w-1)] + b),  y = max over p of f_p

    A filter stands at all places where it covers characters of the word alone; on a shorter word, at the beginning, with
    zeros after it. With `character_overhang` it stands beyond the word's end, too, where it reads zeros, and where it reads nothing else:
    so it finds an ending that is shorter than itself, and y >= tanh(b). The code of Kim et al. does that
    (yoonkim/lstm-char-cnn, model/TDNN.lua).

    Weights start as `init_input` says, biases as torch's layers start them.
    """

    def __init__(self, settings: InputSettings, alphabet_size: int) -> None:
        super().__init__()
        counts = sizes(settings.character_filters)
        self.vectors = character_vectors(settings, alphabet_size)
        self.filters = nn.ModuleDict(
            {str(w): nn.Linear(w * settings.character_size, count) for w, count in enumerate(counts, start=1) if count}
        )
        self.widest, self.hangs_over = len(counts), settings.character_overhang
        self.highways = nn.ModuleList(Highway(sum(counts)) for _ in range(settings.character_highways))
        if settings.init_input != "torch":
            bound, gain = settings.init_range, settings.init_gain
            for linear in (module for module in self.modules() if isinstance(module, nn.Linear)):
                initialise(linear.weight, settings.init_input, init_range=bound, gain=gain, width=linear.in_features)

    def forward(self, characters_NL: Tensor) -> Tensor:
        """Vectors (N, F) of the words."""
        after = self.widest if self.hangs_over else max(0, self.widest - characters_NL.shape[1])
        characters_NL = F.pad(characters_NL, (0, after), value=-1)
        is_inside_NL = characters_NL >= 0
        x_NLC = self.vectors(characters_NL.clamp(min=0)) * is_inside_NL.unsqueeze(2)
        y_NF = torch.cat([self._best(int(w), linear, x_NLC, is_inside_NL) for w, linear in self.filters.items()], dim=1)
        y_NF = torch.tanh(y_NF)
        for highway in self.highways:
            y_NF = highway(y_NF)
        return y_NF

    def _best(self, w: int, linear: nn.Module, x_NLC: Tensor, is_inside_NL: Tensor) -> Tensor:
        """The largest product of each filter of width `w`; the tanh, which rises, may follow."""
        y_NPF = linear(x_NLC.unfold(1, w, 1).flatten(2))
        if self.hangs_over:
            return y_NPF.amax(dim=1)
        is_outside_NP = F.pad(~is_inside_NL[:, w:], (1, 0))  # the first place always counts
        return y_NPF.masked_fill(is_outside_NP.unsqueeze(2), -torch.inf).amax(dim=1)


class Highway(nn.Module):
    """z = t * relu(W y + b) + (1 - t) * y with t = s(W' y + b') (Srivastava et al. 2015, eq. 3; Kim et al. 2016, eq. 8).

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
    """[h; h'] with h the state of an LSTM after the word's last character, h' of another one, that reads it backwards, after its
    first (Ling et al. 2015, section 3; Lample et al. 2016, section 4.1)."""

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

        What is read after it has no influence. (Packed sequences would need the lengths on the host.)
        nn.LSTM is not called: on CUDA, autocast to bf16 would run it in fp16, without loss scaling.
        """
        weight_ih, weight_hh, bias_ih, bias_hh = layer.parameters()
        x_LNC = self.vectors(characters_NL.clamp(min=0)).transpose(0, 1)
        zeros_NH = weight_hh.new_zeros(len(characters_NL), layer.hidden_size)
        y_LNH, _ = lstm(x_LNC, zeros_NH, zeros_NH, weight_ih, weight_hh, bias_ih + bias_hh)
        place_1NH = last_N1.unsqueeze(0).expand(-1, -1, layer.hidden_size)
        return y_LNH.gather(0, place_1NH).squeeze(0)


def character_vectors(settings: InputSettings, alphabet_size: int) -> nn.Embedding:
    """The characters' vectors, uniform in [-init_range, init_range]."""
    weight = torch.empty(alphabet_size, settings.character_size).uniform_(-settings.init_range, settings.init_range)
    return nn.Embedding.from_pretrained(weight, freeze=False)  # nn.Embedding's own start imports torch's compiler on meta
