"""rnnlm: language modelling from Python. The public names are those of `__init__.pyi`; each is
imported when first used.

>>> import rnnlm
>>> model = rnnlm.load()                                                   # doctest: +SKIP
>>> model.logprob_nats("recognize speech")                                 # doctest: +SKIP
"""

import lazy_loader as _lazy_loader

from rnnlm import kinds as _kinds
from rnnlm import registry as _registry

# Lower layers look up the layers above them in these tables.
_registry.fill(
    tasks=_kinds.TASKS,
    language_models=_kinds.LANGUAGE_MODELS,
    task_kinds=_kinds.TASK_KINDS,
    adaptations=_kinds.ADAPTATIONS,
    tokenizers=_kinds.TOKENIZERS,
    libraries=_kinds.LIBRARIES,
)

__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)
