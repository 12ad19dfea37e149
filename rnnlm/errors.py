"""The errors and warnings of the library: what happened, why, and what to do about it.

Every failure a caller may expect is an :class:`RnnlmError`; the command line turns it into one line
each for the fault, its cause and the hint, and into the exit code of its class. A fact that is
worth telling but no failure (a vocabulary lowered, a smaller batch chosen) is an
:class:`RnnlmWarning`, sent through :mod:`warnings`.

A message holds the settings and parameters that it names (:func:`keyword`). In Python it names them
in backticks: `order`, `order=5`, `output="DIR"`. The command line prints its own options in their
place (`cli/terminal.py`). Another command is named as one types it: rnnlm count TEXT --order 5.
"""

import difflib
import importlib
import re
import reprlib
import sys
import warnings
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import NamedTuple, Self

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 200
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
# Packages of an extra of setup.cfg that has other packages than the missing one.
_OF_EXTRAS = {
    "plots": "jinja2 matplotlib",
    "serve": "httptools prometheus_client starlette uvicorn",
}
LONGEST_MESSAGE = 1000  # characters: quotations from a file may be of any length


class Keyword(NamedTuple):
    """A setting or parameter that a message names."""

    name: str
    value: object = ...  # the value to give it; ...: nothing special

    def __str__(self) -> str:
        if self.value is ...:
            return f"`{self.name}`"
        is_plain = isinstance(self.value, str) and re.fullmatch(r"[^\"\\]*", self.value)
        return f'`{self.name}="{self.value}"`' if is_plain else f"`{self.name}={self.value!r}`"


class Message(str):
    """A text with the keywords that it names. Other texts are added to it; a text that is formatted
    with it keeps only the words."""

    parts: tuple[str | Keyword, ...]

    def __new__(cls, *parts: str | Keyword) -> Self:
        message = super().__new__(cls, "".join(map(str, parts)))
        message.parts = parts
        return message

    def __add__(self, text: str) -> str:
        return Message(*self.parts, *parts_of(text))

    def __radd__(self, text: str) -> str:
        return Message(text, *self.parts)


def parts_of(message: str) -> tuple[str | Keyword, ...]:
    """Return the texts and keywords that a message is made of."""
    return message.parts if isinstance(message, Message) else (message,)


def keyword(name: str, value: object = ...) -> str:
    """Name a setting or parameter in a message, with the value to give it."""
    return Message(Keyword(name, value))


def joined_message(between: str, texts: Iterable[str]) -> str:
    """Join texts that may name keywords."""
    parts: list[str | Keyword] = []
    for text in texts:
        parts += [between, *parts_of(text)]
    return Message(*parts[1:])


class RnnlmError(Exception):
    """Base class of all errors that rnnlm raises on purpose. Overlong lines are shortened.

    Args:
        what: What happened, in one line.
        why: Why, in one line.
        hint: What to do, in one line.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        self.what, self.why, self.hint = map(_shortened, (what, why, hint))
        super().__init__(self.what)

    def __str__(self) -> str:
        return joined_message("; ", filter(None, (self.what, self.why, self.hint)))

    @property
    def fault(self) -> str:
        """What happened and why, for an error or a record that quotes this one."""
        return joined_message(": ", filter(None, (self.what, self.why)))


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_MESSAGE:
        return text
    half = LONGEST_MESSAGE // 2
    return f"{text[:half]} ... {text[-half:]}"


class UsageError(RnnlmError):
    """The request itself is wrong: a setting, a combination of options (exit code 2)."""

    exit_code = 2


def no_token_error() -> UsageError:
    """Return the error for a text in which no further token can be drawn."""
    return UsageError(
        "no token can be drawn",
        "every token has probability zero or is forbidden",
        "forbid less, or use a smoothed model",
    )


class SettingsError(UsageError):
    """A setting is unknown, of the wrong type, or out of range."""


class ArgumentTypeError(UsageError, TypeError):
    """An argument from Python is of the wrong type: an :class:`RnnlmError` that is also a
    TypeError."""


class TextError(RnnlmError):
    """A text cannot be found, read, or decoded, or holds forbidden characters."""


class ModelError(RnnlmError):
    """A model folder is missing, damaged, or another kind of folder."""


class OutputError(RnnlmError):
    """A result cannot be written: no permission, no space, something in the way."""


class DeviceError(RnnlmError):
    """The device or precision asked for is not available."""


class TrainingError(RnnlmError):
    """Training cannot continue: the loss is no longer a number, or there is nothing to train on."""


class LostProcessError(TrainingError):
    """Another process of a run of several is gone, or does not answer."""


class ReportedByOtherProcess(RnnlmError):
    """Another process of the run reports the failure, so this one stays silent. `exit_code` is the
    other's."""

    def __init__(self, exit_code: int = 1) -> None:
        super().__init__("another process of the run failed")
        self.exit_code = exit_code


