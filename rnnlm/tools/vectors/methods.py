"""Methods of `rnnlm.Model` for its vectors."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from rnnlm.interface import ModelHandle

if TYPE_CHECKING:
    import numpy as np

    from rnnlm.tools.vectors.settings import Pooling
    from rnnlm.tools.vectors.word_vectors import WordVectors


class VectorMethods(ModelHandle):
    """Vectors of words and lines."""

    def embed(
        self,
        lines: Iterable[str],
        *,
        pooling: "Pooling | None" = None,
        layer: str | int | None = None,
        words: bool = False,
    ) -> "np.ndarray":
        """Compute the vectors of lines or of their words. In an encoder-decoder, the encoder reads
        the lines.

        Args:
            lines: The N lines.
            pooling: How to combine the vectors of a line's tokens: "last" (the default), "mean" or
                "max".
            layer: Number or name of the layer whose outputs to return. None: the last layer.
            words: Return one vector per word, in the order of lines and words. Lines are split into
                words at white space; taggers and classifiers split them like their training data.

        Returns:
            Vectors of width H, (N, H) float32, in the order of the lines; with `words`, one row per
            word. A line without words has the vector of `</s>`.

        Raises:
            TypeError: `lines` is a single str.
            TextError: A line contains a newline, `<s>` or `</s>`.
            UsageError: The model has no layers, or not this one, or the arguments contradict each
                other.
        """
        from rnnlm.tools.vectors.embedding import Embedder
        from rnnlm.tools.vectors.settings import EmbeddingSettings

        return Embedder(self.core, EmbeddingSettings(pooling, layer, words)).vectors(lines)

    def word_vectors(self, which: Literal["input", "output"] = "input") -> "WordVectors":
        """Return a network's vectors for the tokens of its vocabulary.

        Args:
            which: "input" for the input word vectors, "output" for the weights of the softmax.

        Raises:
            UsageError: The model has no such vectors.
        """
        from rnnlm.tools.vectors.word_vectors import word_vectors

        return word_vectors(self.core, which)
