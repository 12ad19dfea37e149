"""The options of `rnnlm train` on counts, and on texts that are counted beyond memory."""

from rnnlm.cli.declaring import options_of, section
from rnnlm.cli.options import OF_NGRAMS
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.training.request import TrainingRequest

train_options = section(
    "N-grams",
    options_of(TrainingRequest, "counts"),
    options_of(NgramSettings, "memory", "temp", "workers", "dask", default_is=""),
    goes_with=OF_NGRAMS,
)
