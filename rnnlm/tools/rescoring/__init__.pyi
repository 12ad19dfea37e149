"""The public names of the folder, which `rnnlm` has, too."""

from .features import read_weights as read_weights
from .features import save_weights as save_weights
from .files import read_nbest as read_nbest
from .files import save_nbest as save_nbest
from .nbest import Hypothesis as Hypothesis
from .nbest import Utterance as Utterance
from .rescorer import rescore as rescore
from .rescorer import tune_weights as tune_weights
from .settings import ListSettings as ListSettings
from .settings import RescoreSettings as RescoreSettings
from .settings import TextMapping as TextMapping
