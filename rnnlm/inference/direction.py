"""What a model cannot do that reads each line from its end."""

from rnnlm.errors import UsageError
from rnnlm.interface import Tokenizer


def check_reads_forward(tokenizer: Tokenizer, task: str) -> None:
    """Make sure that a model of `tokenizer` reads lines from their beginning. task: what it is asked for, after "it cannot".

    Raises:
        UsageError: it reads them from their end.
    """
    if tokenizer.is_reversed:
        raise UsageError(
            f"this model reads each line from its end: it cannot {task}",
            "it says how likely a word is before the words that follow it",
            "take a model trained without reversed=true; whole lines are scored by eval, score and rescore",
        )
