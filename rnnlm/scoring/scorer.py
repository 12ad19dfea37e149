"""Score sentences: log-probabilities, surprisals of tokens and words, likely next words.

Each is read from the initial state, or all of them as one stream; with its `</s>` or without;
alone, or given the text before it, or a condition that only the model understands. Lines are read
a few thousand at a time, batched by length: scores depend neither on batch nor on order.
"""

import copy
import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np

from rnnlm.amounts import plural
from rnnlm.checks import items_of
from rnnlm.errors import TextError, UsageError, keyword
from rnnlm.evaluation.perplexity import Signature, check_context, signature_of
from rnnlm.events import never
from rnnlm.interface import ConditionalLanguageModel, Encoded, LanguageModel, Tokenizer
from rnnlm.lm.base import span_scoring
from rnnlm.lm.base.words import ShownWords, WordFinder, shown_words
from rnnlm.scoring.frequencies import Frequencies, frequencies_from, word_frequencies
from rnnlm.scoring.next_word import WordSearch
from rnnlm.scoring.rows import SentenceScores
from rnnlm.scoring.sentence_scores import ChunkScores, ReadSentences, SentenceScore
from rnnlm.scoring.sentences import Sentence, line_of, of_texts
from rnnlm.scoring.settings import TOKEN_MEASURES, ScoringSettings, SentenceScoring
from rnnlm.scoring.word_scores import DistributionColumns, joined
from rnnlm.storage.files.reading import undecoded
from rnnlm.storage.files.tables import SURROGATE, without_halves
from rnnlm.text.encoding import LinesHash, known_ids
from rnnlm.text.lines import REMOVE_OR_TREAT, WORD_SPACE, Progress, check_reserved, is_blank, silent
from rnnlm.text.marks import count_marks, count_odd_spaces, tell_odd_spaces, tell_unseen
from rnnlm.text.sources import in_lists
from rnnlm.text.unknown_words import (
    MOST_UNKNOWN,
    UnknownWords,
    glues_marks,
    tell_glued,
    unknown_words,
)

LINES_PER_CHUNK = 4096
SCORERS_KEPT = 16
LOOKED_UP = 4  # times as many of n-grams
SEARCHED_LINES_PER_CHUNK = 64
CHARACTERS_PER_CHUNK = 1 << 21
LONG_LINE = 1 << 14  # tokens, from which on progress within a chunk is reported


@dataclass(frozen=True)
class ModelChunk:
    """Sentences that a model has read together.

    The signature tells the data and method of all scores so far. A given text counts as a part of
    its line, separated by a tab, and so does a condition that the model reads.
    """

    sentences: list[Sentence]
    scores: ChunkScores | list[SentenceScore]  # of each
    signature: Signature


def score_sentences(
    scorers: "Scorers",
    sentences: Iterable[str | Sentence],
    settings: SentenceScoring,
    conditions: Mapping[str, Any] = {},
) -> SentenceScores:
    """Return the scores of `sentences` by a model, in their order. conditions: keywords with the
    conditions of the texts among them, one for all or one for each."""
    given, regions = settings.given, settings.regions
    made = list(items_of(sentences, (str, Sentence), "sentences"))
    texts = [item for item in made if isinstance(item, str)]
    if not isinstance(given, str):
        given = one_for_each(given, len(texts), "given texts")
    conditions_given = _conditions(scorers.model, len(texts), conditions)

    # Sentences that were read have all this already.
    of_text = of_texts(texts, given, regions, conditions_given)
    every = [next(of_text) if isinstance(item, str) else item for item in made]
    with_regions = regions is not None or any(sentence.regions for sentence in every)
    # What each sentence has already is no setting of the scorer.
    if (given, regions, settings.with_regions) != ("", None, with_regions):
        settings = replace(settings, given="", regions=None, with_regions=with_regions)
    scores = SentenceScores()
    scores.measures = settings.measures
    for chunk in score_chunks(scorers.of(settings), every):
        scores.extend(chunk.scores)
        scores.signature = str(chunk.signature)
    return scores


def _conditions(model: LanguageModel, count: int, named: Mapping[str, Any]) -> Any:
    """Return the conditions of `count` texts: one for all, or one for each. Refuse those that the
    model would not read, rather than ignore them."""
    if span_scoring.reads_conditions(model):
        return cast(ConditionalLanguageModel, model).conditions(count, **named)
    for name, value in named.items():
        if value is not None:
            raise UsageError(
                f"a language model reads no {name}",
                "it gives probabilities of the sentences alone",
                f"leave {name} out",
            )
    return None


