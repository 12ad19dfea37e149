"""Methods of `rnnlm.Model` that look into it.

Functions of the same names in the modules beside take several models, or word vectors, and more
keywords.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rnnlm.interface import ModelHandle

if TYPE_CHECKING:
    from rnnlm.interface import LanguageModel
    from rnnlm.tools.inspection import (
        beam,
        cloze,
        gates,
        memory,
        probing,
        similarity,
        spectrum,
        units,
    )
    from rnnlm.tools.inspection.common import Source
    from rnnlm.tools.inspection.gradients import flow, sensitivity


class InspectionMethods(ModelHandle):
    """Inspections of the model."""

    def inspect_gates(
        self, sentence: str, *, units: Sequence[int] = (), unit_count: int = 16
    ) -> "gates.GatesInspection":
        """Record gates, cells and hidden states while the model reads a sentence.

        Args:
            sentence: The text to read.
            units: Numbers of the units to draw, from 0; none: the `unit_count` units of each layer
                that vary most.
            unit_count: Number of units to draw per layer.

        Returns:
            The values of each layer at each token.
        """
        from rnnlm.tools.inspection.gates import inspect_gates

        return inspect_gates(self.core, sentence, units=units, unit_count=unit_count)

    def inspect_units(
        self, text: "Source | None" = None, *, unit: int | None = None, layer: int = 1
    ) -> "units.UnitsInspection":
        """Rank units by how closely they follow quotations, brackets, the line's length, the
        position in the line, and numbers.

        Args:
            text: Text to read. None: the test split of the bundled English.
            unit: Number of the unit to draw, from 0. None: the unit that follows a feature most
                closely.
            layer: Layer of `unit`, from 1.

        Returns:
            Correlations of all units with each feature.
        """
        from rnnlm.tools.inspection.units import inspect_units

        return inspect_units(self.core, text, unit=unit, layer=layer)

    def inspect_saturation(self, text: "Source | None" = None) -> "units.SaturationInspection":
        """Count how often units and gates are at an end of their range, and which always are.

        Args:
            text: Text to read. None: the test split of the bundled English.

        Returns:
            Shares of positions for each unit of each layer.
        """
        from rnnlm.tools.inspection.units import inspect_saturation

        return inspect_saturation(self.core, text)

    def inspect_memory(
        self, text: "Source | None" = None, *, positions: int = 2000, window: int = 200
    ) -> "memory.MemoryInspection":
        """Measure how far back the model uses its input.

        Args:
            text: Text to read. None: the test split of the bundled English.
            positions: Number of positions to draw from the text.
            window: Number of tokens read when earlier ones are shuffled.

        Returns:
            Perplexities by the number of tokens seen.
        """
        from rnnlm.tools.inspection.memory import inspect_memory

        return inspect_memory(_by_name(self), text, positions=positions, window=window)

    def inspect_sensitivity(self, sentence: str) -> "sensitivity.SentenceSensitivity":
        """Measure the influence of each word of a sentence on later predictions.

        Args:
            sentence: The text to read.

        Returns:
            A map of predictions by earlier tokens.
        """
        from rnnlm.tools.inspection.gradients.sensitivity import inspect_sensitivity

        return inspect_sensitivity(_by_name(self), sentence)

    def inspect_gradients(
        self, text: "Source | None" = None, *, lags: int = 100, positions: int = 1000
    ) -> "flow.GradientFlow":
        """Measure how gradients flow through time.

        Args:
            text: Text to read. None: the test split of the bundled English.
            lags: Largest distance to measure, in tokens.
            positions: Number of positions to draw from the text.

        Returns:
            Sizes of gradients by lag, and their rates.
        """
        from rnnlm.tools.inspection.gradients.flow import inspect_gradients

        return inspect_gradients(_by_name(self), text, lags=lags, positions=positions)

    def inspect_spectrum(self) -> "spectrum.SpectrumInspection":
        """Compute the spectra of its recurrent weights."""
        from rnnlm.tools.inspection.spectrum import inspect_spectrum

        return inspect_spectrum(_by_name(self))

    def inspect_cloze(
        self, file: str | Path | None = None, *, items: bool = False
    ) -> "cloze.Cloze":
        """Measure how well the model fills gaps.

        Args:
            file: Table with the columns text (`___` is the gap) and answer. None: 200 bundled
                items.
            items: Also show the likeliest words for each gap.

        Returns:
            Accuracies and surprisals by group of items.
        """
        from rnnlm.tools.inspection.cloze import inspect_cloze

        return inspect_cloze(_by_name(self), file, items=items)

    def inspect_probe(
        self,
        data: str | Path = "words-and-tags",
        *,
        label_column: str | None = None,
        level: Literal["word", "text"] | None = None,
    ) -> "probing.ProbeInspection":
        """Measure how well each layer predicts the labels of words or texts.

        Args:
            data: File of labelled data, or name of a bundled corpus.
            label_column: Column of the labels, if there are several.
            level: "word" or "text": whether words or texts have labels. None: words, or as in the
                bundled corpus.

        Returns:
            Accuracies of all layers, with their controls.
        """
        from rnnlm.tools.inspection.probing import inspect_probe

        return inspect_probe(self.core, data, label_column=label_column, level=level)

    def inspect_beam(
        self, line: str = "", *, beam: int = 3, max_tokens: int = 4
    ) -> "beam.BeamInspection":
        """Search for the likeliest continuation of a line by a beam, and record each step.

        Args:
            line: Beginning of a line, or source of an encoder-decoder.
            beam: Number of continuations kept at each step.
            max_tokens: Longest continuation, in tokens.

        Returns:
            The continuations of each step, as a tree.
        """
        from rnnlm.tools.inspection.beam import inspect_beam

        return inspect_beam(self.core, line, beam=beam, max_tokens=max_tokens)

    def inspect_neighbours(
        self, words: Sequence[str], *, count: int = 10
    ) -> "similarity.Neighbours":
        """Find the words whose vectors are nearest to the vectors of given words.

        Args:
            words: The given words.
            count: Number of neighbours per word.

        Returns:
            The neighbours of each word with their cosines.
        """
        from rnnlm.tools.inspection.similarity import inspect_neighbours

        return inspect_neighbours(self.core, words, count=count)

    def inspect_similarity(
        self, lines: Sequence[str] = (), *, ratings: "str | Path | None" = None
    ) -> "similarity.Similarity":
        """Compare every two of some lines, or pairs of words with the ratings of people.

        Args:
            lines: The lines.
            ratings: Table with two words and a number in each row; "ratings" is bundled.

        Returns:
            The cosines of each pair; None if only unknown words differ.
        """
        from rnnlm.tools.inspection.similarity import inspect_similarity

        return inspect_similarity(self.core, lines, ratings=ratings)

    def inspect_analogy(self, words: Sequence[str], *, count: int = 10) -> "similarity.Analogy":
        """Find the words nearest to a - b + c.

        Args:
            words: The three words a, b and c.
            count: Number of answers.

        Returns:
            The answers with their cosines.
        """
        from rnnlm.tools.inspection.similarity import inspect_analogy

        return inspect_analogy(self.core, words, count=count)


def _by_name(model: ModelHandle) -> "Mapping[str, LanguageModel]":
    return {model.name or "model": model.core}
