"""What grids add to rnnlm."""

from rnnlm.satellites import Satellite, named, names_of

SATELLITE = Satellite(
    "tools/grids",
    needs=("tools/reports",),
    options=named(__package__, {"train": "grid_command_options:train_options"}),
    names=names_of(__package__),
)
