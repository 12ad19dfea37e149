"""The settings classes of tasks that commands have options for."""

from rnnlm.tasks.labelling.formats.example import LabelledSettings
from rnnlm.tasks.seq2seq.options import DecodingSettings
from rnnlm.tasks.seq2seq.pairs import ParallelSettings

__all__ = ["DecodingSettings", "LabelledSettings", "ParallelSettings"]
