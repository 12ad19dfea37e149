"""What models of Hugging Face add to rnnlm."""

from contextlib import AbstractContextManager

from rnnlm.satellites import Elsewhere, Flag, Named, Satellite, all_on_use, named, on_use


def _downloading() -> AbstractContextManager[None]:
    from rnnlm.tools.huggingface import hub

    return hub.allowing(download=True)


def _trusting() -> AbstractContextManager[None]:
    from rnnlm.tools.huggingface import hub

    return hub.allowing(trust_remote_code=True)


SATELLITE = Satellite(
    "tools/huggingface",
    flags=lambda: [
        Flag("--download", "a missing model hf:NAME", _downloading),
        Flag("--trust-remote-code", "of a model hf:NAME", _trusting),
    ],
    elsewhere=lambda: [
        Elsewhere("minicons", "rnnlm score SENTENCE --words -m hf:NAME"),
        Elsewhere("surprisal", "rnnlm score SENTENCE --words -m hf:NAME"),
        Elsewhere("lm_eval", "rnnlm export -m MODEL --hf DIR"),
        Elsewhere("lm-eval", "rnnlm export -m MODEL --hf DIR"),
    ],
    options=named(__package__, {"doctor": "export_command:doctor_options"}),
    exports=all_on_use(__package__, "export_command:TRANSFORMERS"),
    kinds=on_use(__package__, "kinds:KINDS"),
    tokenizers=named(__package__, {"huggingface": "tokenizer:HuggingFaceTokenizer"}),
    libraries=lambda: [
        Named(
            "hf",
            on_use(__package__, "folders:FOLDERS"),
            "hf:NAME for a language model of transformers",
        )
    ],
)
