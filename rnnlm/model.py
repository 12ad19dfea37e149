"""A loaded model as Python users hold it: its uses as methods, in the terms of its task.

>>> import rnnlm
>>> model = rnnlm.load()                                           # doctest: +SKIP
>>> model.logprob_nats("the dog barked")                           # doctest: +SKIP
>>> model.generate("the dog", num=3, temperature=0.8)              # doctest: +SKIP

Functions of one model are methods. Functions of :mod:`rnnlm` concern several models, or files.
"""

import contextlib
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack

from rnnlm import registry, satellites
from rnnlm.config import plain
from rnnlm.errors import UsageError, keyword, nearest
from rnnlm.interface import Array, Device, LanguageModel, ModelHandle, State, Tokenizer, core_of
from rnnlm.lm.base import loading
from rnnlm.scoring.generation.settings import BeamSettings, GenerationSettings
from rnnlm.scoring.settings import SentenceScoring, WordMeasure
from rnnlm.tabular import RecordList
from rnnlm.text.lines import Progress, SpecialSymbols, TextSettings
from rnnlm.text.unknown_words import tell_unknown

if TYPE_CHECKING:
    import numpy as np

    from rnnlm.evaluation.metrics import Evaluation
    from rnnlm.evaluation.soundness import Check
    from rnnlm.model_methods import ConditionKeywords, EvaluationKeywords, ModelMethods
    from rnnlm.scoring.generation.drawing import Sample
    from rnnlm.scoring.next_word import NextWord
    from rnnlm.scoring.prefixes import WordScorer
    from rnnlm.scoring.rows import SentenceScores
    from rnnlm.scoring.scorer import Scorers
    from rnnlm.scoring.sentences import Sentence
    from rnnlm.text.corpus import Given
else:
    ModelMethods = ModelHandle  # until the end of this module

UNITS = {"word": "words", "char": "characters", "byte": "bytes"}  # of tokenizers: others, pieces


def load(name: str | Path = loading.SHIPPED, device: str | Device = "auto") -> "Model":
    """Load a model from a folder, or by its name in ./checkpoints or among the shipped models.

    Without a name, this loads the shipped model, an LSTM trained on the bundled corpus.

    Args:
        name: Folder or name of the model. NAME+KIND is the model NAME with adaptation to the text
            it reads, unless a folder has exactly that name.
        device: Where a network computes: "cpu", "cuda", "cuda:1" and so on, or "auto" for the best
            available device.

    Raises:
        ModelError: The model does not exist or is damaged.
        UsageError: This adaptation is not available for the model.
        DeviceError: `device` is not available.
    """
    return Model(loading.load(name, device))


