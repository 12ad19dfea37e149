"""A loaded model as Python users hold it: its uses as methods, in the terms of its task.

>>> import rnnlm
>>> model = rnnlm.load()                                           # doctest: +SKIP
>>> model.logprob_nats("the dog barked")                           # doctest: +SKIP
>>> model.generate("the dog", num=3, temperature=0.8)              # doctest: +SKIP

Each method is one of the functions of the library, which take models and names alike and are there
for work on many models or files.
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rnnlm.combinations.adapted_model import AdaptedModel
from rnnlm.errors import ArgumentTypeError, UsageError, nearest
from rnnlm.interface import Array, Device, ModelHandle, State, Tokenizer, core_of
from rnnlm.models import loading, registry
from rnnlm.tabular import RecordList, html_table

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from rnnlm.evaluation.metrics import Evaluation
    from rnnlm.generation.drawing import Sample
    from rnnlm.inference.next_word import NextWord
    from rnnlm.inspection.cloze import Cloze
    from rnnlm.inspection.common import Source
    from rnnlm.inspection.gates import GatesInspection
    from rnnlm.inspection.gradients.flow import GradientFlow
    from rnnlm.inspection.gradients.sensitivity import SentenceSensitivity
    from rnnlm.inspection.memory import Memory
    from rnnlm.inspection.neighbours import Neighbours
    from rnnlm.inspection.spectrum import SpectrumInspection
    from rnnlm.interface import LanguageModel
    from rnnlm.models.adaptation_settings import AdaptationSettings
    from rnnlm.models.registry import LabelModel
    from rnnlm.scoring.rows import SentenceScores
    from rnnlm.scoring.settings import Measure
    from rnnlm.scoring.word_scorer import WordScorer
    from rnnlm.tasks.labels.results import ClassifiedTexts, TaggedSentences
    from rnnlm.tasks.seq2seq.options import DecodingSettings
    from rnnlm.tasks.seq2seq.results import TranslatedLines
    from rnnlm.tasks.task import Given
    from rnnlm.text.lines import Progress, TextSettings
    from rnnlm.vectors.settings import Pooling
    from rnnlm.vectors.word_vectors import WordVectors

M = TypeVar("M")

# The command that each method stands for, where not all models have it.
METHODS = {
    "score_sentences": "score", "logprob_nats": "score", "surprisal_bits": "score",
    "scorer": "score", "generate": "generate", "likeliest": "generate", "next_words": "generate",
    "adapt": "tune", "tag": "tag", "classify": "classify", "translate": "translate",
}  # fmt: skip

UNITS = {"word": "words", "char": "characters", "byte": "bytes", "sentencepiece": "pieces"}


def load(name: str | Path = loading.SHIPPED, device: str | Device = "auto") -> "Model":
    """Load the model in a folder, or of that name in ./checkpoints or among those shipped.

    Without a name it is the shipped one, an LSTM of the bundled corpus. NAME+KIND is the model NAME
    adapting itself to what it reads, unless a folder has exactly that name.

    Raises:
        ModelError: there is none, or it is damaged. UsageError: it cannot adapt itself so.
            DeviceError: `device` is not available.
    """
    return Model(loading.load(name, device))


def _with_checked_keywords(cls: type[M]) -> type[M]:
    """Let the methods of a class suggest the nearest keyword where one is wrong."""
    for name, method in list(vars(cls).items()):
        if isinstance(method, FunctionType) and not name.startswith("_"):
            setattr(cls, name, _checking(method))
    return cls


def _checking(method: FunctionType) -> Callable[..., object]:
    code = method.__code__
    known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]  # without self

    @functools.wraps(method)
    def checked(*arguments: object, **keywords: object) -> object:
        for name in keywords:
            if name not in known:
                raise ArgumentTypeError(
                    f"{method.__name__}() has no keyword {name}=", hint=nearest(name, known)
                )
        return method(*arguments, **keywords)

    return checked


@_with_checked_keywords
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
        """What it was trained for: "language-model", "tagging", "classification", "seq2seq"."""
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
        return sum(math.prod(array.shape) for array in self.core.to_arrays().values())

    def info(self) -> dict[str, Any]:
        """Return what `rnnlm info` says of its folder: size, settings, training, results.

        Raises:
            UsageError: the model was not loaded from a folder.
        """
        from rnnlm.models import info

        return info.describe(str(self._stored("has no folder to describe")))

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the model into another folder, with what is stored about its training. Return that
        folder.

        Raises:
            UsageError: the model was not loaded from a folder. OutputError: there is something at
                `folder`, or it cannot be written.
        """
        from rnnlm.models import copying

        return copying.copy(self._stored("is in memory alone"), Path(folder), overwrite)

    def _stored(self, lack: str) -> Path:
        if self.folder is None:
            raise UsageError(
                "the model was not loaded from a folder",
                f"it {lack}",
                "rnnlm.train and rnnlm.mix save their models in `output`",
            )
        return self.folder

    def __repr__(self) -> str:
        called = f"{self.name}: " if self.name else ""
        sizes = ", ".join(f"{size} {what}" for what, size in self._facts().items())
        return f"<{called}{self._kind_in_words()}, {sizes}>"

    def _repr_html_(self) -> str:
        facts = [("kind", self._kind_in_words()), ("task", self.task), *self._facts().items()]
        return html_table(self.name or "model", (), facts)

    def _kind_in_words(self) -> str:
        if isinstance(self.core, AdaptedModel):
            return f"{self.kind} + {self.core.kind}"
        return self.kind

    def _facts(self) -> dict[str, str]:
        task = registry.task(self.task)
        sizes = {"parameters": f"{self.parameters:,}"}
        for name, tokenizer in task.tokenizers(task.codec_of(self.core)).items():
            what = name.replace("tokenizer", UNITS.get(tokenizer.name, "tokens"))
            sizes[what] = f"{tokenizer.size:,}"
        return sizes

    def __dir__(self) -> list[str]:
        """List what models of this task have; the core's own methods are those of `core`."""
        task = registry.task(self.task)
        useless = {name for name, command in METHODS.items() if not task.does(command)}
        return sorted({*super().__dir__()} - useless)

    def _check(self, method: str) -> None:
        """Refuse a method that models of this task do not have."""
        task = registry.task(self.task)
        if task.does(METHODS[method]):
            return
        others = [name for name, command in METHODS.items() if task.does(command)]
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
            return f"rnnlm.{name} is a function, which takes models"
        return nearest(name, [each for each in dir(self) if not each.startswith("_")])

    # ---- What models of every task do.

    def evaluate(
        self,
        text: "Given | None" = None,
        *,
        context: Literal["carry", "reset"] | None = None,
        text_settings: "TextSettings | None" = None,
        target: Sequence[str | Path] = (),
        decode: bool | None = None,
        decoding: "DecodingSettings | None" = None,
        reading: Mapping[str, object] | None = None,
        progress: "Progress | None" = None,
    ) -> "Evaluation":
        """Evaluate the model on a text; :func:`rnnlm.evaluate` says which keywords its task has.

        Raises:
            As :func:`rnnlm.evaluate`.
        """
        from rnnlm.tasks.evaluation import evaluate

        return evaluate(
            self.core, text, context=context, text_settings=text_settings,
            target=target, decode=decode, decoding=decoding, reading=reading, progress=progress,
        )  # fmt: skip

    def embed(
        self,
        lines: Iterable[str],
        *,
        pooling: "Pooling | None" = None,
        layer: str | int | None = None,
        words: bool = False,
    ) -> "np.ndarray":
        """Return vectors of lines, (N, H) float32; see :func:`rnnlm.embed`.

        Raises:
            As :func:`rnnlm.embed`.
        """
        from rnnlm.vectors.embedding import embed

        return embed(self.core, lines, pooling=pooling, layer=layer, words=words)

    def word_vectors(self, which: Literal["input", "output"] = "input") -> "WordVectors":
        """Return the vectors of its vocabulary; see :func:`rnnlm.word_vectors`.

        Raises:
            As :func:`rnnlm.word_vectors`.
        """
        from rnnlm.vectors.word_vectors import word_vectors

        return word_vectors(self.core, which)

    # ---- What language models do. An encoder-decoder scores sentences, too.

    def score_sentences(
        self,
        sentences: Iterable[str],
        *,
        given: str | Sequence[str] = "",
        with_tokens: bool = False,
        with_words: bool = False,
        next_words: int = 0,
        eos: bool = True,
        context: Literal["reset", "carry"] = "reset",
        special_symbols: Literal["error", "drop", "replace"] = "error",
        unscorable: Literal["raise", "null"] = "raise",
        split: Literal["whitespace", "tokens"] = "whitespace",
        measures: "Sequence[Measure]" = (),
        regions: str | None = None,
        sources: str | Sequence[str] | None = None,
    ) -> "SentenceScores":
        """Return the scores of sentences, in their order; see :func:`rnnlm.score_sentences`.

        Raises:
            As :func:`rnnlm.score_sentences`.
        """
        from rnnlm.scoring.scorer import score_sentences

        self._check("score_sentences")
        return score_sentences(
            self.core, sentences, given=given, with_tokens=with_tokens, with_words=with_words,
            next_words=next_words, eos=eos, context=context,
            special_symbols=special_symbols, unscorable=unscorable, split=split, measures=measures,
            regions=regions, sources=sources,
        )  # fmt: skip

    def logprob_nats(self, sentence: str, *, given: str = "", eos: bool = True) -> float:
        """Return the log-probability of a sentence in nats: -inf where it has probability zero.

        given: what comes before it in the same line. eos: count the end of the sentence, too.

        Raises:
            As :func:`rnnlm.score_sentences`.
        """
        [score] = self.score_sentences([sentence], given=given, eos=eos)
        return -math.inf if score.logprob_nats is None else score.logprob_nats

    def surprisal_bits(
        self, sentence: str, *, given: str = "", eos: bool = True
    ) -> list[tuple[str, float]]:
        """Return each word of a sentence with its surprisal, -log2 p(word | what comes before):
        infinite where the word has probability zero.

        given, eos: as for :meth:`logprob_nats`.

        Raises:
            As :func:`rnnlm.score_sentences`.
        """
        [score] = self.score_sentences([sentence], given=given, eos=eos, with_words=True)
        return [
            (word.word, math.inf if word.surprisal_bits is None else word.surprisal_bits)
            for word in score.word_scores
        ]

    def generate(
        self,
        prompt: str = "",
        num: int = 1,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        typical_p: float | None = None,
        repetition_penalty: float = 1.0,
        max_tokens: int = 100,
        seed: int = 1,
        unknown: bool = False,
        running: bool = False,
        ban: Sequence[str] = (),
    ) -> "RecordList[Sample]":
        """Draw texts that begin with `prompt`; :class:`rnnlm.SamplingSettings` says what the
        keywords do.

        Raises:
            As :func:`rnnlm.generate`.
        """
        from rnnlm.generation.drawing import generate
        from rnnlm.generation.settings import SamplingSettings

        self._check("generate")
        settings = SamplingSettings(
            temperature, top_k, top_p, min_p, typical_p, repetition_penalty, max_tokens, seed,
            unknown, running,
        )  # fmt: skip
        samples = generate(self.core, prompt=prompt, num=num, settings=settings, ban=ban)
        return RecordList(samples)

    def likeliest(
        self,
        prompt: str = "",
        num: int = 1,
        *,
        beam: int = 8,
        length_power: float = 0.0,
        max_tokens: int = 100,
        unknown: bool = False,
        ban: Sequence[str] = (),
    ) -> "RecordList[Sample]":
        """Return the best texts that begin with `prompt`, by a beam; :class:`rnnlm.BeamSettings`
        says what the keywords do.

        Raises:
            As :func:`rnnlm.likeliest`.
        """
        from rnnlm.generation.search import likeliest
        from rnnlm.generation.settings import BeamSettings

        self._check("likeliest")
        settings = BeamSettings(beam, length_power, max_tokens, unknown)
        return likeliest(self.core, prompt=prompt, num=num, settings=settings, ban=ban)

    def next_words(self, text: str = "", count: int = 10) -> "RecordList[NextWord]":
        """Return the likeliest next words after a text; see :func:`rnnlm.next_words`.

        Raises:
            As :func:`rnnlm.next_words`.
        """
        from rnnlm.generation.autocomplete import next_words

        self._check("next_words")
        return next_words(self.core, text, count)

    def scorer(self) -> "WordScorer":
        """Return a scorer of lines that grow word by word; see :func:`rnnlm.scorer`.

        Raises:
            As :func:`rnnlm.scorer`.
        """
        from rnnlm.scoring.word_scorer import scorer

        self._check("scorer")
        return scorer(self.core)

    def adapt(
        self,
        kind: Literal["unigram", "cache", "dynamic"],
        settings: "AdaptationSettings | None" = None,
        statistics: "Mapping[str, Tensor] | None" = None,
    ) -> "Model":
        """Return a model that adapts itself around this one; see :func:`rnnlm.adapt`.

        Raises:
            As :func:`rnnlm.adapt`.
        """
        from rnnlm.combinations.adaptation import adapt

        self._check("adapt")
        return Model(adapt(self.core, kind, settings, statistics))

    # ---- What models of other tasks do.

    def tag(
        self,
        sentences: Sequence[str | Sequence[str]],
        *,
        nbest: int = 1,
        probabilities: bool = False,
        beam: int | None = None,
    ) -> "TaggedSentences":
        """Label the words of sentences; see :func:`rnnlm.tag`.

        Raises:
            As :func:`rnnlm.tag`.
        """
        from rnnlm.tasks.labels.tagging import tag

        self._check("tag")
        return tag(
            self.core, sentences, nbest=nbest, probabilities=probabilities, beam=beam,
        )  # fmt: skip

    def classify(self, texts: Sequence[str | Sequence[str]]) -> "ClassifiedTexts":
        """Label texts; see :func:`rnnlm.classify`.

        Raises:
            As :func:`rnnlm.classify`.
        """
        from rnnlm.tasks.labels.tagging import classify

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
        """Return what the model writes for each source; see :func:`rnnlm.translate`.

        beam: continuations kept at each step; nbest: hypotheses of each source; attention: also
        what each token looked at, which has a `figure()`. settings: all that
        :class:`rnnlm.DecodingSettings` offers, instead of these three.

        Raises:
            As :func:`rnnlm.translate`.
        """
        from rnnlm.tasks.seq2seq.decoding import translate
        from rnnlm.tasks.seq2seq.options import DecodingSettings

        self._check("translate")
        chosen = settings or DecodingSettings(
            beam=max(beam, nbest), nbest=nbest, attention=attention
        )
        return translate(self.core, sources, settings=chosen)

    # ---- What it has learned. The functions of the same names take several models.

    def inspect_gates(
        self, sentence: str, *, units: Sequence[int] = (), unit_count: int = 16
    ) -> "GatesInspection":
        """Look at its gates while it reads a sentence; see :func:`rnnlm.inspect_gates`."""
        from rnnlm.inspection.gates import inspect_gates

        return inspect_gates(self.core, sentence, units=units, unit_count=unit_count)

    def inspect_memory(
        self, text: "Source | None" = None, *, positions: int = 2000, window: int = 200
    ) -> "Memory":
        """Measure how far back it uses what it has read; see :func:`rnnlm.inspect_memory`."""
        from rnnlm.inspection.memory import inspect_memory

        return inspect_memory(self._by_name(), text, positions=positions, window=window)

    def inspect_sensitivity(self, sentence: str) -> "SentenceSensitivity":
        """Measure what each word of a sentence weighs in later predictions; see
        :func:`rnnlm.inspect_sensitivity`."""
        from rnnlm.inspection.gradients.sensitivity import inspect_sensitivity

        return inspect_sensitivity(self._by_name(), sentence)

    def inspect_gradients(
        self, text: "Source | None" = None, *, lags: int = 100, positions: int = 1000
    ) -> "GradientFlow":
        """Measure how gradients flow through time; see :func:`rnnlm.inspect_gradients`."""
        from rnnlm.inspection.gradients.flow import inspect_gradients

        return inspect_gradients(self._by_name(), text, lags=lags, positions=positions)

    def inspect_spectrum(self) -> "SpectrumInspection":
        """Compute the spectra of its recurrent weights; see :func:`rnnlm.inspect_spectrum`."""
        from rnnlm.inspection.spectrum import inspect_spectrum

        return inspect_spectrum(self._by_name())

    def inspect_cloze(self, file: str | Path | None = None, *, items: bool = False) -> "Cloze":
        """Let it fill gaps; see :func:`rnnlm.inspect_cloze`."""
        from rnnlm.inspection.cloze import inspect_cloze

        return inspect_cloze(self._by_name(), file, items=items)

    def inspect_neighbours(self, words: Sequence[str], *, count: int = 10) -> "Neighbours":
        """Find the words whose vectors are nearest; see :func:`rnnlm.inspect_neighbours`."""
        from rnnlm.inspection.neighbours import inspect_neighbours

        return inspect_neighbours(self.core, words, count=count)

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
        """How many rows it reads at once; None: any number."""
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
        """The precision of the scores: "fp32", "bf16" or "fp64"."""
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
