"""What KenLM's binary models add to rnnlm."""

from rnnlm.satellites import Import, Named, Satellite, named, on_use
from rnnlm.tools.kenlm_binaries import KIND

SATELLITE = Satellite(
    "tools/kenlm_binaries",
    imports=lambda: [
        Import(
            "a binary of KenLM",
            kinds=(KIND,),
            read=lambda *given, **details: on_use(__package__, "files:import_binary")()(
                *given, **details
            ),
            details=("tokenizer_from", "normalise"),
        )
    ],
    kinds=on_use(__package__, "kinds:KINDS"),
    tokenizers=named(__package__, {"pieces": "files:PieceTokenizer"}),
    libraries=lambda: [
        Named("kenlm", on_use(__package__, "files:FILES"), "kenlm:FILE for a binary of KenLM")
    ],
)
