"""Settings: frozen dataclasses, filled from layers (recipe, file, command line) that keep each
value's origin.

A settings class is a frozen dataclass whose fields are annotated with a type, and with
:func:`about` for description and range. :func:`resolve` merges layers into such
classes; later layers win. Names are unique over all classes of a run, so a recipe is one flat table
and `--set name=value` needs no section.
"""

import dataclasses
import functools
import inspect
import itertools
import math
import numbers
import operator
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from rnnlm.amounts import NUMBER, number
from rnnlm.errors import ModelError, SettingsError, did_you_mean, keyword, nearest, notice, shown

Settings = TypeVar("Settings")

# origins of values that a person requests with this very run
USER, GRID = "user", "the grid"
DEFAULT, IMPLIED = "default", "other settings"  # the latter of values that a class derives
ASKED = (GRID, USER)
# a setting's need of another one, met by any value but zero, false and none
ANY: tuple[Any, ...] = ()
# settings of the counting machine, which do not matter to users of the model
_UNSTORED = ("workers", "dask")
# settings of the machine and of saving, which make no other model
MACHINE = frozenset({
    "device", "threads", "memory", "temp", "workers", "dask",
    "save_every", "keep_checkpoints", "rank_timeout",
})  # fmt: skip
RECIPE = "recipe"  # among the names that nobody set, where nobody named a recipe
AUTO: Literal["auto"] = "auto"  # a value that leaves the choice to the program

# Names of settings in other tools: the name here, and the unit that the value needs
OTHER_NAMES = {
    "epochs": ("budget", "epochs"),
    "num_epochs": ("budget", "epochs"),
    "steps": ("budget", "steps"),
    "max_steps": ("budget", "steps"),
    "lr": ("learning_rate", ""),
    "batch_size": ("batch_rows", ""),
    "bptt": ("bptt_tokens", ""),
    "seq_length": ("bptt_tokens", ""),
    "emsize": ("embedding_size", ""),
    "nhid": ("hidden_size", ""),
    "rnn_size": ("hidden_size", ""),
    "nlayers": ("layers", ""),
    "num_layers": ("layers", ""),
    "clip": ("clip_norm", ""),
    "wdecay": ("weight_decay", ""),
    "wdrop": ("weight_drop", ""),
    "dropouth": ("dropout_between", ""),
    "dropouti": ("dropout_input", ""),
    "dropoute": ("dropout_embedding", ""),
}

# Settings of text that look like numbers, and the other way round
_EXAMPLES = {
    "budget": 'write, for instance, "500steps", "3epochs" or "10m"',
    "holdout": "write, for instance, 5%, 0.05 or 0",
}
_PERCENT = re.compile(rf"\s*({NUMBER})\s*%\s*")  # a share as people write it


def about(description: str, **limits: Any) -> Meta:
    """Describe a setting, for the `Annotated` of its field: `Annotated[int, about("words of an
    n-gram", ge=1)]`. `limits` are arguments of :class:`msgspec.Meta`, such as `title`, the word for
    its value in help."""
    return Meta(description=description, **limits)


def list_in_text(items: str, pattern: str, example: str) -> Meta:
    """Describe a list that is written as one text, such as 650,650,400; `items` names its parts in
    messages."""
    return Meta(pattern=pattern, examples=[example], extra_json_schema={LIST_OF: items})


LIST_OF = "list_of"  # in the schema of a list that is written as one text: what its items are
Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Probability = Annotated[float, Meta(ge=0, lt=1)]


