"""Language models of transformers as a kind of models."""

from rnnlm.lm.neural.kinds import OF_PROBABILITIES
from rnnlm.registry import Kind, imported


class Transformers(Kind):
    """A model that its library stores and loads."""

    family = "foreign"
    made_with = "transformers"

    library = imported(__package__, "folders:FOLDERS")

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.tools.huggingface.folders import TransformersSettings

        return (TransformersSettings,)


KINDS = [
    Transformers(
        "transformers", "a causal language model of Hugging Face's transformers", OF_PROBABILITIES
    )
]
