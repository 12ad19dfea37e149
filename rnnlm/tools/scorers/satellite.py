"""What functions and servers add to rnnlm."""

from rnnlm.satellites import Satellite, named

SATELLITE = Satellite(
    "tools/scorers",
    options=named(__package__, {"doctor": "doctor_command_options:doctor_options"}),
    scorers=named(
        __package__,
        {r"https?://.+": "opening:server_scorer", r"[\w.]+:[\w.]+": "opening:function_scorer"},
    ),
)
