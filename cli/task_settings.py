"""The settings classes of tasks that commands have options for: None where a task was removed."""

from typing import Any

from rnnlm.registry import unless_removed


def _labelled() -> Any:
    from rnnlm.tasks.labelling.formats.example import LabelledSettings

    return LabelledSettings


def _parallel() -> Any:
    from rnnlm.tasks.seq2seq.pairs import ParallelSettings

    return ParallelSettings


def _decoding() -> Any:
    from rnnlm.tasks.seq2seq.options import DecodingSettings

    return DecodingSettings


LabelledSettings = unless_removed(_labelled)
ParallelSettings = unless_removed(_parallel)
DecodingSettings = unless_removed(_decoding)
