"""rnnlm: language modelling from Python. `__init__.pyi` has the public names; each is imported when
first used.

>>> import rnnlm
>>> model = rnnlm.load()                                                   # doctest: +SKIP
>>> model.logprob_nats("recognize speech")                                 # doctest: +SKIP
"""

import lazy_loader as _lazy_loader

from rnnlm import kinds as _kinds  # noqa: F401 fills the tables of rnnlm.registry

__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)