def one_for_each(texts: Iterable[str], count: int, name: str) -> list[str]:
    """Return texts, one for each of `count` sentences; refuse another number."""
    values = list(items_of(texts, str, name))
    if len(values) != count:
        raise UsageError(
            f"{len(values)} {name} for {plural(count, 'sentence')}",
            hint="give one for all, or one for each",
        )
    return values


def score_chunks(scorer: "SentenceScorer", sentences: Iterable[Sentence]) -> Iterator[ModelChunk]:
    """Yield the scores of `sentences` of any number, chunk by chunk; the same sentences are always
    cut into the same chunks."""
    for part in chunks_of(sentences, lines_per_chunk(scorer.model, scorer.settings)):
        yield scorer.chunk(part)
    scorer.tell()


def chunks_of(
    sentences: Iterable[Sentence], most_lines: int, waits: Callable[[], bool] = never
) -> Iterator[list[Sentence]]:
    """Cut `sentences` into lists that are read together: at so many lines or so many characters,
    and before a sentence that has to be waited for."""
    return in_lists(
        sentences,
        most_lines,
        CHARACTERS_PER_CHUNK,
        lambda sentence: len(sentence.text) + len(sentence.given),
        waits,
    )


def lines_per_chunk(model: LanguageModel, settings: ScoringSettings) -> int:
    """Return how many sentences the model reads together: fewer where next words are searched for
    place by place, which takes its time, and more where n-grams are looked up."""
    if settings.next_words and not model.tokenizer.starts_word_V.all():
        return SEARCHED_LINES_PER_CHUNK
    return LINES_PER_CHUNK * (LOOKED_UP if model.boundary_resets_state else 1)


