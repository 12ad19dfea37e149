"""What KenLM's binary models add to rnnlm."""

from typing import Any

from rnnlm.errors import UsageError
from rnnlm.satellites import Import, Named, Satellite, on_use
from rnnlm.tools.kenlm_binaries import KIND


def _refuse(file: Any, *arguments: Any) -> str:
    raise UsageError(
        f"{file} is a binary of KenLM, which is not imported",
        "it is read where it is",
        f"name it: -m kenlm:{file}",
    )


SATELLITE = Satellite(
    "tools/kenlm_binaries",
    imports=lambda: [Import("a binary of KenLM", kinds=(KIND,), read=_refuse)],
    kinds=on_use(__package__, "kinds:KINDS"),
    libraries=lambda: [
        Named("kenlm", on_use(__package__, "files:FILES"), "kenlm:FILE for a binary of KenLM")
    ],
)
