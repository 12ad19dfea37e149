"""The output layers by the names that settings give them."""

from rnnlm.neural.adaptive_softmax import AdaptiveSoftmax
from rnnlm.neural.class_softmax import ClassSoftmax
from rnnlm.neural.hierarchical_softmax import HierarchicalSoftmax
from rnnlm.neural.network_settings import NetworkSettings, sizes
from rnnlm.neural.noise_contrastive import NoiseContrastiveSoftmax
from rnnlm.neural.output import SoftmaxOutput
from rnnlm.neural.output_layer import OutputLayer
from rnnlm.neural.sampled_softmax import SampledSoftmax


def make_output(settings: NetworkSettings, size: int, width: int) -> OutputLayer:
    """The output layer for a vocabulary of `size` tokens, given features of `width`; weights empty, biases zero.

    Raises:
        SettingsError: cut-offs or classes do not fit the vocabulary.
    """
    if settings.output == "adaptive":
        cutoffs = None if settings.cutoffs is None else sizes(settings.cutoffs)
        return AdaptiveSoftmax(size, width, cutoffs, settings.cluster_shrink)
    if settings.output == "class":
        return ClassSoftmax(size, width, settings.classes, settings.is_tied)
    if settings.output == "hierarchical":
        return HierarchicalSoftmax(size, width)
    if settings.loss == "sampled":
        return SampledSoftmax(size, width, settings.is_tied, min(settings.samples, size))
    if settings.loss == "nce":
        return NoiseContrastiveSoftmax(size, width, settings.is_tied, min(settings.samples, size))
    return SoftmaxOutput(size, width, settings.is_tied)
