"""Write the files that are put together from the descriptions of our satellites: the public names
and the methods of `rnnlm.Model` for type checkers, and the table of all names by which an error
says which satellite is missing. `python tests/support/satellite_files.py` writes them."""

import re
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
    """Return the stub of the class that has all methods of satellites."""
    functions = [method.function for method in satellites.entries("methods")]
    classes = {it.__qualname__.partition(".")[0]: it.__module__ for it in functions}
    names = list(classes)
    imports = sorted(f"from {module} import {name}" for name, module in classes.items())
    about = f'"""The methods that satellites bring to rnnlm.Model.\n\n{BY_SCRIPT}"""'
    bases = [f"    {', '.join(names)}"]
    if len(bases[0]) > 100:
        bases = [f"    {name}," for name in names]
    return "\n".join([about, "", *imports, "", "class ModelMethods(", *bases, "): ...", ""])


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
        lines += ["", f"[{sort}]", *(f'{name} = "{owner}"' for name, owner in by_name.items())]
    return "\n".join([*lines, ""])


FILES = {"__init__.pyi": public_names, "model_methods.pyi": model_methods, "satellites.toml": table}


if __name__ == "__main__":
    for name, content in FILES.items():
        (HERE / name).write_text(content(), encoding="utf-8")
