"""Methods of `rnnlm.Model` for taggers and classifiers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rnnlm.interface import ModelHandle

if TYPE_CHECKING:
    from rnnlm.tasks.labelling.tagging import ClassifiedTexts, TaggedSentences


class LabellingMethods(ModelHandle):
    """The uses of models that label words or texts."""

    _commands: ClassVar = {"tag": "tag", "classify": "classify"}

    def tag(
        self,
        sentences: Sequence[str | Sequence[str]],
        *,
        nbest: int = 1,
        probabilities: bool = False,
    ) -> "TaggedSentences":
        """Label the words of sentences.

        Args:
            sentences: Each a str with words separated by white space, or a list of words; for a
                letters-to-sounds model, a word or a list of its letters.
            nbest: Number of label sequences per sentence. 1 is the one that the network finds most
                probable. From 2 on they are ranked by their whole probability, the sum over all
                that are written alike: edit scripts with one lemma, divisions of a word's sounds,
                labels that break the scheme of their spans.
            probabilities: Also return the probabilities of each word's labels; for a CRF, the
                marginals.

        Returns:
            A list with one tagged sentence for each sentence.

        Raises:
            UsageError: The model is not a tagger.
        """
        from rnnlm.tasks.labelling.tagging import tag

        return tag(self._core_for("tag"), sentences, nbest=nbest, probabilities=probabilities)

    def classify(
        self, texts: Sequence[str | Sequence[str]], *, nodes: bool = False
    ) -> "ClassifiedTexts":
        """Label whole texts.

        Args:
            texts: Each a str with words separated by white space, or a list of words.
            nodes: Also label each node of the tree over a text, for a recursive network.

        Returns:
            A list with one classified text for each text.

        Raises:
            UsageError: The model is not a classifier, or has no nodes.
        """
        from rnnlm.tasks.labelling.tagging import classify

        return classify(self._core_for("classify"), texts, nodes=nodes)
