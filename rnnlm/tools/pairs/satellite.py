"""What minimal pairs add to rnnlm."""

from rnnlm.satellites import Satellite, methods_of, named, names_of

SATELLITE = Satellite(
    "tools/pairs",
    options=named(__package__, {"score": "pairs_command_options:score_options"}),
    methods=methods_of(__package__, "methods:PairMethods"),
    names=names_of(__package__),
)
