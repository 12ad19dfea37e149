"""What prepared texts add to rnnlm."""

from rnnlm.satellites import Command, Satellite, all_on_use, names_of, on_use

SATELLITE = Satellite(
    "tools/prepared",
    commands=lambda: [
        Command(
            "prepare",
            "More",
            "encode text",
            on_use(__package__, "prepare_command:command"),
            after="list",
        )
    ],
    folders=all_on_use(__package__, "folder:PREPARED"),
    names=names_of(__package__),
)