class ValidatedSettings:
    """Base of settings that are made by hand in Python: each field keeps to the type and range of
    its annotation, as one from the command line does.

    A class with its own `__post_init__` calls this one first.
    """

    def __post_init__(self) -> None:
        settings_class: Any = type(self)
        bounded = _bounded_fields(settings_class)
        without_text = _fields_without_text(settings_class)
        for name, value in list(vars(self).items()):
            # Defaults are valid, and most values are defaults.
            if value is getattr(settings_class, name, dataclasses.MISSING):
                continue
            # Whatever type of number is given becomes Python's own; ranges and choices hold for it.
            made = plain(value)
            object.__setattr__(self, name, made)
            if name in bounded:
                _converted(name, made, bounded[name], is_text=False)
            # A text would pass for true, or for the list of its letters.
            if name in without_text and isinstance(made, str):
                raise SettingsError(
                    f"setting {name} = {shown(made)} is not valid",
                    f"it must be {without_text[name]}",
                )


@dataclass(frozen=True)
class SettingsLayer:
    """Values from one place, which messages call `origin`. Text values are parsed by the field's
    type. is_recipe: they are from a bundled recipe, as nobody set them. why: the reason of values
    that the program chose."""

    origin: str
    values: Mapping[str, Any]
    is_text: bool = False
    is_recipe: bool = False
    why: str = ""


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value that the program chose for a setting that nobody set, or would have chosen.

    Attributes:
        name: Name of the setting.
        value: The value.
        was: The value that it replaces: of the recipe, or the default.
        by: What chose it: "recipe page", "the machine".
        why: The numbers that decided.
        together: Other settings that nobody may have set either.
        is_taken: False if somebody set one of these: their value counts.
    """

    name: str
    value: Any
    was: Any
    by: str
    why: str = ""
    together: tuple[str, ...] = ()
    is_taken: bool = True


@dataclass(frozen=True)
class ResolvedSettings:
    """The outcome of :func:`resolve`: every setting's value and where it came from.

    It never changes. Whoever learns more about a run from its text or from a model returns other
    settings: see :meth:`choose` and :meth:`with_layer`.

    Attributes:
        values: Value of each setting.
        origins: Origin of each value.
        classes: Classes of the settings.
        usual: Values of the recipe, or the defaults.
        free: Settings that nobody set: defaults, and those of bundled recipes.
        added: Layers from texts and models, in order.
        all_choices: The last choice of each setting, those that were not taken, too.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    classes: tuple[type, ...]
    usual: Mapping[str, Any]
    free: frozenset[str] = frozenset()
    added: tuple[SettingsLayer, ...] = ()
    all_choices: tuple[Choice, ...] = ()

    def __post_init__(self) -> None:
        # A frozen class alone would let everyone change the content of its tables.
        object.__setattr__(self, "values", types.MappingProxyType(dict(self.values)))
        object.__setattr__(self, "origins", types.MappingProxyType(dict(self.origins)))
        object.__setattr__(self, "usual", types.MappingProxyType(dict(self.usual)))

    @property
    def defaults(self) -> dict[str, Any]:
        """Every setting's default."""
        return _defaults(self.classes)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices of the program, in the order in which they were made."""
        return tuple(choice for choice in self.all_choices if choice.is_taken)

    def is_requested(self, name: str) -> bool:
        """Return whether a person asked for this value with this very run.

        Args:
            name: Name of the setting.
        """
        return self.origins[name] in ASKED

    def make(self, cls: type[Settings]) -> Settings:
        """Return the settings of one class as an instance of it; its parts are of the other
        classes."""
        return _made(cls, self.values, self.classes)

    def with_layer(self, origin: str, values: Mapping[str, Any]) -> "ResolvedSettings":
        """Return these settings with the `values` found in a text or a model.

        They are taken as they are: a column may be called "none".

        Args:
            origin: The text or model.
            values: Values by name.
        """
        return self._with(SettingsLayer(origin, values))

    def choose(
        self,
        by: str,
        why: str,
        values: Mapping[str, Any],
        together: Iterable[str] = (),
        keeps_usual: bool = False,
    ) -> "ResolvedSettings":
        """Return these settings with the `values` that the program chooses, where nobody set the
        setting. Each one that replaces another is on record in `choices`, and so is, in
        `all_choices`, what would have been chosen for a setting that somebody set.

        Args:
            by: What chooses, and the origin of the values.
            why: The numbers that decide, in at most eight words.
            values: Values by name. Names that the model does not have are left out.
            together: Other settings. Where somebody set one of them, nothing is taken, unless it is
                set as it would be chosen.
            keeps_usual: Whether values that are the usual ones are put on record, too.
        """
        together = tuple(together)
        known = {name: value for name, value in values.items() if name in self.values}
        is_open = all(
            name in self.free or (name in known and self.values[name] == known[name])
            for name in together
        )
        taken, records = {}, {choice.name: choice for choice in self.all_choices}
        for name, value in known.items():
            # Usual values are no choice, unless they replace one.
            is_usual = value == self.usual[name] and not (keeps_usual or name in records)
            if is_usual and value == self.values[name]:
                continue
            choice = Choice(name, value, self.usual[name], by, why, together)
            if is_open and name in self.free:
                taken[name] = value
                records[name] = choice
            elif name not in records and value != self.usual[name]:
                records[name] = msgspec.structs.replace(choice, is_taken=False)
        chosen = self._with(SettingsLayer(by, taken, is_recipe=True, why=why))
        return replace(chosen, all_choices=tuple(records.values()))

    def with_added(self, layers: Iterable[SettingsLayer]) -> "ResolvedSettings":
        """Return these settings with what was added to others.

        Args:
            layers: What was `added`.
        """
        resolved = self
        for layer in layers:
            if layer.why:
                resolved = resolved.choose(layer.origin, layer.why, layer.values)
            else:
                resolved = resolved.with_layer(layer.origin, layer.values)
        return resolved

    def given(self) -> tuple[Choice, ...]:
        """Return the values that the program did not choose and that are no defaults, each with
        what it replaces: of the recipe, of somebody who set them, of a text or a model."""
        ours = {choice.name for choice in self.choices}
        given = []
        for name, value in as_stored(self.values).items():
            origin, was = self.origins[name], self.usual[name]
            if name in self.free:
                was = self.defaults[name]
            # What comes with a text or a model counts where it makes a difference.
            is_set = name in self.free or origin in ASKED or value != was
            if is_set and name not in ours and origin not in (DEFAULT, IMPLIED):
                given.append(Choice(name, value, was, origin))
        return tuple(given)

    def _with(self, layer: SettingsLayer) -> "ResolvedSettings":
        assert layer.values.keys() <= self.values.keys()
        origins = dict.fromkeys(layer.values, layer.origin)
        return replace(
            self,
            values=_as_classes_spell({**self.values, **layer.values}, self.classes),
            origins={**self.origins, **origins},
            free=_free_after(self.free, layer),
            added=(*self.added, layer),
        )


def resolve(
    classes: Iterable[type], layers: Iterable[SettingsLayer], keywords: Collection[str] = ()
) -> ResolvedSettings:
    """Merge `layers` (later ones win) over the defaults of the settings `classes`. An unknown name
    may mean one of the `keywords` of the function that takes the settings."""
    classes = tuple(classes)
    kinds = {name: kind for cls in classes for name, kind in _kinds(cls).items()}

    # Each layer replaces the values of those before it, and takes over as their origin.
    values = _defaults(classes)
    usual = dict(values)
    origins, free = dict.fromkeys(values, DEFAULT), frozenset(values)
    for layer in layers:
        free = _free_after(free, layer)
        for name, value in layer.values.items():
            if name not in kinds:
                is_keyword = layer.origin == USER and not layer.is_text
                known = [*kinds, *keywords] if is_keyword else kinds
                called, its_value = as_called_here(name, value)
                is_new = called == name
                hint = nearest(name, known) if is_new else "write " + keyword(called, its_value)
                raise SettingsError(f"unknown setting {name!r}{within(layer.origin)}", hint=hint)
            values[name] = convert(name, value, kinds[name], layer.is_text)
            origins[name] = layer.origin
            if layer.is_recipe:
                usual[name] = values[name]

    # Where nobody gave a value, a class may derive it from the others.
    for cls in classes:
        for name, value in getattr(cls, "implied", lambda values: {})(values).items():
            if origins[name] == DEFAULT:
                values[name] = convert(name, value, kinds[name], is_text=False)
                origins[name] = IMPLIED
                free -= {name}
    spelled = _as_classes_spell(values, classes)
    return ResolvedSettings(spelled, origins, classes, usual, free)


def _free_after(free: frozenset[str], layer: SettingsLayer) -> frozenset[str]:
    """Return the settings that nobody set, after a layer. Who sets AUTO leaves the choice open."""
    if layer.is_recipe:
        return free.union(layer.values)
    texts = {name: value for name, value in layer.values.items() if isinstance(value, str)}
    is_open = [name for name, value in texts.items() if value == AUTO]
    return free.difference(layer.values).union(is_open)


def within(origin: str) -> str:
    """Return where a setting was found, as messages say it: " in my.toml"; "" for one that a person
    gave by itself."""
    return "" if origin == USER else f" in {origin}"


def as_called_here(name: str, value: Any) -> tuple[str, Any]:
    """Return the setting and the value for a name that other tools may have for it."""
    setting, unit = OTHER_NAMES.get(name, (name, ""))
    return setting, f"{value}{unit}" if unit else value


def _as_classes_spell(values: Mapping[str, Any], classes: Iterable[type]) -> dict[str, Any]:
    """Check `values` together, by making each class of them, and read the files that they name.
    Return them as the classes spell them."""
    # A class may write a setting in another way, such as names in a fixed order.
    spelled = dict(values)
    for cls in classes:
        made: Any = _made(cls, values, classes)
        if hasattr(made, "with_files_read"):
            made = made.with_files_read()
        spelled.update({field.name: getattr(made, field.name) for field in _fields(cls)})
    return spelled


def part(base: type[Settings]) -> Settings | None:
    """Declare a field that holds settings of another class, one of those that inherit from `base`.

    In files and for `--set` these are listed beside the others, under their own names.
    """
    default: Settings | None = dataclasses.field(default=None, metadata={_PART: base})
    return default


def _made(cls: type[Settings], values: Mapping[str, Any], classes: Iterable[type]) -> Settings:
    """Make an instance of `cls` from the `values` of all `classes`, and its parts from those that a
    field of it may hold."""
    arguments = {field.name: values[field.name] for field in _fields(cls)}  # type: ignore[arg-type]
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        for other in classes:
            if _PART in field.metadata and issubclass(other, field.metadata[_PART]):
                arguments[field.name] = _made(other, values, classes)
    return cls(**arguments)


def as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by name as files hold them: a list of words as its hash."""
    stored = {name: value for name, value in values.items() if name not in _UNSTORED}
    return stored | {name: str(value) for name, value in stored.items() if isinstance(value, str)}


