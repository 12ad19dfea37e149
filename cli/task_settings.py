"""The settings classes of tasks that commands have options for: None where a task was removed."""

try:
    from rnnlm.tasks.labelling.formats.example import LabelledSettings
except ModuleNotFoundError:
    LabelledSettings = None  # type: ignore[misc, assignment]

try:
    from rnnlm.tasks.seq2seq.options import DecodingSettings
    from rnnlm.tasks.seq2seq.pairs import ParallelSettings
except ModuleNotFoundError:
    DecodingSettings = ParallelSettings = None  # type: ignore[misc, assignment]
