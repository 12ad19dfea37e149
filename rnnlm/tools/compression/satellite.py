"""What compression adds to rnnlm."""

from rnnlm.satellites import Command, Satellite, on_use

SATELLITE = Satellite(
    "tools/compression",
    commands=lambda: [
        Command(
            "compress",
            "More",
            "text by a model",
            on_use(__package__, "compress_command:compress_command"),
            takes=("language-model",),
        ),
        Command(
            "decompress",
            "More",
            "its text",
            on_use(__package__, "compress_command:decompress_command"),
            after="compress",
            takes=("language-model",),
        ),
    ],
)