class SentenceScorer:
    """Scores chunks of sentences, one after the other or side by side.

    Notices call the model `name`. The tokenizers in `unseen_by` have the names of their models; a
    notice at the end names marks that they have never seen. `report` is called with how many tokens
    were scored where a chunk holds a long line.
    """

    def __init__(
        self,
        model: LanguageModel,
        settings: ScoringSettings,
        name: str = "the model",
        unseen_by: Mapping[str, Tokenizer] = {},
        report: Progress = silent,
    ) -> None:
        # The model and the collected notices.
        check_settings(model, settings)
        self.model = model
        self.settings = settings
        self.unseen_by = unseen_by
        self.name = name
        self.report = report
        self.glues_marks = glues_marks(model.tokenizer)
        self.tokenizer = model.tokenizer

        # The parts that some settings need.
        self.finder = WordFinder(self.tokenizer)
        self.search = WordSearch(model, self.finder) if settings.next_words else None
        self.reads_conditions = span_scoring.reads_conditions(model)
        self.frequencies: Frequencies | None = None
        if "frequency" in settings.measures:
            self.frequencies = word_frequencies(settings.frequency_from, self.tokenizer, name)
        self._begin()

    def begun(self) -> Self:
        """Return a scorer like this one that has read nothing yet."""
        scorer = copy.copy(self)
        if self.search:  # some models keep what one caller has read
            scorer.search = copy.copy(self.search)
            scorer.search.model = span_scoring.stepping(self.model)
        if self.settings.frequency_from is not None:  # the file may have changed
            scorer.frequencies = frequencies_from(self.settings.frequency_from)
        scorer._begin()
        return scorer

    def _begin(self) -> None:
        """Forget what was read. A model that was saved since has another signature."""
        settings, model = self.settings, self.model
        self.lines, self.marks, self.odd_spaces = LinesHash(), Counter[str](), 0
        self.unknown_before = UnknownWords()  # in given texts and conditions
        self.unknown: dict[str, None] = {}  # words, the first ones
        self.state = model.initial_state(1) if settings.context == "carry" else None
        self._signature_before = signature_before(model, settings)

    def chunk(self, sentences: list[Sentence]) -> ModelChunk:
        """Score the next sentences."""
        parts = self._check(sentences)
        signature = self._counted(parts[2])
        return ModelChunk(sentences, self._score(*parts), signature)

    def pass_over(self, sentences: list[Sentence]) -> Signature:
        """Count the next sentences, which others score, or have scored. Return the signature after
        them. If all sentences are one stream, they are read: the state after them is needed."""
        parts = self._check(sentences)
        if self.state is not None:
            self._score(*parts)
        return self._counted(parts[2])

    def scores(self, sentences: list[Sentence]) -> ChunkScores:
        """Score sentences that others count."""
        return self._score(*self._check(sentences))

    def _counted(self, readable: list[Sentence]) -> Signature:
        """Count marks of the next sentences. Return the signature after them."""
        if self.unseen_by:
            self.marks.update(count_marks(_lines_given(readable)))
            self.odd_spaces += count_odd_spaces([sentence.text for sentence in readable])
        self.lines.update(self._hashed(readable))
        return self._signature_after(self.lines)

    def take_unknown(self) -> tuple[dict[str, None], UnknownWords]:
        """Return the unknown words so far, and forget them."""
        taken = self.unknown, self.unknown_before
        self.unknown, self.unknown_before = {}, UnknownWords()
        return taken

    def add_unknown(self, unknown: dict[str, None], before: UnknownWords) -> None:
        """Add unknown words that a worker has taken."""
        if len(self.unknown) < MOST_UNKNOWN:
            self.unknown |= unknown
        self.unknown_before.join(before)

    def tell(self) -> None:
        """Report the marks and words that the model does not know."""
        tell_unseen(self.marks, self.unseen_by)
        tell_odd_spaces(self.odd_spaces, self.unseen_by)
        tell_glued(self.unknown, self.tokenizer, self.name)
        self.unknown_before.tell(self.name)

    def side_by_side(self, lists: Sequence[list[Sentence]]) -> list[ModelChunk]:
        """Score lists that have nothing to do with each other in one call: each as if it were read
        alone, up to the rounding of larger batches."""
        # Each list is checked alone, and has its own signature.
        checked: list[Sentence] = []
        reasons: list[str | None] = []
        readable: list[Sentence] = []
        signatures = []
        for sentences in lists:
            list_checked, list_reasons, list_readable = self._check(sentences)
            checked += list_checked
            reasons += list_reasons
            readable += list_readable
            lines = LinesHash()
            lines.update(self._hashed(list_readable))
            signatures.append(self._signature_after(lines))

        # All are scored together, and dealt out again.
        scores = iter(self._score(checked, reasons, readable))
        return [
            ModelChunk(sentences, list(itertools.islice(scores, len(sentences))), signature)
            for sentences, signature in zip(lists, signatures, strict=True)
        ]

    def _signature_after(self, lines: LinesHash) -> Signature:
        """Return the signature once the sentences are read whose lines were hashed."""
        return replace(self._signature_before, data=lines.hexdigest())

    def _hashed(self, readable: Sequence[Sentence]) -> list[str]:
        """Return the lines of sentences as signatures hash them: with the text before them."""
        texts = _lines_given(readable)
        if not self.reads_conditions:
            return texts
        return [
            f"{sentence.source}\t{text}" for sentence, text in zip(readable, texts, strict=True)
        ]

    def _check(
        self, sentences: Sequence[Sentence]
    ) -> tuple[list[Sentence], list[str | None], list[Sentence]]:
        """Return the sentences as they are scored, the reasons of those without a score, and the
        others; refuse sentences that this model cannot read."""
        # Faults of the sentences themselves.
        nulls = self.settings.unscorable == "null"
        checked, reasons = check(sentences, self.settings.special_symbols, nulls)

        # The conditions may be missing, or be none that the model can read.
        if self.reads_conditions:
            conditional = cast(ConditionalLanguageModel, self.model)
            reasons = conditional.check_conditions(checked, reasons, nulls)

        # A given text contradicts reading all lines as one stream.
        if self.state is not None and any(sentence.given for sentence in checked):
            raise UsageError(
                "a given text begins a new line",
                "context is carry",
                "use " + keyword("context", "reset") + ", or leave it out",
            )
        pairs = zip(checked, reasons, strict=True)
        return checked, reasons, [sentence for sentence, reason in pairs if reason is None]

    def _score(
        self, checked: list[Sentence], reasons: list[str | None], readable: list[Sentence]
    ) -> ChunkScores:
        """Return the scores in the order of the sentences, without numbers for those that cannot be
        read."""
        # A sentence that several subjects read, in a table with a row a word, is scored once,
        # unless all are one stream.
        numbers = None
        if readable and self.state is None and all(sentence.by_word for sentence in readable):
            first: dict[tuple[str, str], int] = {}
            keys = [(sentence.given, sentence.text) for sentence in readable]
            numbers = [first.setdefault(key, len(first)) for key in keys]
            readable = list(dict(zip(keys, readable, strict=True)).values())
        read = self._read(readable) if readable else None
        return ChunkScores(checked, reasons, read, numbers)

    def _read(self, sentences: list[Sentence]) -> ReadSentences:
        """Read the sentences, and find their words among the tokens."""
        # The text to read, and the place where the part to be scored begins.
        settings, tokenizer = self.settings, self.tokenizer
        texts = [sentence.text for sentence in sentences]
        lines = [line_of(sentence) if sentence.given else sentence.text for sentence in sentences]
        encoded = tokenizer.encode(lines)
        begins = encoded.offsets[:-1] + self._given_tokens(sentences, encoded)
        if self.glues_marks and len(self.unknown) < MOST_UNKNOWN:
            self.unknown |= dict.fromkeys(unknown_words(lines, encoded, tokenizer))

        # Records name the unknown words of sentences, and a notice those of what is read before.
        given = dict.fromkeys(sentence.given for sentence in sentences if sentence.given)
        self.unknown_before.add(list(given), tokenizer)
        if self.reads_conditions:
            conditions = dict.fromkeys(sentence.source or "" for sentence in sentences)
            conditional = cast(ConditionalLanguageModel, self.model)
            self.unknown_before.add(list(conditions), conditional.condition_tokenizer)

        # The tokenizer's words count in perplexities; those that are shown may be others.
        words = self.finder.find(encoded, begins)
        shown = None
        if settings.needs_words:
            shown = shown_words(
                split=settings.split,
                words=words,
                encoded=encoded,
                begins=begins,
                texts=texts,
                lines=lines,
                tokenizer=tokenizer,
            )

        initial = span_scoring.initial_states(
            self.model, [sentence.source for sentence in sentences]
        )
        logprob_N, seen, measured_N = self._read_tokens(encoded, shown, initial)
        span_scoring.check_scores(logprob_N)
        frequency_W = np.zeros(0)
        if shown and self.frequencies:
            frequency_W = self.frequencies.of(shown, encoded, texts)
        return ReadSentences(
            tokenizer=tokenizer,
            settings=settings,
            sentences=sentences,
            lines=lines,
            encoded=encoded,
            begins=begins,
            logprob_N=logprob_N,
            words=words,
            shown=shown,
            seen=seen,
            measured_N=measured_N,
            frequency_W=frequency_W,
            search=self.search,
            initial=initial,
        )

    def _given_tokens(self, sentences: list[Sentence], encoded: Encoded) -> np.ndarray:
        """Return how many tokens of each line are given, (lines,). TextError: the tokenizer cuts a
        given text in another way where something follows."""
        counts = np.zeros(len(sentences), dtype=np.int64)
        having = [index for index, sentence in enumerate(sentences) if not is_blank(sentence.given)]
        if not having:
            return counts

        # The given text alone must be the first tokens of its line.
        lines = [line_of(Sentence("", 0, sentences[index].given)) for index in having]
        alone = self.tokenizer.encode(lines)
        for index, start, end in zip(
            having, alone.offsets[:-1], alone.offsets[1:] - 1, strict=True
        ):
            at = encoded.offsets[index]
            if not np.array_equal(encoded.ids[at : at + end - start], alone.ids[start:end]):
                raise TextError(
                    f"sentence {sentences[index].id}: a token spans the boundary between the "
                    "given text and the sentence"
                )
            counts[index] = end - start
        return counts

    def _read_tokens(
        self, encoded: Encoded, shown: ShownWords | None, initial: span_scoring.Initial | None
    ) -> tuple[np.ndarray, DistributionColumns, dict[str, np.ndarray]]:
        """Read the tokens in their order; look at distributions only where that is asked for.
        Return their log-probabilities (nats), the columns of words, and measures of tokens by
        name."""
        if self.state is not None:
            spans = span_scoring.whole_text(encoded.ids)
        else:
            spans = span_scoring.spans_between(encoded.offsets)
        measured_N = {}
        if "order" in self.settings.measures:
            known_N = known_ids(encoded.ids, self.tokenizer)
            measured_N["order"], _ = cast(Any, self.model).longest_matches(known_N)
        functions = self._distribution_functions(shown)
        if functions:
            # B is needed at its places alone, ranks at each token if tokens are asked for, all else
            # at each word.
            is_word_N = np.zeros(len(encoded.ids), dtype=bool)
            is_boundary_N = is_word_N
            if shown:
                is_word_N[shown.items.starts] = True
                is_boundary_N = shown.items.is_place_N
            if functions.keys() == {"log_boundary"}:
                is_word_N = is_boundary_N
            is_place_N = is_word_N
            if "rank" in functions and self.settings.tokens:
                is_place_N = np.ones_like(is_word_N)
            logprob_N, columns, self.state = span_scoring.score_and_apply(
                model=self.model,
                ids=encoded.ids,
                spans=spans,
                is_place_N=is_place_N,
                function=span_scoring.side_by_side(list(functions.values())),
                state=self.state,
                initial=initial,
            )
            names = list(functions)
            if "rank" in functions:
                measured_N["rank"] = np.zeros(len(encoded.ids), dtype=np.int64)
                measured_N["rank"][is_place_N] = columns[:, names.index("rank")]
            columns, is_boundary = columns[is_word_N[is_place_N]], is_boundary_N[is_word_N]
            return logprob_N, DistributionColumns.of(columns, names, is_boundary), measured_N

        nothing = np.zeros(0)
        if self.state is not None:
            logprob_N, self.state = span_scoring.score_on(self.model, encoded.ids, self.state)
        else:
            has_long_line = np.diff(encoded.offsets).max() > LONG_LINE
            report = self.report if has_long_line else silent
            logprob_N = span_scoring.score_spans(self.model, encoded.ids, spans, initial, report)
        return logprob_N, DistributionColumns(nothing, nothing, nothing), measured_N

    def _distribution_functions(
        self, shown: ShownWords | None
    ) -> dict[str, span_scoring.DistributionFunction]:
        """Return the functions that look at distributions, by the name of their result in
        :class:`DistributionColumns`, or of the measure of tokens."""
        settings, functions = self.settings, dict[str, span_scoring.DistributionFunction]()
        if shown and shown.items.is_place_N.any():
            functions["log_boundary"] = lambda logprob_MV, _: self.finder.log_boundary(logprob_MV)
        if "entropy" in settings.measures:
            functions["entropy_bits"] = lambda logprob_MV, _: span_scoring.entropy_bits(logprob_MV)
        if "rank" in settings.measures:
            functions["rank"] = span_scoring.rank
        # Words made of pieces are searched for afterwards.
        if self.finder.tokens_are_words and settings.next_words:
            functions["likeliest"] = lambda logprob_MV, _: span_scoring.likeliest(
                logprob_MV, settings.next_words
            )
        return functions


