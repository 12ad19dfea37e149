"""A loaded model as Python users hold it: its uses as methods, in the terms of its task.

>>> import rnnlm
>>> model = rnnlm.load()                                           # doctest: +SKIP
>>> model.logprob_nats("the dog barked")                           # doctest: +SKIP
>>> model.generate("the dog", num=3, temperature=0.8)              # doctest: +SKIP

What is about one model is a method. Functions of :mod:`rnnlm` are about several models, or files.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rnnlm import registry
from rnnlm.checks import several
from rnnlm.config import plain, takes_fields
from rnnlm.errors import UsageError, nearest
from rnnlm.interface import Array, Device, ModelHandle, State, Tokenizer, core_of
from rnnlm.lm.base import loading
from rnnlm.lm.mixtures.adapted_model import AdaptedModel
from rnnlm.scoring.generation.sampling import Drawing
from rnnlm.scoring.generation.settings import BeamSettings
from rnnlm.scoring.settings import SentenceScoring
from rnnlm.tabular import RecordList

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from rnnlm.config import SettingValue
    from rnnlm.evaluation.metrics import Evaluation
    from rnnlm.evaluation.soundness import Check
    from rnnlm.interface import LanguageModel
    from rnnlm.lm.base.adaptation_settings import AdaptationSettings
    from rnnlm.lm.base.companions import TunedSettings
    from rnnlm.registry import LabelModel
    from rnnlm.scoring.generation.drawing import Sample
    from rnnlm.scoring.next_word import NextWord
    from rnnlm.scoring.pairs.accuracy import PairScores, TestSet
    from rnnlm.scoring.pairs.pair import Pair
    from rnnlm.scoring.rows import SentenceScores
    from rnnlm.scoring.sentences import Sentence
    from rnnlm.scoring.word_scorer import WordScorer
    from rnnlm.tasks.labelling.evaluation.results import ClassifiedTexts, TaggedSentences
    from rnnlm.tasks.seq2seq.options import DecodingSettings
    from rnnlm.tasks.seq2seq.results import TranslatedLines
    from rnnlm.text.lines import Progress, TextSettings
    from rnnlm.tools.inspection.cloze import Cloze
    from rnnlm.tools.inspection.common import Source
    from rnnlm.tools.inspection.gates import GatesInspection
    from rnnlm.tools.inspection.gradients.flow import GradientFlow
    from rnnlm.tools.inspection.gradients.sensitivity import SentenceSensitivity
    from rnnlm.tools.inspection.memory import Memory
    from rnnlm.tools.inspection.neighbours import Analogy, Neighbours
    from rnnlm.tools.inspection.probing import ProbeInspection
    from rnnlm.tools.inspection.spectrum import SpectrumInspection
    from rnnlm.tools.vectors.settings import Pooling
    from rnnlm.tools.vectors.word_vectors import WordVectors
    from rnnlm.training.task import Given

# The command that each method stands for, where not all models have it.
METHODS = {
    "score_sentences": "score", "logprob_nats": "score", "surprisal_bits": "score",
    "scorer": "score", "generate": "generate", "likeliest": "generate", "next_words": "generate",
    "adapt": "tune", "tune": "tune", "tag": "tag", "classify": "classify", "translate": "translate",
}  # fmt: skip

UNITS = {"word": "words", "char": "characters", "byte": "bytes", "sentencepiece": "pieces"}


def load(name: str | Path = loading.SHIPPED, device: str | Device = "auto") -> "Model":
    """Load the model in a folder, or of that name in ./checkpoints or among those shipped.

    Without a name it is the shipped one, an LSTM of the bundled corpus. NAME+KIND is the model NAME
    adapting itself to what it reads, unless a folder has exactly that name.

    Raises:
        ModelError: there is none, or it is damaged.
        UsageError: it cannot adapt itself so.
        DeviceError: `device` is not available.
    """
    return Model(loading.load(name, device))


class Model(ModelHandle):
    """A model, and what one does with it.

    core: the model itself, an :class:`rnnlm.LanguageModel` or a model of labels or pairs. Its own
    methods and properties are also those of this object. fingerprint: a hash of weights and
    tokenizer; None of a model that was never saved.
    """

    def __init__(self, core: "LanguageModel | LabelModel | Model") -> None:
        self.core = core_of(core)
        self.fingerprint: str | None = self.core.fingerprint

    # ---- What it is.

    @property
    def task(self) -> str:
        """The task, which is "language-model", "tagging", "classification" or "seq2seq"."""
        return loading.task_of(self.core)

    @property
    def kind(self) -> str:
        """The kind of model, such as "lstm"."""
        return loading.kind_of(self.core)

    @property
    def name(self) -> str | None:
        """The name of its folder; None of a model that is in memory alone."""
        return None if self.folder is None else self.folder.name

    @property
    def folder(self) -> Path | None:
        """The folder that it was loaded from; None of a model that is in memory alone."""
        origin = loading.origin_of(self.core)
        return None if origin is None else Path(origin[0])

    @property
    def parameters(self) -> int:
        """How many numbers its weights, or tables, hold."""
        return loading.parameters_of(self.core)

    def info(self) -> dict[str, Any]:
        """Return what `rnnlm info` says of its folder: size, settings, training, results.

        Raises:
            UsageError: the model was not loaded from a folder.
        """
        from rnnlm.training import info

        return info.describe(str(self._stored("has no folder to describe")))

    def _stored(self, lack: str) -> Path:
        if self.folder is None:
            raise UsageError(
                "the model was not loaded from a folder",
                f"it {lack}",
                "rnnlm.train and rnnlm.mix store their models in `output`",
            )
        return self.folder

    def __repr__(self) -> str:
        called = f"{self.name}: " if self.name else ""
        sizes = ", ".join(f"{size} {what}" for what, size in self._facts().items())
        return f"<{called}{self._kind_in_words()}, {sizes}>"

    def _kind_in_words(self) -> str:
        if isinstance(self.core, AdaptedModel):
            return f"{self.kind} + {self.core.kind}"
        return self.kind

    def _facts(self) -> dict[str, str]:
        task = registry.task(self.task)
        sizes = {"parameters": f"{self.parameters:,}"}
        for name, tokenizer in task.describe(self.core.tokenizer).tokenizers.items():
            what = name.replace("tokenizer", UNITS.get(tokenizer.name, "tokens"))
            sizes[what] = f"{tokenizer.size:,}"
        return sizes

    def __dir__(self) -> list[str]:
        """List what models of this task have; the core's own methods are those of `core`."""
        task = registry.task(self.task)
        useless = {name for name, command in METHODS.items() if command not in task.commands}
        return sorted({*super().__dir__()} - useless)

    def _check(self, method: str) -> None:
        """Refuse a method that models of this task do not have."""
        task = registry.task(self.task)
        if METHODS[method] in task.commands:
            return
        others = [name for name, command in METHODS.items() if command in task.commands]
        raise UsageError(
            f"{self.name or 'this model'} is {task.singular}, which has no {method}()",
            hint=f"it has: {', '.join(['evaluate', *others])}",
        )

    def __getattr__(self, name: str) -> Any:
        if name == "core" or name.startswith("__"):
            raise AttributeError(name)
        try:
            return getattr(self.core, name)
        except AttributeError:
            raise AttributeError(f"this model has no {name!r}: {self._hint(name)}") from None

    def _hint(self, name: str) -> str:
        """Return what to write instead of a name that models do not have."""
        import rnnlm

        if name in ("perplexity", "ppl", "ppl_token"):
            return "model.evaluate(text).ppl_token is its perplexity"
        if name.islower() and name in dir(rnnlm):
            return f"rnnlm.{name} is a function"
        return nearest(name, [each for each in dir(self) if not each.startswith("_")])

    # ---- What models of every task do.

    def evaluate(
        self,
        text: "Given | None" = None,
        *,
        context: Literal["carry", "reset"] | None = None,
        text_settings: "TextSettings | None" = None,
        target: Sequence[str | Path] = (),
        decoding: "DecodingSettings | None" = None,
        reading: Mapping[str, object] | None = None,
        progress: "Progress | None" = None,
    ) -> "Evaluation":
        """Evaluate the model on a text or several, given as paths or opened. None is the test part
        of the bundled corpus that it was trained on. Each task has its keywords; None is the usual
        value.

        Of a language model, context: "carry" (one stream, the usual one) or "reset" (each line
        alone). text_settings: how lines are read. progress: called with how far reading and scoring
        are.

        Of a tagger or classifier, reading: settings of
        :class:`~rnnlm.tasks.labelling.formats.example.LabelledSettings` that differ from the
        training data's.

        Of an encoder-decoder, target: for each file one with its targets, where these are in
        separate files; as many again for each further reference. decoding: how sources are
        decoded; None: greedily. reading: settings of
        :class:`~rnnlm.text.pair_columns.ParallelSettings` that differ from the training data's.

        Raises:
            UsageError: a keyword does not go with the model.
            TextError: a text cannot be read or is empty.
        """
        from rnnlm.evaluation.evaluate import evaluate

        return evaluate(
            self.core, text, context=context, text_settings=text_settings,
            target=target, decoding=decoding, reading=reading, progress=progress,
        )  # fmt: skip

    def embed(
        self,
        lines: Iterable[str],
        *,
        pooling: "Pooling | None" = None,
        layer: str | int | None = None,
        words: bool = False,
    ) -> "np.ndarray":
        """Return vectors of lines, (N, H) float32, in their order; a line without words has the
        vector of `</s>` alone. Of an encoder-decoder, the encoder reads them.

        pooling: what is made of the vectors of a line's tokens: "last" (the usual one), "mean" or
        "max". layer: whose outputs they are; None: the last. words: one vector a word, the words of
        the first line first. Lines are split into words at white space; taggers and classifiers
        split them as their training data.

        Raises:
            TypeError: `lines` is one text instead of several.
            TextError: a line holds a newline, or `<s>` or `</s>`.
            UsageError: the model has no layers, or not this one; the request contradicts itself.
        """
        from rnnlm.tools.vectors.embedding import Embedder
        from rnnlm.tools.vectors.settings import EmbeddingSettings

        return Embedder(self.core, EmbeddingSettings(pooling, layer, words)).vectors(lines)

    def word_vectors(self, which: Literal["input", "output"] = "input") -> "WordVectors":
        """Return the vectors that a network of any task has of the tokens of its vocabulary: those
        that it reads ("input"), or the weights of its softmax ("output").

        Raises:
            UsageError: the model has no such vectors.
        """
        from rnnlm.tools.vectors.word_vectors import word_vectors

        return word_vectors(self.core, which)

    def audit(self, *, sample: int | None = None, seed: int = 0) -> "list[Check]":
        """Check what is stored in its folder, as `rnnlm doctor` does. After a failed check, what
        depends on it is not checked.

        sample: the number of contexts after which sums of probabilities are computed, of sentences
        for taggers and classifiers, of sources for an encoder-decoder; None: all, if they are not
        too many.

        Raises:
            UsageError: the sample is empty, or the model was not loaded from a folder.
        """
        from rnnlm.evaluation.soundness import audit

        folder = self._stored("has no folder to check")
        return list(audit(folder, sample=plain(sample), seed=plain(seed)))

    # ---- What language models do. An encoder-decoder scores sentences, too.

    @takes_fields(SentenceScoring)
    def score_sentences(
        self, sentences: "Iterable[str | Sentence]", settings: SentenceScoring
    ) -> "SentenceScores":
        """Return the scores of sentences, in their order: a list that is a table, too. An empty
        sentence is scored as `</s>` alone.

        sentences: texts, or what :func:`rnnlm.read_sentences` gives, with columns and regions of
        its own.

        Raises:
            TypeError: `sentences` is one text instead of several.
            TextError: a sentence holds a newline, or `<s>` or `</s>`, and is to raise.
            UsageError: the request contradicts itself; an encoder-decoder has no sources, or a
                language model has some.
            ModelError: its scores are not numbers.
        """
        from rnnlm.scoring.scorer import score_sentences

        self._check("score_sentences")
        return score_sentences(self.core, sentences, settings)

    def logprob_nats(self, sentence: str, *, given: str = "", eos: bool = True) -> float:
        """Return the log-probability of a sentence in nats: -inf where it has probability zero.

        given: what comes before it in the same line. eos: count the end of the sentence, too.

        Raises the errors of :meth:`score_sentences`.
        """
        [score] = self.score_sentences([sentence], given=given, eos=eos)
        return -math.inf if score.logprob_nats is None else score.logprob_nats

    def surprisal_bits(
        self, sentence: str, *, given: str = "", eos: bool = True
    ) -> list[tuple[str, float]]:
        """Return each word of a sentence with its surprisal, -log2 p(word | what comes before):
        infinite where the word has probability zero.

        given, eos: as for :meth:`logprob_nats`.

        Raises the errors of :meth:`score_sentences`.
        """
        [score] = self.score_sentences([sentence], given=given, eos=eos, words=True)
        return [
            (word.word, math.inf if word.surprisal_bits is None else word.surprisal_bits)
            for word in score.word_scores
        ]

    def score_pairs(
        self,
        pairs: "TestSet | Sequence[Pair]",
        *,
        scoring: Literal["full", "partial", "word"] | None = None,
        eos: bool = True,
        special_symbols: Literal["error", "drop", "replace"] = "error",
    ) -> "PairScores":
        """Score both sentences of minimal pairs: a list with accuracies by group. What cannot be
        scored is counted in a notice, and has the reason.

        pairs: what :func:`rnnlm.read_pairs` gives, or pairs made here. scoring: "full", the whole
        sentences with their ends. "partial", what follows the part in which they differ, each given
        its own beginning (Trinh & Le 2018, arXiv 1806.02847, section 3.1). "word", the part in
        which they differ, given the beginning they share (Linzen, Dupoux & Goldberg 2016, arXiv
        1611.01368, section 6). None: as each pair says. eos: whether ends of sentences, `</s>`, are
        compared with what comes before them.

        Raises:
            UsageError: there is no such scoring.
            TextError: nothing could be scored.
        """
        from rnnlm.scoring.pairs.accuracy import TestSet, score_set

        if not isinstance(pairs, TestSet):
            pairs = TestSet("pairs", tuple(several(pairs, "pairs")))
        return score_set(self.core, pairs, special_symbols, scoring, eos)

    @takes_fields(Drawing)
    def generate(self, settings: Drawing) -> "RecordList[Sample]":
        """Draw `num` texts that begin with `prompt`.

        Raises:
            SettingsError: a number is out of range.
            TextError: the prompt holds a newline or `</s>`.
            UsageError: nothing is left that may be drawn.
        """
        from rnnlm.scoring.generation.drawing import generate

        self._check("generate")
        return RecordList(generate(self.core, settings))

    @takes_fields(BeamSettings)
    def likeliest(self, settings: BeamSettings) -> "RecordList[Sample]":
        """Return the `num` best texts that begin with `prompt`, best first, by a beam. Those cut
        off at max_tokens are ranked with the others.

        Raises:
            UsageError: `num` is above the beam's width or below 1; the model reads one row at a
                time; nothing is left to write.
            TextError: the prompt holds a newline or `</s>`.
        """
        from rnnlm.scoring.generation.search import likeliest

        self._check("likeliest")
        return likeliest(self.core, settings)

    def next_words(self, text: str = "", count: int = 10) -> "RecordList[NextWord]":
        """Return the `count` likeliest next words after a text, likeliest first; fewer where no
        more begin like a word that no white space follows. Unknown ones are left out.

        Raises:
            TextError: the text holds a newline or `</s>`.
            UsageError: `count` is below 0.
        """
        from rnnlm.scoring.generation.autocomplete import next_words

        self._check("next_words")
        return next_words(self.core, text, plain(count))

    def scorer(self) -> "WordScorer":
        """Return a scorer of lines that grow word by word, for decoders and services."""
        from rnnlm.scoring.word_scorer import WordScorer

        self._check("scorer")
        return WordScorer(self.core)

    def adapt(
        self,
        kind: Literal["unigram", "cache", "dynamic"],
        settings: "AdaptationSettings | None" = None,
        statistics: "Mapping[str, Tensor] | None" = None,
    ) -> "Model":
        """Return a model that adapts itself around this one: "unigram", a cache of words; "cache",
        the neural cache; "dynamic", dynamic evaluation. What was tuned for a model is read by
        `rnnlm.load("NAME+KIND")`, not here.

        settings: of the class that :data:`rnnlm.lm.mixtures.settings.KINDS` names; None: its
        defaults. statistics: for the rule rms of "dynamic", what
        :func:`rnnlm.lm.mixtures.dynamic_evaluation.gather_statistics` gives.

        Raises:
            UsageError: the kind is unknown, the model cannot be adapted so, or statistics are
                needed.
            ArgumentTypeError: the settings are of another class.
        """
        from rnnlm.lm.mixtures.adaptation import adapt

        self._check("adapt")
        return Model(adapt(self.core, kind, settings, statistics))

    def tune(
        self,
        kind: Literal["unigram", "cache", "dynamic"],
        on: "Source",
        *,
        given: "Mapping[str, SettingValue] | None" = None,
        statistics: "Source | None" = None,
        tokens: int | None = None,
        overwrite: bool = False,
    ) -> "TunedSettings":
        """Choose the settings of an adaptation, and save them in the model's folder, where
        `rnnlm.load("NAME+KIND")` finds them. Return them, at once where they are there already.

        on: held-out text, read as one stream, of which the first `tokens` are used. given: settings
        that are not to be chosen. statistics: training text on which gradient statistics are
        gathered first, and saved; the rule rms of "dynamic" is tuned then. overwrite: replace
        settings that were chosen otherwise.

        Raises:
            UsageError: the kind is unknown or not for this model, which must have a folder;
                statistics are missing, or are for another kind.
            SettingsError: a given setting is unknown or not valid.
            TextError: a text cannot be read, or is empty.
            OutputError: the folder cannot be written to, or holds settings that were chosen
                otherwise.
        """
        from rnnlm.training.derived.tuning import tune

        self._check("tune")
        folder = self._stored("has no folder to keep settings in")
        *_, found = tune(
            folder, kind, on, given=given, statistics=statistics, tokens=tokens, overwrite=overwrite
        )
        return cast("TunedSettings", found)

    def export_arpa(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write an n-gram model as an ARPA file, compressed where the suffix says so (.gz, .xz,
        .bz2, .zst); whole or not at all.

        Raises:
            UsageError: it is no n-gram model.
            OutputError: a file is there and not to be replaced, or it cannot be written.
        """
        from rnnlm.lm.ngram.arpa.writing import export_arpa

        export_arpa(self.core, path, overwrite)

    # ---- What models of other tasks do.

    def tag(
        self,
        sentences: Sequence[str | Sequence[str]],
        *,
        nbest: int = 1,
        probabilities: bool = False,
    ) -> "TaggedSentences":
        """Label the words of sentences.

        sentences: each a str with words between white space, or a list of its words; for a model of
        letters and sounds, a word or a list of its letters. nbest: how many label sequences of each
        sentence. probabilities: also those of each word's labels; of a CRF the marginals.

        Raises:
            UsageError: the model is no tagger.
        """
        from rnnlm.tasks.labelling.tagging import tag

        self._check("tag")
        return tag(self.core, sentences, nbest=nbest, probabilities=probabilities)

    def classify(self, texts: Sequence[str | Sequence[str]]) -> "ClassifiedTexts":
        """Label texts, each a str with words between white space, or a list of words.

        Raises:
            UsageError: the model is no classifier.
        """
        from rnnlm.tasks.labelling.tagging import classify

        self._check("classify")
        return classify(self.core, texts)

    def translate(
        self,
        sources: Sequence[str],
        *,
        beam: int = 1,
        nbest: int = 1,
        attention: bool = False,
        settings: "DecodingSettings | None" = None,
    ) -> "TranslatedLines":
        """Return what an encoder-decoder writes for each source.

        beam: continuations kept at each step; nbest: hypotheses of each source; attention: also
        what each token looked at, which has a `figure()`. settings: all that
        :class:`rnnlm.DecodingSettings` offers, instead of these three.

        Raises:
            UsageError: the model is no encoder-decoder, or lacks the attention that is asked for.
            TextError: a source holds a newline.
        """
        from rnnlm.tasks.seq2seq.decoding import translate
        from rnnlm.tasks.seq2seq.options import DecodingSettings

        self._check("translate")
        chosen = settings or DecodingSettings(
            beam=max(beam, nbest), nbest=nbest, attention=attention
        )
        return translate(self.core, sources, settings=chosen)

    # ---- What it has learned. Functions of the same names in rnnlm.tools.inspection take several
    # models, or word vectors, and more keywords.

    def inspect_gates(
        self, sentence: str, *, units: Sequence[int] = (), unit_count: int = 16
    ) -> "GatesInspection":
        """Look at gates, cells and hidden states while it reads a sentence.

        units: those to draw, by number; none: in each layer the `unit_count` that vary most.
        """
        from rnnlm.tools.inspection.gates import inspect_gates

        return inspect_gates(self.core, sentence, units=units, unit_count=unit_count)

    def inspect_memory(
        self, text: "Source | None" = None, *, positions: int = 2000, window: int = 200
    ) -> "Memory":
        """Measure how far back it uses what it has read, at `positions` drawn from a text.

        text: None: the test part of the bundled English. window: the tokens that are shuffled.
        """
        from rnnlm.tools.inspection.memory import inspect_memory

        return inspect_memory(self._by_name(), text, positions=positions, window=window)

    def inspect_sensitivity(self, sentence: str) -> "SentenceSensitivity":
        """Measure what each word of a sentence weighs in later predictions."""
        from rnnlm.tools.inspection.gradients.sensitivity import inspect_sensitivity

        return inspect_sensitivity(self._by_name(), sentence)

    def inspect_gradients(
        self, text: "Source | None" = None, *, lags: int = 100, positions: int = 1000
    ) -> "GradientFlow":
        """Measure how gradients flow through time, over as many as `lags` tokens, at `positions`
        drawn from a text. text: None: the test part of the bundled English."""
        from rnnlm.tools.inspection.gradients.flow import inspect_gradients

        return inspect_gradients(self._by_name(), text, lags=lags, positions=positions)

    def inspect_spectrum(self) -> "SpectrumInspection":
        """Compute the spectra of its recurrent weights."""
        from rnnlm.tools.inspection.spectrum import inspect_spectrum

        return inspect_spectrum(self._by_name())

    def inspect_cloze(self, file: str | Path | None = None, *, items: bool = False) -> "Cloze":
        """Let it fill gaps.

        file: a table with the columns text (`___` is the gap) and answer; None: 200 bundled items.
        items: also show what is likeliest in each gap.
        """
        from rnnlm.tools.inspection.cloze import inspect_cloze

        return inspect_cloze(self._by_name(), file, items=items)

    def inspect_probe(
        self,
        data: str | Path = "words-and-tags",
        *,
        label_column: str | None = None,
        level: Literal["word", "text"] | None = None,
    ) -> "ProbeInspection":
        """Find out what each layer knows of the labels of words, or of texts.

        data: a file of labelled data, or a bundled corpus. label_column: of the labels, where there
        are several. level: what is labelled; None: words, or as in the bundled corpus.
        """
        from rnnlm.tools.inspection.probing import inspect_probe

        return inspect_probe(self.core, data, label_column=label_column, level=level)

    def inspect_neighbours(self, words: Sequence[str], *, count: int = 10) -> "Neighbours":
        """Find the words whose vectors are nearest to those of `words`."""
        from rnnlm.tools.inspection.neighbours import inspect_neighbours

        return inspect_neighbours(self.core, words, count=count)

    def inspect_analogy(self, words: Sequence[str], *, count: int = 10) -> "Analogy":
        """Find the words nearest to a - b + c, where (a, b, c) are the `words`."""
        from rnnlm.tools.inspection.neighbours import inspect_analogy

        return inspect_analogy(self.core, words, count=count)

    def _by_name(self) -> "Mapping[str, LanguageModel]":
        return {self.name or "model": self.core}

    # ---- The protocol of language models, which the core keeps.

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer whose ids it reads and predicts."""
        return self.core.tokenizer

    def initial_state(self, rows: int) -> State:
        """Return the state of `rows` texts of which nothing is read yet."""
        return self.core.initial_state(rows)

    def score(self, inputs_BT: Array, targets_BT: Array, state: State) -> tuple[Array, State]:
        """Return the log-probabilities (nats) of targets, (B, T), and the state after them; see
        :class:`rnnlm.LanguageModel`."""
        return self.core.score(inputs_BT, targets_BT, state)

    def predict(self, inputs_BT: Array, state: State) -> tuple[Array, State]:
        """Return the log-probabilities (nats) of every next token, (B, T, V), and the state after
        the inputs; see :class:`rnnlm.LanguageModel`."""
        return self.core.predict(inputs_BT, state)

    @property
    def normalised(self) -> bool:
        """Whether the probabilities of all next tokens sum to 1."""
        return self.core.normalised

    @property
    def max_rows(self) -> int | None:
        """How many rows it reads at once; None for any number."""
        return self.core.max_rows

    @property
    def call_tokens(self) -> int:
        """How many tokens, over all rows, are best scored in one call."""
        return self.core.call_tokens

    @property
    def forgets_at_boundary(self) -> bool:
        """Whether, after the boundary as input, what came before makes no difference."""
        return self.core.forgets_at_boundary

    @property
    def precision(self) -> str:
        """The precision of the scores, which is "fp32", "bf16" or "fp64"."""
        return self.core.precision

    @property
    def adaptation(self) -> str:
        """How it adapts to what it reads, or "none"."""
        return self.core.adaptation

    def concat_states(self, states: Sequence[State]) -> State:
        """Return the states one below the other."""
        return self.core.concat_states(states)

    def state_from_arrays(self, arrays: "dict[str, np.ndarray]") -> State:
        """Return the state whose `to_arrays()` gave `arrays`."""
        return self.core.state_from_arrays(arrays)

    def to_arrays(self) -> "dict[str, np.ndarray]":
        """Return the weights, by name, as the model folder stores them."""
        return self.core.to_arrays()
