"""`import rnnlm.kenlm as kenlm` in place of `import kenlm`."""

from rnnlm.integrations.kenlm import (
    ARPALoadComplain,
    Config,
    FullScoreReturn,
    LanguageModel,
    LoadMethod,
    Model,
    State,
)

__all__ = [
    "ARPALoadComplain",
    "Config",
    "FullScoreReturn",
    "LanguageModel",
    "LoadMethod",
    "Model",
    "State",
]
