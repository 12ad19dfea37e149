"""What grids add to rnnlm."""

from rnnlm.satellites import Satellite, all_on_use, on_use

SATELLITE = Satellite(
    "tools/grids",
    options=on_use(__package__, "grid_command_options:OPTIONS"),
    names=all_on_use("rnnlm.tools", "grids"),
)
