"""What functions and servers add to rnnlm."""

from rnnlm.satellites import Satellite, named, names_of

SATELLITE = Satellite(
    "tools/scorers",
    options=named(__package__, {"doctor": "doctor_command_options:doctor_options"}),
    checks=named(__package__, {"scores": "scorer_checks:checks_of_model"}),
    scorers=named(
        __package__,
        {r"https?://.+": "opening:server_scorer", r"[\w.]+:[\w.]+": "opening:function_scorer"},
    ),
    names=names_of(__package__),
)
