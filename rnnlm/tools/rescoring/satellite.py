"""What rescoring adds to rnnlm."""

from rnnlm.satellites import Command, Elsewhere, Satellite, names_of, on_use

SATELLITE = Satellite(
    "tools/rescoring",
    commands=lambda: [
        Command(
            "rescore",
            "More",
            "n-best lists",
            on_use(__package__, "rescore_command:command"),
            takes=("language-model",),
        )
    ],
    elsewhere=lambda: [
        Elsewhere("jiwer", "rnnlm rescore --apply LIST -m MODEL"),
        Elsewhere("wer", "rnnlm rescore --apply LIST -m MODEL"),
    ],
    names=names_of(__package__),
)
