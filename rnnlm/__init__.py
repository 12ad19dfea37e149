"""rnnlm: language modelling from Python. `core_names.pyi` has the public names of the core, and
satellites bring others; each is imported when first used.

>>> import rnnlm
>>> model = rnnlm.load()                                                   # doctest: +SKIP
>>> model.logprob_nats("recognize speech")                                 # doctest: +SKIP
"""

import lazy_loader as _lazy_loader

from rnnlm import (
    core as _core,  # noqa: F401 enters the core beside the satellites
    satellites as _satellites,
)

_core_name, _, _core_names = _lazy_loader.attach_stub(
    __name__, str(_satellites.HERE / "core_names.pyi")
)
_satellites.names_of_core["names"] = lambda: _core_names


def __getattr__(name: str) -> object:
    if name in _core_names:
        return _core_name(name)
    if name == "__all__":
        return __dir__()
    if not name.startswith("_") and not _satellites.is_module(name):
        names = _satellites.by_name("names", name)
        if name in names:
            return names[name].load()
        gone = _satellites.removed("names", name, f"rnnlm.{name}")
        if gone:
            raise AttributeError(str(gone))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*_core_names, *_satellites.by_name("names")})