def convert(name: str, value: Any, kind: Any, is_text: bool) -> Any:
    """Return `value` as the type `kind`; text from the command line is parsed. "none" is None,
    which TOML cannot say, and a share may be written as "5%"."""
    if isinstance(value, str):
        if value.lower() in ("none", "null"):
            value = None
        elif value.endswith("%") and any(map(is_share, _schemas(kind))):
            value = without_percent(value)
    return _converted(name, value, kind, is_text)


def is_share(schema: Mapping[str, Any]) -> bool:
    """Return whether a value is a number up to 1."""
    is_number = schema.get("type") == "number"
    return is_number and 1 in (schema.get("maximum"), schema.get("exclusiveMaximum"))


def without_percent(text: str) -> float | str:
    """Return the share that a text such as "5%" denotes; any other text unchanged."""
    percent = _PERCENT.fullmatch(text)
    return float(percent[1]) / 100 if percent else text


def _converted(name: str, value: Any, kind: Any, is_text: bool) -> Any:
    """Return `value` as the type `kind`, or raise a SettingsError that names valid values."""
    value = plain(value)
    try:
        converted = _parsed(value, kind) if is_text else msgspec.convert(value, kind)
    except ValueError:
        # Of the wrong type, out of range, or with lone surrogates, as JSON may hold them.
        schemas = _schemas(kind)
        # A list written as in TOML, for a setting that --set takes as the text 650,650,400.
        if any(LIST_OF in schema for schema in schemas) and _is_flat_list(value):
            return _converted(name, ",".join(map(str, value)), kind, is_text)
        raise SettingsError(
            f"setting {name} = {shown(value)} is not valid",
            f"it must be {' or '.join(map(_in_words, schemas))}",
            _EXAMPLES.get(name) or _hint(value, schemas),
        ) from None
    if isinstance(converted, float) and not math.isfinite(converted):
        raise SettingsError(
            f"setting {name} = {shown(value)} is not valid", "it must be a finite number"
        )
    return converted


