"""The public names of the folder, which `rnnlm` has, too."""

from .features import read_weights as read_weights, save_weights as save_weights
from .files import read_nbest as read_nbest, save_nbest as save_nbest
from .nbest import Hypothesis as Hypothesis, Utterance as Utterance
from .rescorer import rescore as rescore, tune_weights as tune_weights
from .settings import (
    ListSettings as ListSettings,
    RescoreSettings as RescoreSettings,
    TextMapping as TextMapping,
)
