"""The method of `rnnlm.Model` for encoder-decoders."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypedDict

from rnnlm.interface import ModelHandle

if TYPE_CHECKING:
    from rnnlm.tasks.seq2seq.decoding import TranslatedLines
    from rnnlm.tasks.seq2seq.options import DecodingSettings


class TranslationKeywords(TypedDict, total=False):
    """Keywords of :meth:`rnnlm.Model.evaluate` and :func:`rnnlm.compare` for encoder-decoders.

    Attributes:
        target: If targets are in separate files, one file of targets for each file of sources, and
            as many more for each further reference.
        decoding: How to decode sources. None: greedily.
    """

    target: Sequence[str | Path]
    decoding: "DecodingSettings | None"


class SourceKeywords(TypedDict, total=False):
    """Keywords of :meth:`rnnlm.Model.score_sentences` for encoder-decoders.

    Attributes:
        sources: Source of each sentence, one for all or one for each; scores are log
            p(sentence | source).
    """

    sources: str | Sequence[str] | None


class TranslationMethods(ModelHandle):
    """The use of models that write a line for each line."""

    _commands: ClassVar = {"translate": "translate"}

    def translate(
        self,
        sources: Sequence[str],
        *,
        beam: int = 1,
        nbest: int = 1,
        attention: bool = False,
        mbr: bool = False,
        settings: "DecodingSettings | None" = None,
    ) -> "TranslatedLines":
        """Return the outputs of an encoder-decoder for each source.

        Args:
            sources: The source texts.
            beam: Beam width: number of continuations kept at each step.
            nbest: Number of hypotheses per source.
            attention: Also return the attention of each token, which has a `figure()`.
            mbr: Return the hypothesis that is most like all `nbest` by chrF (minimum Bayes risk).
            settings: A :class:`rnnlm.DecodingSettings` instead of these four.

        Returns:
            A list with the hypotheses of each source, best first.

        Raises:
            UsageError: The model is not an encoder-decoder, or has no attention to return.
            TextError: A source contains a newline.
        """
        from rnnlm.tasks.seq2seq.decoding import translate
        from rnnlm.tasks.seq2seq.options import DecodingSettings

        chosen = settings or DecodingSettings(
            beam=max(beam, nbest), nbest=nbest, attention=attention, mbr=mbr
        )
        return translate(self._core_for("translate"), sources, settings=chosen)
