"""The equations of layers, by the name that they have in the folders of `rnnlm export --hf`."""

from rnnlm.lm.neural.layers.steps import elman_step, gru_step, lstm_step, mogrify, qrnn_gates

__all__ = ["elman_step", "gru_step", "lstm_step", "mogrify", "qrnn_gates"]
