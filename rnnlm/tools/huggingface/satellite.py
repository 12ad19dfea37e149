"""What models of Hugging Face add to rnnlm."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from rnnlm.satellites import Export, Flag, Satellite

if TYPE_CHECKING:
    from rnnlm.registry import Kind, Library


def _downloading() -> AbstractContextManager[None]:
    from rnnlm.tools.huggingface import hub

    return hub.allowing(download=True)


def _trusting() -> AbstractContextManager[None]:
    from rnnlm.tools.huggingface import hub

    return hub.allowing(trust_remote_code=True)


def _exports() -> Sequence[Export]:
    from rnnlm.tools.huggingface.export_command import TRANSFORMERS

    return (TRANSFORMERS,)


def _kinds() -> "Sequence[Kind]":
    from rnnlm.tools.huggingface.kinds import KINDS

    return KINDS


def _tokenizer() -> type:
    from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer

    return HuggingFaceTokenizer


def _library() -> "Library":
    from rnnlm.tools.huggingface.folders import FOLDERS

    return FOLDERS


SATELLITE = Satellite(
    "tools/huggingface",
    flags={
        "--download": Flag("a missing model hf:NAME", _downloading),
        "--trust-remote-code": Flag("of a model hf:NAME", _trusting),
    },
    exports=_exports,
    kinds=_kinds,
    tokenizers={"huggingface": _tokenizer},
    libraries={"hf": _library},
)