def _parsed(text: Any, kind: Any) -> Any:
    """Return a text as the type `kind`. ValueError: it is none."""
    # As a text if it may be one, or else a number as people type it: .9 is none in JSON.
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        return msgspec.convert(number(str(text)), kind)


def names_of(classes: Iterable[type]) -> set[str]:
    """Return the names of all settings of these classes."""
    return {field.name for field in _all_fields(classes)}


_PART = "part"  # in the metadata of a field: the base of the classes that it may hold


@functools.cache
def _fields(cls: Any) -> tuple[dataclasses.Field, ...]:
    """Return the fields of a class that are settings: all but its parts."""
    return tuple(field for field in dataclasses.fields(cls) if _PART not in field.metadata)


def _all_fields(classes: Iterable[type]) -> Iterator[dataclasses.Field]:
    return itertools.chain.from_iterable(map(_fields, classes))


@functools.cache
def _kinds(cls: type) -> Mapping[str, Any]:
    """Return the annotation of each setting of a class."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in _fields(cls)}


def from_stored(
    cls: type[Settings], values: Mapping[str, Any], parts: Iterable[type] = ()
) -> Settings:
    """Return settings of `cls` as a model folder stores them: unknown names are ignored, missing
    ones take the default. `parts` are the classes of its parts."""
    # The folder has settings of training, too.
    classes = [cls, *parts]
    names = names_of(classes)
    known = {name: value for name, value in values.items() if name in names}
    try:
        return resolve(classes, [SettingsLayer("the model", known)]).make(cls)
    except SettingsError as error:
        raise ModelError("the stored settings are damaged", error.fault) from None


# The values that Python may give for a setting.
SettingValue: TypeAlias = str | int | float | bool | Sequence[str | int | float] | None


@dataclass(frozen=True)
class Setting:
    """One setting as its class declares it."""

    schemas: list[dict[str, Any]]  # of the alternatives of its type, as JSON schemas
    choices: tuple[str, ...]  # the texts that it can be, if there are only some
    default: object
    title: str  # the placeholder of its value
    description: str


def setting(cls: type, name: str) -> Setting:
    """Return the declaration of one field of a settings class."""
    kind = _kinds(cls)[name]
    [field] = [field for field in _fields(cls) if field.name == name]
    choices, title = tuple(_choices(kind)), _said(kind, "title")
    return Setting(_schemas(kind), choices, _default(field), title, _said(kind, "description"))


def _choices(kind: Any) -> Iterator[str]:
    """Yield the texts of a type that is a list of texts, in the order in which it names them."""
    if typing.get_origin(kind) is Literal:
        yield from (choice for choice in typing.get_args(kind) if isinstance(choice, str))
    elif typing.get_origin(kind) in (Annotated, typing.Union, types.UnionType):
        for part in typing.get_args(kind):
            yield from _choices(part)


def describe(cls: type) -> dict[str, str]:
    """Return the description of each field of a settings class."""
    return {name: _said(kind, "description") for name, kind in _kinds(cls).items()}


Needs = Mapping[str, Collection[Any]]


def needs(*also: Needs, **others: Collection[Any]) -> dict[str, tuple[Needs, ...]]:
    """Declare the needs of a setting without which it has no effect, for the `extra` of its
    :class:`msgspec.Meta`. :func:`check_needs` has the rule of what happens without them.

    `others` are other settings, each with the values of which it needs one, or with ANY for any
    value that switches it on. Of several others, one is enough. One of each of `also` is needed,
    too.
    """
    return {_NEEDS: (*also, others)}


def needs_of(cls: type) -> dict[str, tuple[Needs, ...]]:
    """Return the needs of the settings of a class, by name: see :func:`needs`."""
    return {name: extra[_NEEDS] for name, extra in _extras(cls).items() if _NEEDS in extra}


_NEEDS = "needs"  # in the `extra` of a Meta


@functools.cache
def _extras(cls: type) -> dict[str, dict[str, Any]]:
    """Return the `extra` of each setting of a class. A field redeclared without one keeps its base
    class's."""
    extras: dict[str, dict[str, Any]] = {}
    for base in reversed(cls.__mro__):
        for name, kind in inspect.get_annotations(base).items():
            for meta in getattr(kind, "__metadata__", ()):
                if isinstance(meta, Meta) and meta.extra:
                    extras[name] = {**extras.get(name, {}), **meta.extra}
    return extras


