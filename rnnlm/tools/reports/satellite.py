"""What reports of runs add to rnnlm."""

from rnnlm.satellites import Command, Satellite, names_of, on_use

SATELLITE = Satellite(
    "tools/reports",
    commands=lambda: [
        Command(
            "report",
            "More",
            "training curves",
            on_use(__package__, "report_command:command"),
            after="tune",
        )
    ],
    names=names_of(__package__),
)
