"""What vectors of words and lines add to rnnlm."""

from rnnlm.satellites import Command, Satellite, all_on_use, methods_of, names_of, on_use

SATELLITE = Satellite(
    "tools/vectors",
    commands=lambda: [
        Command(
            "vectors",
            "More",
            "word vectors",
            on_use(__package__, "vectors_command:command"),
            after="report",
        ),
        Command(
            "embed",
            "More",
            "line vectors",
            on_use(__package__, "embed_command:command"),
            after="vectors",
            takes=("language-model",),
        ),
    ],
    exports=all_on_use(__package__, "vectors_command:VECTORS"),
    methods=methods_of(__package__, "methods:VectorMethods"),
    names=names_of(__package__),
)