def check_needs(resolved: ResolvedSettings, config: str = "", **beside: Any) -> None:
    """Look for requested settings that have no effect, as the settings that they need are not as
    needed. One rule holds for all:

    * A setting that is off by default (false or none) and was switched on is refused: what was
      asked for would not happen.
    * Any other setting only tunes something that is not there: a notice names it.

    A person requests settings by giving them, one by one or in a grid, or in the file `config` with
    values other than the defaults; a setting that is switched off is never idle. Some settings need
    values that are no settings: these are given in `beside`, by name.
    """
    values = {**resolved.values, **beside}
    idle = []
    needs_by_class = (needs_of(cls).items() for cls in resolved.classes)
    for name, groups in itertools.chain.from_iterable(needs_by_class):
        # Skip settings that were not requested, are switched off, or have an effect.
        value, origin, default = (
            resolved.values[name],
            resolved.origins[name],
            resolved.defaults[name],
        )
        is_requested = origin in ASKED or (origin == config and value != default)
        unmet = next((needed for needed in groups if not _is_met(needed, values)), None)
        if not is_requested or not value or unmet is None:
            continue

        # Name the values that are needed, and those that this model has instead.
        relevant = {other: wanted for other, wanted in unmet.items() if other in values}
        wanted = " or ".join(itertools.starmap(_requirement, relevant.items()))
        have = ", ".join(as_text(values[other]) for other in relevant)
        what = f"{name} = {as_text(value)} needs {wanted}"
        why = f"{'it is' if len(relevant) == 1 else 'they are'} {have}"
        if default is None or default is False:
            other, choices = next(iter(relevant.items()))
            first = f"{other}={as_text(next(iter(choices)))}" if choices else other
            raise SettingsError(what, why, f"set {first}, or leave {name} out")
        idle.append(f"{what} ({why})")
    if idle:
        notice(f"without effect: {'; '.join(idle)}")