class Model(ModelMethods):
    """A model of any task, with the methods to use it.

    The methods and properties of the underlying model are available on this object, too.

    Args:
        core: The model itself: an :class:`rnnlm.LanguageModel`, or a model of labels or pairs.

    Attributes:
        fingerprint: Hash of weights and tokenizer; None for a model that was never saved.
    """

    _commands: ClassVar[dict[str, str]] = {
        "score_sentences": "score", "logprob_nats": "score", "surprisal_bits": "score",
        "scorer": "score", "generate": "generate", "likeliest": "generate", "next_words": "next",
    }  # fmt: skip

    def __init__(self, core: "LanguageModel | registry.LabelModel | Model") -> None:
        self.core = core_of(core)
        self.fingerprint: str | None = self.core.fingerprint

    # ---- Its kind, name and size.

    @property
    def task(self) -> str:
        """The name of the task, such as "language-model"."""
        return loading.task_of(self.core)

    @property
    def kind(self) -> str:
        """The kind of model, such as "lstm"."""
        return loading.kind_of(self.core)

    @property
    def name(self) -> str | None:
        """The name of its folder; None for a model that is only in memory."""
        return None if self.folder is None else self.folder.name

    @property
    def folder(self) -> Path | None:
        """The folder that it was loaded from; None for a model that is only in memory."""
        origin = loading.origin_of(self.core)
        return None if origin is None else Path(origin[0])

    @property
    def parameters(self) -> int:
        """The number of parameters in its weights or tables."""
        return loading.parameters_of(self.core)

    def info(self) -> dict[str, Any]:
        """Return the facts that `rnnlm info` shows of its folder: size, settings, training,
        results.

        Raises:
            UsageError: the model was not loaded from a folder.
        """
        from rnnlm.training import card

        return card.describe(str(self._stored("has no folder to describe")))

    def _stored(self, lack: str) -> Path:
        if self.folder is None:
            raise UsageError(
                "the model was not loaded from a folder",
                f"it {lack}",
                "rnnlm.train stores its models in " + keyword("output"),
            )
        return self.folder

    def __repr__(self) -> str:
        called = f"{self.name}: " if self.name else ""
        kind = self.kind
        if getattr(self.core, "adaptation", "none") != "none":
            kind += f" + {self.core.kind}"

        # The sizes of weights and vocabularies.
        task = registry.task(self.task)
        sizes = [f"{self.parameters:,} parameters"]
        for name, tokenizer in task.describe(self.core.tokenizer).tokenizers.items():
            units = name.replace("tokenizer", UNITS.get(tokenizer.name, "pieces"))
            sizes.append(f"{tokenizer.size:,} {units}")
        return f"<{called}{kind}, {', '.join(sizes)}>"

    def __dir__(self) -> list[str]:
        """List the attributes of models of this task; the core's own methods are listed by
        `core`."""
        useful = registry.commands_of(registry.task(self.task))
        methods = self._commands.items()
        return sorted({*super().__dir__()} - {name for name, use in methods if use not in useful})

    def _core_for(self, method: str) -> Any:
        task = registry.task(self.task)
        if registry.is_for(self._commands[method], task):
            return self.core
        useful = registry.commands_of(task)
        others = [name for name, use in self._commands.items() if use in useful]
        raise UsageError(
            f"{self.name or 'this model'} is {task.singular}, which has no {method}()",
            hint=f"it has: {', '.join(['evaluate', *others])}",
        )

    def __getattr__(self, name: str) -> Any:
        # A property gets here whose own code lacks an attribute: it says again which one.
        if name == "core" or name.startswith("__") or hasattr(type(self), name):
            return object.__getattribute__(self, name)
        with contextlib.suppress(AttributeError):
            return getattr(self.core, name)
        # Packages of others may bring methods, and satellites of ours may be missing.
        if not name.startswith("_"):
            satellites.look_for_others()
            take_methods()
            if name in vars(Model):
                return getattr(self, name)
            gone = satellites.removed("methods", name, f"{name}()")
            if gone:
                raise AttributeError(str(gone))
        raise AttributeError(f"this model has no {name!r}: {self._hint(name)}")

    def _hint(self, name: str) -> str:
        """Return the name to write instead of one that models do not have."""
        import rnnlm

        if name in ("perplexity", "ppl", "ppl_token"):
            return "model.evaluate(text).ppl_token is its perplexity"
        if name.islower() and name in dir(rnnlm):
            return f"rnnlm.{name} is a function"
        return nearest(
            name, [attribute for attribute in dir(self) if not attribute.startswith("_")]
        )

    # ---- Methods of models of every task.

    def evaluate(
        self,
        text: "Given | None" = None,
        *,
        context: Literal["carry", "reset"] | None = None,
        text_settings: TextSettings | None = None,
        group_by: str | None = None,
        intervals: bool = False,
        reading: Mapping[str, object] | None = None,
        progress: Progress | None = None,
        **options: "Unpack[EvaluationKeywords]",
    ) -> "Evaluation":
        """Evaluate the model on one or more texts. Which keywords apply depends on the task.

        Args:
            text: Paths, or texts that are already open. None: the test split of the bundled corpus
                that the model was trained on.
            context: For a language model, "carry" (read all lines as one stream, the default) or
                "reset" (read each line alone).
            text_settings: For a language model, how to read lines. None: the defaults.
            group_by: For a language model, the column of a table that names the group of each row,
                to evaluate each group, too. None: no groups.
            intervals: Whether to compute 95 % intervals, by leaving out each line.
            reading: Settings of reading, by name, that differ from those of the training data, as
                tasks other than language modelling have them.
            progress: Callback for the progress of reading and scoring. None: of language
                models, now and then on standard error.
            **options: Further keywords of the model's task. A wrong one is refused.

        Returns:
            The evaluation, of the class of the model's task.

        Raises:
            UsageError: A keyword does not apply to the model.
            TextError: A text cannot be read or is empty.
        """
        from rnnlm.evaluation.evaluate import evaluate

        return evaluate(
            self.core, text, context=context, text_settings=text_settings,
            group_by=group_by, intervals=intervals, reading=reading, progress=progress,
            **options,
        )  # fmt: skip

    def audit(self, *, sample: int | None = None, seed: int = 0) -> "list[Check]":
        """Check the files in the model's folder, as `rnnlm doctor` does. Checks that depend on a
        failed one are skipped.

        Args:
            sample: Number of contexts whose probabilities are summed; for taggers and classifiers,
                number of sentences or of sources. None: all, unless there are too many.
            seed: Random seed of the sample.

        Returns:
            Each check with its result.

        Raises:
            UsageError: The sample is empty, or the model was not loaded from a folder.
        """
        from rnnlm.evaluation.soundness import audit

        folder = self._stored("has no folder to check")
        return list(audit(folder, sample=plain(sample), seed=plain(seed)))

    # ---- Methods of language models. Others may score sentences, too.

    def score_sentences(
        self,
        sentences: "Iterable[str | Sentence]",
        *,
        given: str | Sequence[str] = "",
        regions: str | None = None,
        tokens: bool = False,
        words: bool = False,
        next_words: int = 0,
        eos: bool = True,
        context: Literal["reset", "carry"] = "reset",
        special_symbols: SpecialSymbols = "error",
        unscorable: Literal["raise", "null"] = "raise",
        split: Literal["whitespace", "tokens"] = "whitespace",
        measures: tuple[WordMeasure, ...] = (),
        frequency_from: str | None = None,
        with_regions: bool = False,
        **conditions: "Unpack[ConditionKeywords]",
    ) -> "SentenceScores":
        """Score sentences, in their order. The score of an empty sentence is the score of `</s>`.

        Args:
            sentences: Texts, or the results of :func:`rnnlm.read_sentences`, which may have columns
                and regions.
            given: Text before each sentence in its line, one for all or one for each; scores are
                conditional on it.
            regions: Mark that separates regions in the sentences, such as "|"; it is removed, and
                `region_scores` has the surprisal of each region.
            tokens: Report the surprisal of each token in bits.
            words: Report the surprisal of each word in bits, regardless of the model's tokens.
            next_words: Number of likeliest next words to report before each word.
            eos: Include the end of each sentence, `</s>`, in its score.
            context: Score each line alone ("reset"), or all lines as one stream ("carry").
            special_symbols: `<s>` or `</s>` in the text is an error, is dropped, or becomes
                `<unk>` ("replace").
            unscorable: Treat a line that cannot be scored as an error ("raise"), or return a record
                without a score ("null").
            split: Count words separated by white space, or the tokenizer's words, punctuation marks
                apart ("tokens").
            measures: Report for each word also the entropy of the prediction ("entropy"), the
                word's log10 frequency in training ("frequency"), or its frequency and length, and
                the surprisal, length and frequency of the one and two words before ("lags").
            frequency_from: Take frequencies from this model's training text, from a table of counts
                (`rnnlm count`, SUBTLEX) or from a text.
            with_regions: Report the surprisals of regions in sentences that have some.
            **conditions: Conditions of the sentences, one for all or one for each, of models whose
                scores depend on such.

        Returns:
            The scores, as a list that is also a table.

        Raises:
            TypeError: `sentences` is a single str.
            TextError: A sentence contains a newline, `<s>` or `</s>`, unless `unscorable` allows
                it.
            UsageError: The arguments contradict each other, a sentence lacks the condition that the
                model reads, or a language model has some.
            ModelError: Its scores are not numbers.
        """
        from rnnlm.scoring.scorer import score_sentences

        settings = SentenceScoring(
            given=given, regions=regions, tokens=tokens, words=words, next_words=next_words,
            eos=eos, context=context, special_symbols=special_symbols, unscorable=unscorable,
            split=split, measures=measures, frequency_from=frequency_from,
            with_regions=with_regions,
        )  # fmt: skip
        return score_sentences(self._scorers, sentences, settings, conditions)

    @functools.cached_property
    def _scorers(self) -> "Scorers":
        from rnnlm.scoring.scorer import Scorers

        return Scorers(loading.scoring_model_of(self._core_for("score_sentences")))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_scorers"}

    def logprob_nats(self, sentence: str, *, given: str = "", eos: bool = True) -> float:
        """Return the log-probability of a sentence in nats, -inf if its probability is zero.

        Args:
            sentence: The text to score.
            given: The text before it in the same line, which is not scored.
            eos: Include the end of the sentence, `</s>`.

        Raises:
            TextError: The sentence contains a newline, `<s>` or `</s>`.
            UsageError: The model does not score sentences.
            ModelError: Its scores are not numbers.
        """
        [score] = self.score_sentences([sentence], given=given, eos=eos)
        tell_unknown([sentence], self.tokenizer)
        return -math.inf if score.logprob_nats is None else score.logprob_nats

    def surprisal_bits(
        self, sentence: str, *, given: str = "", eos: bool = True
    ) -> list[tuple[str, float]]:
        """Return each word of a sentence with its surprisal in bits, -log2 p(word | earlier words),
        which is infinite if the word has probability zero.

        Args:
            sentence: The text to score.
            given: The text before it in the same line, which is not scored.
            eos: Include the end of the sentence, `</s>`.

        Raises:
            TextError: The sentence contains a newline, `<s>` or `</s>`.
            UsageError: The model does not score sentences.
            ModelError: Its scores are not numbers.
        """
        [score] = self.score_sentences([sentence], given=given, eos=eos, words=True)
        tell_unknown([sentence], self.tokenizer)
        return [
            (word.word, math.inf if word.surprisal_bits is None else word.surprisal_bits)
            for word in score.word_scores
        ]

    def generate(
        self,
        prompt: str = "",
        num: int = 1,
        *,
        repetition_penalty: float = 1.0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        typical_p: float | None = None,
        max_tokens: int = 100,
        seed: int = 1,
        unknown: bool = False,
        running: bool = False,
    ) -> "RecordList[Sample]":
        """Draw `num` texts that begin with `prompt`.

        Args:
            prompt: Beginning of each text.
            num: Number of texts.
            repetition_penalty: Factor for the log-probability of tokens that the text already has
                (after Keskar et al. 2019).
            temperature: Divisor of the log-probabilities: below 1 favours likely tokens, 0 always
                takes the likeliest.
            top_k: Draw from the k likeliest tokens (Fan et al. 2018).
            top_p: Draw from the fewest tokens whose probabilities add up to this (Holtzman et al.
                2020).
            min_p: Draw from tokens with at least this share of the likeliest token's probability
                (Nguyen et al. 2024).
            typical_p: Draw from the fewest tokens with this probability whose information is
                nearest to the entropy (Meister et al. 2023).
            max_tokens: Longest sample, in tokens.
            seed: Random seed; the same seed and sample number give the same sample.
            unknown: Allow `<unk>` in samples.
            running: Generate continuous text across line ends instead of single sentences.

        Returns:
            The samples, as a list that is also a table.

        Raises:
            SettingsError: A number is out of range.
            TextError: The prompt contains `</s>`, or a newline without `running`.
            UsageError: The settings allow no token.
        """
        from rnnlm.scoring.generation.drawing import generate

        settings = GenerationSettings(
            prompt, num, repetition_penalty=repetition_penalty, temperature=temperature,
            top_k=top_k, top_p=top_p, min_p=min_p, typical_p=typical_p, max_tokens=max_tokens,
            seed=seed, unknown=unknown, running=running,
        )  # fmt: skip
        return RecordList(generate(self._core_for("generate"), settings))

    def likeliest(
        self,
        prompt: str = "",
        num: int = 1,
        *,
        beam: int = 8,
        length_power: float = 0.0,
        max_tokens: int = 100,
        unknown: bool = False,
    ) -> "RecordList[Sample]":
        """Find the `num` best texts that begin with `prompt`, by beam search. Texts cut off at
        `max_tokens` are ranked with the others.

        Args:
            prompt: Beginning of each text.
            num: Number of texts to return, at most the beam width.
            beam: Beam width: partial texts kept at each step.
            length_power: 0 ranks texts by probability, which favours short ones; 1 ranks them
                nearly per token.
            max_tokens: Longest text, in tokens.
            unknown: Allow `<unk>` in the texts.

        Returns:
            The texts, best first, as a list that is also a table.

        Raises:
            UsageError: `num` is above the beam width or below 1, the model reads one row at a time,
                or the settings allow no token.
            TextError: The prompt contains a newline or `</s>`.
        """
        from rnnlm.scoring.generation.search import likeliest

        settings = BeamSettings(
            prompt, num, beam=beam, length_power=length_power, max_tokens=max_tokens,
            unknown=unknown,
        )  # fmt: skip
        return likeliest(self._core_for("likeliest"), settings)

    def next_words(self, text: str = "", count: int = 10) -> "RecordList[NextWord]":
        """Return the likeliest next words after a text, likeliest first. If the text ends inside a
        word, these are its completions, perhaps fewer. Unknown words are left out.

        Args:
            text: The beginning of a line.
            count: Number of words to return.

        Raises:
            TextError: The text contains a newline or `</s>`.
            UsageError: `count` is below 0.
        """
        from rnnlm.scoring.generation.search import next_words

        return next_words(self._core_for("next_words"), text, plain(count))

    def scorer(self) -> "WordScorer":
        """Return a scorer for lines that grow word by word, for decoders and services."""
        from rnnlm.scoring.prefixes import WordScorer

        return WordScorer(self._core_for("scorer"))

    def export_arpa(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write an n-gram model to an ARPA file. The file appears only once it is complete.

        Args:
            path: The file, compressed if the suffix is .gz, .xz, .bz2 or .zst.
            overwrite: Replace an existing file.

        Raises:
            UsageError: The model is not an n-gram model.
            OutputError: The file cannot be written, or it exists and `overwrite` is not set.
        """
        from rnnlm.lm.ngram.arpa.writing import export_arpa

        export_arpa(self.core, path, overwrite)

    # ---- The protocol of language models, which the core keeps.

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer whose ids the model reads and predicts."""
        return self.core.tokenizer

    def initial_state(self, rows: int) -> State:
        """Return the state of texts before any input.

        Args:
            rows: Number of texts, B.
        """
        return self.core.initial_state(rows)

    def score(self, inputs_BT: Array, targets_BT: Array, state: State) -> tuple[Array, State]:
        """Score targets; see :class:`rnnlm.LanguageModel`.

        Args:
            inputs_BT: Token ids that the model reads, (B, T).
            targets_BT: Token ids to score, (B, T); -1 is padding and scores 0.
            state: State before the first input.

        Returns:
            Log-probabilities of the targets in nats, (B, T), and the state after the last input.
        """
        return self.core.score(inputs_BT, targets_BT, state)

    def predict(self, inputs_BT: Array, state: State) -> tuple[Array, State]:
        """Predict every next token; see :class:`rnnlm.LanguageModel`.

        Args:
            inputs_BT: Token ids that the model reads, (B, T).
            state: State before the first input.

        Returns:
            Log-probabilities of all V tokens after each input in nats, (B, T, V), and the state
            after the last input.
        """
        return self.core.predict(inputs_BT, state)

    @property
    def normalised(self) -> bool:
        """Whether the probabilities of all next tokens sum to 1."""
        return self.core.normalised

    @property
    def max_rows(self) -> int | None:
        """The largest number of rows that it reads at once; None for any number."""
        return self.core.max_rows

    @property
    def call_tokens(self) -> int:
        """The best number of tokens to score in one call, over all rows."""
        return self.core.call_tokens

    @property
    def boundary_resets_state(self) -> bool:
        """Whether the model forgets all earlier input when it reads the boundary."""
        return self.core.boundary_resets_state

    @property
    def precision(self) -> str:
        """The precision of the scores, which is "fp32", "bf16" or "fp64"."""
        return self.core.precision

    @property
    def adaptation(self) -> str:
        """The kind of adaptation to the text read, or "none"."""
        return self.core.adaptation

    def concat_states(self, states: Sequence[State]) -> State:
        """Concatenate the rows of states.

        Args:
            states: The states, in the order of their rows.

        Returns:
            The state of all rows.
        """
        return self.core.concat_states(states)

    def state_from_arrays(self, arrays: "dict[str, np.ndarray]") -> State:
        """Restore a state from its arrays.

        Args:
            arrays: The result of the state's `to_arrays()`.
        """
        return self.core.state_from_arrays(arrays)

    def to_arrays(self) -> "dict[str, np.ndarray]":
        """Return the weights, by name, as the model folder stores them."""
        return self.core.to_arrays()


def take_methods() -> None:
    """Give Model the methods of all satellites that have been found."""
    for method in satellites.entries("methods"):
        if method.name not in vars(Model):
            setattr(Model, method.name, method.function)
            if method.command:
                Model._commands[method.name] = method.command


take_methods()
