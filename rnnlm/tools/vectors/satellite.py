"""What vectors of words and lines add to rnnlm."""

from rnnlm.satellites import Command, Satellite, all_on_use, on_use

SATELLITE = Satellite(
    "tools/vectors",
    commands={
        "vectors": Command(
            "More", "word vectors", on_use(__package__, "vectors_command:command"), after="report"
        ),
        "embed": Command(
            "More",
            "line vectors",
            on_use(__package__, "embed_command:command"),
            after="vectors",
            takes=("language-model",),
        ),
    },
    exports=all_on_use(__package__, "vectors_command:VECTORS"),
    methods=all_on_use(__package__, "methods:VectorMethods"),
    names=all_on_use("rnnlm.tools", "vectors"),
)