def without_unmet(
    recipe: Mapping[str, Any], above: Sequence[SettingsLayer], classes: Iterable[type]
) -> dict[str, Any]:
    """Return the values of a recipe but those that need a choice which the layers above make
    otherwise."""
    classes = tuple(classes)
    kinds = {name: kind for cls in classes for name, kind in _kinds(cls).items()}
    defaults = _defaults(classes)
    values, kept = {**defaults, **recipe}, dict(recipe)
    changed = set()
    for layer in above:
        for name in layer.values.keys() & kinds.keys():
            values[name] = convert(name, layer.values[name], kinds[name], layer.is_text)
            changed.add(name)

    # Settings come after the ones that they need, and others may need them.
    for name, groups in itertools.chain.from_iterable(needs_of(cls).items() for cls in classes):
        others = set().union(*groups)
        is_known = bool(others & changed) and others <= values.keys()
        if name in kept and is_known and not all(_is_met(needed, values) for needed in groups):
            del kept[name]
            values[name] = defaults[name]
            changed.add(name)
    return kept


def _is_met(needed: Needs, values: Mapping[str, Any]) -> bool:
    """Return whether one of the settings has a value that is needed; of ANY, which is empty, any
    that switches it on."""
    return any(
        values.get(other) in wanted if wanted else bool(values.get(other))
        for other, wanted in needed.items()
    )


