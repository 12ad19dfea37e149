"""How an encoder-decoder is trained. Knows nothing of torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Count, Positive, Probability
from rnnlm.neural.fitting.optimization_settings import OptimizationSettings
from rnnlm.neural.input_settings import Width

CRITERIA = {"bleu": True, "chrf": True, "exact_match": True, "word_error_rate": False, "symbol_error_rate": False}  # is higher better


@dataclass(frozen=True)
class Seq2SeqFittingSettings(OptimizationSettings):
    """How an encoder-decoder is trained on batches of pairs."""

    batch_rows: Annotated[Width, Meta(description="pairs in a batch, of each process")] = 64
    learning_rate: Annotated[Positive, Meta(description="peak learning rate")] = 0.002
    clip_norm: Annotated[Positive | None, Meta(description="gradients are scaled down to this global norm")] = 1.0
    label_smoothing: Annotated[
        Probability, Meta(description="share of the probability that is spread evenly over all tokens (Szegedy et al. 2016)")
    ] = 0.1
    own_words: Annotated[
        Probability,
        Meta(description="chance that the decoder reads the token that it finds likeliest, not that of the target (Bengio et al. 2015)"),
    ] = 0.0
    longest: Annotated[Count, Meta(description="training pairs with more tokens on either side are left out")] = 250
    criterion: Annotated[
        Literal["loss", "bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate"],
        Meta(description="validation figure that chooses the best weights; all but the loss decode the validation sources greedily"),
    ] = "loss"
