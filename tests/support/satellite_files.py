"""Write the files that are put together from the descriptions of our satellites: the public names
and the methods of `rnnlm.Model` for type checkers, and the table of all names by which an error
says which satellite is missing. `python tests/support/satellite_files.py` writes them."""

import re
import sys
from typing import get_args

from rnnlm import satellites
from rnnlm.satellites import HERE

BY_SCRIPT = "Written by tests/support/satellite_files.py."


def public_names() -> str:
    """Return the stub of rnnlm: the core's names, then those of each satellite."""
    lines = [f'"""The public names, for type checkers. {BY_SCRIPT}"""', ""]
    stubs = [HERE / "core_names.pyi"]
    for satellite in satellites.own():
        if satellite.names():
            stubs.append(HERE / satellite.name / "__init__.pyi")
    for stub in stubs:
        package = ".".join(stub.parent.relative_to(HERE).parts)
        for line in stub.read_text(encoding="utf-8").splitlines():
            if line.startswith("from "):
                lines.append(line.replace("from .", f"from .{package}." if package else "from ."))
    return "\n".join([*lines[:2], *sorted(lines[2:], key=_place), ""])


def _place(line: str) -> list[str]:
    """Return the place of an import among others, as ruff sorts them."""
    _, module, name = re.fullmatch(r"(from )\.([\w.]+) import (\w+) as \w+", line).groups()
    return [module, name.isupper(), not name[0].isupper(), name]


def model_methods() -> str:
    """Return the stub of the classes that have all methods, settings and keywords of satellites."""
    joined: dict[str, list[type]] = {"ModelMethods": []}
    for method in satellites.entries("methods"):
        holder = _class_of(method.function)
        if holder not in joined["ModelMethods"]:
            joined["ModelMethods"].append(holder)
    for part in satellites.entries("parts"):
        joined.setdefault(part.name, []).append(part.load())
    classes = [part for parts in joined.values() for part in parts]
    names_in: dict[str, list[str]] = {}
    for part in classes:
        names_in.setdefault(part.__module__, []).append(part.__name__)
    lines = [f'"""The methods, settings and keywords that satellites bring.\n\n{BY_SCRIPT}"""', ""]
    for module, names in sorted(names_in.items()):
        lines.append(f"from {module} import {', '.join(sorted(names))}")
    lines.append("")
    for name, parts in joined.items():
        bases = [part.__name__ for part in parts]
        line = f"class {name}({', '.join(bases)}): ..."
        lines += [line] if len(line) <= 100 else [f"class {name}(", *_listed(bases), "): ..."]
    return "\n".join([*lines, ""])


def _listed(names: list[str]) -> list[str]:
    return [f"    {name}," for name in names]


def _class_of(method) -> type:
    """Return the class that a method is defined in."""
    return getattr(sys.modules[method.__module__], method.__qualname__.partition(".")[0])


def table() -> str:
    """Return the table of the names of our satellites."""
    lines = [f"# Which satellite has a name, for errors where it was removed. {BY_SCRIPT}"]
    owners: dict[str, dict[str, str]] = {sort: {} for sort in get_args(satellites.Table)}
    for satellite in satellites.own():
        names = satellites.names_in(satellite)
        if satellite.tasks():
            del names["kinds"][:]  # they are called like kinds of language models
        for sort in owners:
            owners[sort] |= dict.fromkeys(names[sort], satellite.name)
    for sort, by_name in owners.items():
        lines += [
            "",
            f"[{sort}]",
            *(f'{_key(name)} = "{owner}"' for name, owner in by_name.items()),
        ]
    return "\n".join([*lines, ""])


def _key(name: str) -> str:
    """Return a name as TOML has it: patterns of names of files are quoted."""
    return name if re.fullmatch(r"[\w-]+", name) else f'"{name}"'


FILES = {"__init__.pyi": public_names, "model_methods.pyi": model_methods, "satellites.toml": table}


if __name__ == "__main__":
    for name, content in FILES.items():
        (HERE / name).write_text(content(), encoding="utf-8")
