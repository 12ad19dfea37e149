"""Packages that only some uses need: imported when used, with the way to install them where they are missing."""

import importlib
from types import ModuleType

from rnnlm.errors import UsageError


def require(module: str, extra: str, use: str) -> ModuleType:
    """The module of that name, which is installed with the extra called `extra`. `use`: what needs it, as "CTC beam searches".

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError(f"{use} need the package {package}", str(error), f"pip install 'rnnlm[{extra}]'") from None
