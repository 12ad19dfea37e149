"""What the HTTP server adds to rnnlm."""

from rnnlm.satellites import EVERY_TASK, Command, Satellite, on_use

SATELLITE = Satellite(
    "tools/serving",
    needs=("tasks/labelling", "tasks/seq2seq", "tools/inspection", "tools/rescoring"),
    commands=lambda: [
        Command(
            "serve",
            "More",
            "over HTTP",
            on_use(__package__, "serve_command:command"),
            takes=(EVERY_TASK,),
        )
    ],
)
