"""What KenLM's binary models add to rnnlm."""

from rnnlm.satellites import Satellite, all_on_use, on_use

SATELLITE = Satellite(
    "tools/kenlm_binaries",
    imports=all_on_use(__package__, "files:DOOR"),
    kinds=on_use(__package__, "kinds:KINDS"),
    libraries={"kenlm": on_use(__package__, "files:FILES")},
)