class ComparisonError(RnnlmError):
    """Numbers describe different events, so that neither of them can be called better."""


class Signalled(BaseException):
    """A signal that ends the program."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number


class RnnlmWarning(UserWarning):
    """A notice to the caller. The work continues."""


def notice(message: str) -> None:
    """Tell the caller something that is no failure, as an :class:`RnnlmWarning` that points to the
    line outside of rnnlm that led to it."""
    # Go up to the first frame that is not ours: Python shows each place's warnings once.
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level += 1
        frame = frame.f_back
    warnings.warn(_shortened(message), RnnlmWarning, stacklevel=level)


class NoticeCollector:
    """Notices of facts that may hold in many places: one of each kind is sent at the end, with the
    first places and how many more there are."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def add(self, place: str, message: str) -> None:
        """Take note that `message` holds in `place`: "order 3", a file, a line."""
        self._places.setdefault(message, []).append(place)

    def send(self) -> None:
        """Send the notices gathered so far."""
        for message, places in self._places.items():
            notice(first_of(places) + ": " + message)
        self._places.clear()


def first_of(names: Sequence[str], most: int = 3, between: str = ", ") -> str:
    """Return the first of these names, and how many more there are."""
    shown = joined_message(between, names[:most])
    if len(names) > most:
        shown += f" and {len(names) - most:,} more"
    return shown


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "rnnlm"


def shown(value: object) -> str:
    """Return a value from a file as messages show it, however long or deeply nested it is."""
    return _REPR.repr(value)


def given(value: object) -> str:
    """Return the name of an argument in messages: "an int"."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return with_article(type(value).__name__)


def with_article(name: str) -> str:
    """Return the name of a class with "a" or "an" before it."""
    begins_with_vowel = name[0] in "AEIOUaeiou" and not name.startswith("Uni")
    return f"{'an' if begins_with_vowel else 'a'} {name}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown `name`: the nearest of the `known` ones, or all of them if none
    is near."""
    known = sorted(known)
    return did_you_mean(name, known) or "choose one of: " + ", ".join(known)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest of the `known` names, or "" if none is near."""
    # The same hint in any order.
    known = sorted(known)
    same = [candidate for candidate in known if candidate.lower() == name.lower()]
    close = same or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def visible(text: str, kept: str = "") -> str:
    """Write out the control characters of `text` as Python's strings do, but for those in `kept`.

    These are terminal escapes, line ends and overrides of direction. Text from outside may hold
    them: a terminal would obey, and a reader be misled.
    """

    def written_out(match: re.Match[str]) -> str:
        escaped = match[0].encode("unicode_escape", "surrogatepass").decode("ascii")
        return match[0] if match[0] in kept else escaped

    return CONTROL.sub(written_out, text)


def require_package(module: str, extra: str, use: str) -> ModuleType:
    """Import the module of that name, which the extra `extra` installs. An error says
    that `use`, such as "CTC beam searches", need it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError(
            f"{use} need the package {package}", str(error), how_to_install(package, extra)
        ) from None


def how_to_install(package: str, extra: str) -> str:
    """Return the hint on a package that the extra `extra` of setup.cfg brings."""
    packages = _OF_EXTRAS.get(extra, package)
    return f"pip install {packages}, or pip install -e '.[{extra}]' in a checkout"


def missing_package(error: ModuleNotFoundError) -> RnnlmError | None:
    """Turn the failed import of a package that is not installed into an error that names the
    package to install.

    Return None where the module is one of ours, of Python, or inside a package that is there: then
    something else is wrong.
    """
    package = error.name or ""
    if not package or "." in package or package == "rnnlm" or package in sys.stdlib_module_names:
        return None
    hint = f"pip install {package}"
    for extra, packages in _OF_EXTRAS.items():
        if package in packages.split():
            hint = how_to_install(package, extra)
    return RnnlmError(f"this needs the package {package}", "it is not installed", hint)