class Scorers:
    """The scorers of one model by their settings. Those asked for last are kept, as making one
    takes longer than scoring a sentence."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        make = functools.partial(SentenceScorer, model, unseen_by={"the model": model.tokenizer})
        self.kept = functools.lru_cache(SCORERS_KEPT)(make)

    def of(self, settings: ScoringSettings = ScoringSettings()) -> SentenceScorer:
        """Return a scorer that has read nothing yet."""
        return self.kept(settings).begun()


def _lines_given(sentences: Sequence[Sentence]) -> list[str]:
    """Return the texts, each with the given text before it and a tab."""
    return [
        f"{sentence.given}\t{sentence.text}" if sentence.given else sentence.text
        for sentence in sentences
    ]


# ---- Settings that go with a model, and the signature of the scores.


def signature_before(model: LanguageModel, settings: ScoringSettings) -> Signature:
    """Return the signature before any sentence is read."""
    eos = "yes" if settings.eos else "no"
    return signature_of(model, LinesHash().hexdigest(), settings.context, "keep", eos)


def check_settings(model: LanguageModel, settings: ScoringSettings) -> None:
    """Make sure that the settings go with each other and with the model."""
    check_context(settings.context)
    if span_scoring.reads_conditions(model):
        cast(ConditionalLanguageModel, model).check_context(settings.context)

    # Refuse settings that have no effect without another one, or that the model cannot follow.
    of_tokens = TOKEN_MEASURES if settings.tokens else ()
    measures = [name for name in settings.measures if name not in of_tokens]
    if measures and not settings.words:
        units = "words or tokens" if {*measures} <= {*TOKEN_MEASURES} else "words"
        raise UsageError(
            f"{' and '.join(measures)} can only be measured for {units}",
            "scores of words are not requested",
            "add " + keyword("words", True),
        )
    if "order" in settings.measures and not hasattr(model, "longest_matches"):
        raise UsageError(
            "order can be measured for n-gram models of rnnlm alone",
            hint="leave it out, or name such a model",
        )
    if settings.frequency_from is not None and "frequency" not in settings.measures:
        raise UsageError(
            keyword("frequency_from") + " has no effect",
            "frequencies of words are not requested",
            "add " + keyword("measures", "frequency") + " or " + keyword("measures", "lags"),
        )
    is_searched = settings.next_words and not model.tokenizer.starts_word_V.all()
    if settings.context == "carry" and is_searched:
        raise UsageError(
            "next words of a subword model need single lines",
            "context is carry",
            "use " + keyword("context", "reset"),
        )


# ---- Whether sentences can be scored: text that is not UTF-8, holds a line end or a reserved
# symbol has no score, but a reason.

_BYTES = range(0xDC80, 0xDD00)  # characters in place of bytes that are not UTF-8 (surrogateescape)


def check(
    sentences: Sequence[Sentence], special_symbols: str, nulls: bool
) -> tuple[list[Sentence], list[str | None]]:
    """Return the sentences as they are scored (`special_symbols` treated, a blank one empty), and
    why each has no score, or None. Where there are to be no `nulls`, raise the reason."""
    # Most are plain text, which is found out for all of them at once.
    if _is_plain(sentences):
        stripped = []
        for candidate in sentences:
            if not candidate.text.strip(WORD_SPACE):
                candidate = replace(candidate, text="", regions=())
            stripped.append(candidate)
        return stripped, [None] * len(sentences)
    checked: list[Sentence] = []
    reasons: list[str | None] = []
    for sentence in sentences:
        where = f"sentence {sentence.id}"
        try:
            if sentence.reason:
                raise TextError(f"{where}: {sentence.reason}")
            checked.append(_checked(sentence, where, special_symbols))
            reasons.append(None)
        except TextError as error:
            if not nulls:
                raise
            text = without_halves(sentence.text)
            unread = Sentence(
                text,
                sentence.id,
                columns=sentence.columns,
                by_word=sentence.by_word,
                kept=sentence.kept,
            )
            checked.append(unread)
            reasons.append(error.what.removeprefix(f"{where}: "))
    return checked, reasons


def _checked(sentence: Sentence, where: str, special_symbols: str) -> Sentence:
    text = checked_text(sentence.text, where, special_symbols)
    given = checked_text(sentence.given, where, special_symbols)

    # Where symbols were dropped or replaced, the regions are checked each by itself.
    regions = sentence.regions
    if regions and text != sentence.text:
        regions = tuple(
            replace(region, text=checked_text(region.text, where, special_symbols))
            for region in regions
        )
        text = joined(regions)
    condition = sentence.source and checked_text(sentence.source, where, special_symbols)
    if is_blank(text):
        text = ""
    return replace(sentence, text=text, given=given, regions=regions, source=condition)


def _is_plain(sentences: Sequence[Sentence]) -> bool:
    """Return whether nothing is wrong with any sentence: found out for all at once."""
    # Join all in one text. Line ends inside sentences show in the number of its lines.
    text = "\n".join(
        f"{sentence.given}{sentence.source or ''}{sentence.text}" for sentence in sentences
    )
    if "<s>" in text or "</s>" in text or text.count("\n") != len(sentences) - 1:
        return False
    has_reasons = any(sentence.reason for sentence in sentences)
    return not has_reasons and (text.isascii() or not SURROGATE.search(text))


def is_utf8(sentence: Sentence) -> bool:
    """Return whether a sentence, with what is given before it, holds only whole characters."""
    return not SURROGATE.search(f"{sentence.given}{sentence.source or ''}{sentence.text}")


def checked_text(text: str, where: str, special_symbols: str, hint: str = REMOVE_OR_TREAT) -> str:
    """Return the text of a sentence as it is read, `special_symbols` treated. Messages name its
    place, `where`; `hint` is the way out if `<s>` or `</s>` is an error.

    Raises:
        TextError: it is not UTF-8, or holds a newline; or `<s>` or `</s>`, where that is an error.
    """
    surrogate = SURROGATE.search(text)
    if surrogate:
        why = f"it holds U+{ord(surrogate[0]):04X}"
        if ord(surrogate[0]) in _BYTES:
            why = undecoded(text, surrogate.start())
        raise TextError(
            f"{where}: not UTF-8 ({why})",
            hint="convert it to UTF-8, or use " + keyword("encoding_errors", "replace"),
        )
    if "\n" in text:
        raise TextError(f"{where}: a line holds a newline", hint="give each line separately")
    return check_reserved(text, where, special_symbols, hint)
