"""What minimal pairs add to rnnlm."""

from rnnlm.satellites import Satellite, all_on_use, on_use

SATELLITE = Satellite(
    "tools/pairs",
    options=on_use(__package__, "pairs_command_options:OPTIONS"),
    methods=all_on_use(__package__, "methods:PairMethods"),
    names=all_on_use("rnnlm.tools", "pairs"),
)
