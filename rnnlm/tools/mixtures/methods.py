"""Methods of `rnnlm.Model` for adapting it to the text it reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, cast

from rnnlm.interface import ModelHandle

if TYPE_CHECKING:
    from torch import Tensor

    from rnnlm.config import SettingValue
    from rnnlm.text.corpus import Text
    from rnnlm.tools.mixtures.adapted_model import AdaptationSettings, TunedSettings


class AdaptationMethods(ModelHandle):
    """Adaptation of a language model."""

    _commands: ClassVar = {"adapt": "tune", "tune": "tune"}

    def adapt(
        self,
        kind: Literal["unigram", "cache", "dynamic"],
        settings: "AdaptationSettings | None" = None,
        statistics: "Mapping[str, Tensor] | None" = None,
    ) -> Self:
        """Return a model that adapts this one to the text it reads. `rnnlm.load("NAME+KIND")` uses
        tuned settings; this method does not.

        Args:
            kind: "unigram" (a cache of words), "cache" (the neural cache) or "dynamic" (dynamic
                evaluation).
            settings: Object of the settings class in
                :data:`rnnlm.tools.mixtures.adapted_model.KINDS`. None: its defaults.
            statistics: For the rule rms of "dynamic", the result of
                :func:`rnnlm.tools.mixtures.dynamic_evaluation.gather_statistics`.

        Raises:
            UsageError: The kind is unknown or not available for this model, or statistics are
                missing.
            ArgumentTypeError: The settings are of another class.
        """
        from rnnlm.tools.mixtures.adaptation import adapt

        return type(self)(adapt(self._core_for("adapt"), kind, settings, statistics))

    def tune(
        self,
        kind: Literal["unigram", "cache", "dynamic"],
        on: "str | Path | Sequence[str | Path] | Text",
        *,
        given: "Mapping[str, SettingValue] | None" = None,
        statistics: "str | Path | Sequence[str | Path] | Text | None" = None,
        tokens: int | None = None,
        overwrite: bool = False,
    ) -> "TunedSettings":
        """Tune the settings of an adaptation and save them in the model's folder, where
        `rnnlm.load("NAME+KIND")` finds them. If they are already there, return them at once.

        Args:
            kind: "unigram", "cache" or "dynamic", as for :meth:`adapt`.
            on: Held-out text, read as one stream.
            given: Settings to keep fixed, by name.
            statistics: Training text to compute and save gradient statistics on, in order to tune
                the rule rms of "dynamic".
            tokens: Number of tokens of `on` to use, from its start. None: all.
            overwrite: Replace settings that were tuned differently.

        Returns:
            The settings, and the perplexities with and without them.

        Raises:
            UsageError: The kind is unknown or not available for this model, the model has no
                folder, or statistics are missing or for another kind.
            SettingsError: A given setting is unknown or invalid.
            TextError: A text cannot be read, or is empty.
            OutputError: The folder cannot be written to, or holds settings that were tuned
                differently.
        """
        from rnnlm.tools.mixtures.tuning import tune

        self._core_for("tune")
        folder = self._stored("has no folder to keep settings in")
        *_, tuned = tune(
            folder, kind, on, given=given, statistics=statistics, tokens=tokens, overwrite=overwrite
        )
        return cast("TunedSettings", tuned)