def _requirement(name: str, wanted: Collection[Any]) -> str:
    if isinstance(wanted, range):
        return f"{name} = {wanted.start} or more"
    if not wanted:  # ANY
        return name
    return f"{name} = {' or '.join(map(as_text, wanted))}"


def as_text(value: Any) -> str:
    """Return a setting's value as `--set` takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """Return the `name=value` texts of `--set` as a dictionary."""
    values = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip():
            raise SettingsError(f"setting {assignment!r} is not of the form name=value")
        values[name.strip().replace("-", "_")] = value.strip()
    return values


# ---- Schedules of a learning rate, which `LearningRate` of networks applies.


class Schedule(NamedTuple):
    """A course of a learning rate.

    Attributes:
        follows: What changes the rate.
        left: Returns which share of the rate's fall is left when a share of the budget is used.
    """

    follows: Literal["", "budget", "epochs", "validations"] = ""
    left: Callable[[float], float] | None = None


ScheduleName = Literal["constant", "cosine", "linear", "step", "plateau", "halving"]
SCHEDULES: dict[ScheduleName, Schedule] = {
    "constant": Schedule(),
    "cosine": Schedule("budget", lambda used: 0.5 * (1.0 + math.cos(math.pi * used))),
    "linear": Schedule("budget", lambda used: 1.0 - used),
    "step": Schedule("epochs"),
    "plateau": Schedule("validations"),
    "halving": Schedule("validations"),
}
OVER_BUDGET = tuple(name for name, row in SCHEDULES.items() if row.follows == "budget")


# ---- Lengths of runs.

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_BUDGET = 1e15


@dataclass(frozen=True)
class Budget:
    """The length of training: exactly one of time, epochs, steps."""

    seconds: float | None = None
    epochs: float | None = None
    steps: int | None = None

    @classmethod
    def parse(cls, text: str, name: str = "budget") -> "Budget":
        """Parse `90s`, `3m`, `1.5h`, `20epochs` or `5000steps`."""
        match = re.fullmatch(rf"\s*({NUMBER})\s*(s|m|min|h|d|epochs?|steps?)\s*", text)
        amount = float(match[1]) if match else 0.0
        if not match or not 0 < amount < LONGEST_BUDGET:
            raise SettingsError(
                f"{name} {text!r} is not understood",
                hint="write, for instance, 90s, 3m, 1.5h, 20epochs or 5000steps",
            )
        # A number of steps must be whole; of time and epochs, parts will do.
        unit = match[2]
        if unit in _UNITS:
            return cls(seconds=amount * _UNITS[unit])
        if unit.startswith("epoch"):
            return cls(epochs=amount)
        if not amount.is_integer():
            raise SettingsError(f"{name} {text!r} is not a whole number of steps")
        return cls(steps=int(amount))


@functools.cache
def _bounded_fields(cls: Any) -> dict[str, Any]:
    """Return the annotations of the fields whose values have a range, a pattern or a list of
    choices."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: kind for name, kind in hints.items() if _is_bounded(kind)}


