"""The output layers by the names that settings give them."""

from rnnlm.neural.outputs.classes import AdaptiveSoftmax, ClassSoftmax, HierarchicalSoftmax
from rnnlm.neural.outputs.mixture_of_softmaxes import MixtureOfSoftmaxes
from rnnlm.neural.outputs.sampled import NoiseContrastiveSoftmax, SampledSoftmax
from rnnlm.neural.outputs.softmax import OutputLayer, SoftmaxOutput
from rnnlm.neural.settings import NetworkSettings, sizes


def make_output(settings: NetworkSettings, size: int, width: int) -> OutputLayer:
    """The output layer for a vocabulary of `size` tokens, given features of `width`; weights empty,
    biases zero.

    Raises:
        SettingsError: cut-offs or classes do not fit the vocabulary.
    """
    if settings.output_layer == "adaptive":
        cutoffs = None if settings.cutoffs is None else sizes(settings.cutoffs)
        return AdaptiveSoftmax(size, width, cutoffs, settings.cluster_shrink)
    if settings.output_layer == "class":
        return ClassSoftmax(size, width, settings.classes, settings.is_tied)
    if settings.output_layer == "hierarchical":
        return HierarchicalSoftmax(size, width)
    if settings.output_layer == "mos":
        mixture = (
            settings.embedding_size,
            settings.mixture_components,
            settings.dropout_latent,
            settings.locked_dropout,
        )
        return MixtureOfSoftmaxes(size, width, settings.is_tied, *mixture)
    if settings.loss == "sampled":
        return SampledSoftmax(size, width, settings.is_tied, settings.samples)
    if settings.loss == "nce":
        return NoiseContrastiveSoftmax(size, width, settings.is_tied, min(settings.samples, size))
    return SoftmaxOutput(size, width, settings.is_tied)
