"""The errors and warnings of the library: what happened, why, and what to do about it.

Every failure a caller may expect is an :class:`RnnlmError`; the command line turns it into one line
each for what, why and the hint, and into the exit code of its class. Things worth saying that are
no failure (a vocabulary lowered, a smaller batch chosen) are :class:`RnnlmWarning`, sent through
:mod:`warnings`.
"""

import difflib
import importlib
import re
import reprlib
import sys
import warnings
from collections.abc import Iterable
from types import ModuleType

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 200
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
LONGEST_MESSAGE = 1000  # characters: what messages quote from a file may be of any length


class RnnlmError(Exception):
    """Base of all errors raised on purpose. `what` happened, `why`, and the `hint`, one line each,
    cut where too long to be read."""

    exit_code = 1

    def __init__(
        self, what: str, why: str = "", hint: str = "", *, way_out: str | None = None
    ) -> None:
        if way_out is not None:
            _deprecated("RnnlmError(way_out=...)", "hint")
        self.what, self.why, self.hint = map(_cut, (what, why, way_out or hint))
        super().__init__(self.what)

    @property
    def way_out(self) -> str:
        """The former name of `hint`."""
        _deprecated("RnnlmError.way_out", "hint")
        return self.hint

    def __str__(self) -> str:
        return "; ".join(part for part in (self.what, self.why, self.hint) if part)


def _deprecated(name: str, new: str) -> None:
    warnings.warn(f"{name} is now called {new}", DeprecationWarning, stacklevel=3)


def _cut(text: str) -> str:
    half = LONGEST_MESSAGE // 2
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:half]} ... {text[-half:]}"


class UsageError(RnnlmError):
    """The request itself is wrong: a setting, a combination of options (exit code 2)."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown, of the wrong type, or out of range."""


class ArgumentTypeError(UsageError, TypeError):
    """An argument from Python is of the wrong type: a :class:`RnnlmError` that is a TypeError,
    too."""


class TextError(RnnlmError):
    """A text cannot be found, read, or decoded, or holds what it must not."""


class ModelError(RnnlmError):
    """A model folder is missing, damaged, or not what it says it is."""


class OutputError(RnnlmError):
    """A result cannot be written: no permission, no space, something in the way."""


class DeviceError(RnnlmError):
    """The device or precision asked for is not available."""


class TrainingError(RnnlmError):
    """Training cannot go on: the loss is no longer a number, or there is nothing to train on."""


class LostProcess(TrainingError):
    """Another process of a run that has several is gone, or does not answer."""


class ReportedElsewhere(RnnlmError):
    """Another process of the run says what failed: nothing is to be said here. `exit_code` is as
    there."""

    def __init__(self, exit_code: int = 1) -> None:
        super().__init__("another process of the run failed")
        self.exit_code = exit_code


class ComparisonError(RnnlmError):
    """Numbers are not about the same events, so that none of them says which is better."""


class RnnlmWarning(UserWarning):
    """Something the caller should know, though work goes on."""


def notice(message: str) -> None:
    """Tell the caller something that is no failure, as an :class:`RnnlmWarning` that points to the
    line outside of rnnlm that led to it."""
    level, frame = 2, sys._getframe(1)
    while (
        frame.f_back is not None
        and frame.f_globals.get("__name__", "").partition(".")[0] == "rnnlm"
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(_cut(message), RnnlmWarning, stacklevel=level)


def shown(value: object) -> str:
    """A value from a file as messages show it, however long and however deeply nested it is."""
    return _REPR.repr(value)


def given(value: object) -> str:
    """What an argument is, as messages name it: "an int"."""
    if value is None or isinstance(value, type):
        return "None" if value is None else f"the class {value.__name__}"
    return with_article(type(value).__name__)


def with_article(name: str) -> str:
    """The name of a class, a or an before it."""
    return f"{'an' if name[0] in 'AEIOUaeiou' and not name.startswith('Uni') else 'a'} {name}"


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown `name`: the nearest of the `known` ones, or all of them if none is
    near."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else "known are: " + ", ".join(known)


def visible(text: str, kept: str = "") -> str:
    """`text`, which may come from outside, with control characters (terminal escapes, line ends,
    bidirectional overrides) written out as in Python's strings, but those `kept`: a terminal obeys
    them, and text that is turned round misleads its reader."""
    return CONTROL.sub(lambda match: match[0] if match[0] in kept else _written_out(match[0]), text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def require_package(module: str, extra: str, use: str) -> ModuleType:
    """The module of that name, which is installed with the extra called `extra`. `use`: what needs
    it, as "CTC beam searches".

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError(
            f"{use} need the package {package}", str(error), f"pip install 'rnnlm[{extra}]'"
        ) from None


def missing_package(error: ModuleNotFoundError) -> RnnlmError | None:
    """Turn the failed import of a package that is not installed into an error that says what to
    install. Return None where the module is one of ours, of Python or inside of a package that is
    there: then something else is wrong."""
    package = error.name or ""
    if not package or "." in package or package == "rnnlm" or package in sys.stdlib_module_names:
        return None
    return RnnlmError(
        f"this needs the package {package}", "it is not installed", f"pip install {package}"
    )