@functools.cache
def _fields_without_text(cls: Any) -> dict[str, str]:
    """Return the form needed, by name, of the fields that hold no text but would misread one: for
    true, or for a list of its letters."""
    forms = {}
    for name, kind in typing.get_type_hints(cls).items():
        is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
        kinds = typing.get_args(kind) if is_union else (kind,)
        if bool in kinds:
            forms[name] = "true or false"
        if any(typing.get_origin(origin_kind) is tuple for origin_kind in kinds):
            forms[name] = "a list"
    return forms


def _is_bounded(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin is Literal:
        return True
    if origin not in (Annotated, typing.Union, types.UnionType, tuple):
        return False

    # An annotation has bounds in its own Meta, or a type inside it has.
    for inner in typing.get_args(kind):
        if isinstance(inner, Meta):
            if any(getattr(inner, name) is not None for name in _BOUND_NAMES):
                return True
        elif _is_bounded(inner):
            return True
    return False


def plain(value: Any) -> Any:
    """Return numbers and arrays of numpy and other libraries as Python's own, also those in a list;
    anything else as it is."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if type(value) in (list, tuple):
        made = type(value)(map(plain, value))
        return value if all(map(operator.is_, made, value)) else made
    # Scalars and arrays of numpy and torch, then scalars of Arrow.
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return value.tolist()
    if hasattr(value, "as_py"):
        return value.as_py()
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def _is_flat_list(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value)


def _schemas(kind: Any) -> list[dict[str, Any]]:
    """Return the alternatives of a type, as JSON schemas."""
    schema = msgspec.json.schema(kind)
    return schema.get("anyOf", [schema])


_BOUND_NAMES = ("ge", "gt", "le", "lt", "pattern")
_BOUNDS = {
    "minimum": "of at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


def _in_words(schema: dict[str, Any]) -> str:
    """Describe the values that a schema allows."""
    if "enum" in schema.get("items", {}):
        return f"a list of {', '.join(schema['items']['enum'])}"
    if "enum" in schema:
        words = ", ".join(map(str, schema["enum"]))
        return words if len(schema["enum"]) == 1 else f"one of {words}"
    if LIST_OF in schema:
        return f"a list of {schema[LIST_OF]}"
    kinds = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "string": "a text",
        "null": "none",
        "array": "a list",
    }
    if "minimum" in schema and schema["minimum"] == schema.get("maximum"):
        return f"{schema['minimum']:,}"
    bounds = [text.format(f"{schema[key]:,}") for key, text in _BOUNDS.items() if key in schema]
    return f"{kinds[schema['type']]} {' and '.join(bounds)}".rstrip()


def _hint(value: Any, schemas: list[dict[str, Any]]) -> str:
    """Return a hint: the nearest of the valid texts, or an example. All of them are listed by
    :func:`_in_words`."""
    for schema in schemas:
        choices = schema.get("items", {}).get("enum")
        if choices and isinstance(value, (list, tuple)):
            unknown = next((item for item in value if item not in choices), "")
            return did_you_mean(str(unknown), choices)
        if len(schema.get("enum", ())) > 1:
            return did_you_mean(value, schema["enum"]) if isinstance(value, str) else ""
        if "examples" in schema:
            return f"for instance {schema['examples'][0]}"
    return ""


def _defaults(classes: Iterable[type]) -> dict[str, Any]:
    return {field.name: _default(field) for field in _all_fields(classes)}


def _default(field: dataclasses.Field) -> Any:
    if field.default is dataclasses.MISSING:
        raise TypeError(f"setting {field.name} has no default")
    return field.default


def _said(kind: Any, key: str) -> str:
    """Return the "description" or the "title" of a type's Meta; "" if it has none."""
    values = (getattr(extra, key, None) for extra in getattr(kind, "__metadata__", ()))
    return str(next(filter(None, values), ""))
