"""The kind of models that are mixed of others."""

from rnnlm.lm.neural.kinds import OF_PROBABILITIES
from rnnlm.registry import Kind, imported


class MixtureKind(Kind):
    """Several models as one."""

    family = "combination"
    takes_parts = True
    made_with = "rnnlm mix A B --on TEXT"

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.tools.mixtures.mixture import MixtureSettings

        return (MixtureSettings,)

    array_shapes = imported(__package__, "mixture:array_shapes")
    from_arrays = imported(__package__, "mixture:from_arrays")


MIXTURE = MixtureKind("mixture", "several models as one, each with a weight", OF_PROBABILITIES)
