"""KenLM's models as a kind of models."""

from rnnlm.lm.neural.kinds import OF_PROBABILITIES
from rnnlm.registry import Kind, imported


class Kenlm(Kind):
    """A model that KenLM stores and reads."""

    family = "foreign"
    made_with = "KenLM's build_binary"

    library = imported(__package__, "files:FILES")

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.tools.kenlm_binaries.files import KenlmSettings

        return (KenlmSettings,)


KINDS = [Kenlm("kenlm", "n-grams in a binary file of KenLM", OF_PROBABILITIES)]
