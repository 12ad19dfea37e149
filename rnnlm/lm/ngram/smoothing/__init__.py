"""The estimators of n-gram models, by the name of their smoothing."""

from rnnlm.errors import SettingsError, keyword
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.lm.ngram.smoothing.estimator import Estimator, join_named
from rnnlm.lm.ngram.smoothing.kneser_ney import AbsoluteDiscounting, KneserNey, ModifiedKneserNey
from rnnlm.lm.ngram.smoothing.other_methods import (
    Additive,
    Interpolated,
    JelinekMercer,
    Katz,
    MaximumLikelihood,
    StupidBackoff,
    WittenBell,
)

ESTIMATORS: dict[str, type[Estimator]] = {
    "mkn": ModifiedKneserNey,
    "kn": KneserNey,
    "witten-bell": WittenBell,
    "absolute": AbsoluteDiscounting,
    "additive": Additive,
    "jelinek-mercer": JelinekMercer,
    "interpolated": Interpolated,
    "katz": Katz,
    "stupid": StupidBackoff,
    "mle": MaximumLikelihood,
}


def check_join(settings: NgramSettings) -> None:
    """Make sure that the estimator mixes in or backs off to the lower order as the settings say."""
    joins = ESTIMATORS[settings.smoothing].joins
    if settings.interpolate is not None and join_named(settings) not in joins:
        raise SettingsError(
            f"interpolate = {str(settings.interpolate).lower()} is not possible with smoothing "
            f"{settings.smoothing}",
            f"it can only {joins[0]}",
            "leave " + keyword("interpolate") + " out",
        )
