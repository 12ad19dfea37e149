"""Sentences scored one by one: log-probabilities; surprisals of tokens and of words; likely next
words.

Each is read from the initial state, or all of them as one stream; with its `</s>` or without;
alone, or given what comes before. A decoder reads each from the state of its source. Lines are read
a few thousand at a time, batched by length: scores depend neither on batch nor on order.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from rnnlm.checks import items_of
from rnnlm.errors import TextError, UsageError, nearest, notice
from rnnlm.evaluation.perplexity import Context, Signature, check_context, signature_of
from rnnlm.events import never
from rnnlm.files.reading import undecoded
from rnnlm.inference import distributions, span_scoring
from rnnlm.inference.next_word import WordSearch
from rnnlm.inference.span_scoring import Initial, check_reads_forward, initial_states, reads_sources
from rnnlm.inference.words import ShownWords, Split, WordFinder, WordSpans, shown_words
from rnnlm.interface import Encoded, LanguageModel, Tokenizer
from rnnlm.models.loading import ScoringModel, scoring_model_of
from rnnlm.scoring.records import ReadSentences, SentenceScore
from rnnlm.scoring.sentences import SURROGATE, Sentence, line_of, of_texts
from rnnlm.scoring.settings import Measure, ScoringSettings
from rnnlm.scoring.word_scores import Seen, WordFrequencies, joined
from rnnlm.text import encoding
from rnnlm.text.encoding import LinesHash
from rnnlm.text.lines import WORD_SPACE, SpecialSymbols, check_reserved, is_blank
from rnnlm.text.marks import count_marks, tell_unseen

LINES_PER_CHUNK = 4096
SEARCHED_LINES_PER_CHUNK = 64
CHARACTERS_PER_CHUNK = 1 << 21


@dataclass(frozen=True)
class Chunk:
    """Sentences that were read together, as a sequence of their scores. scores: one for each; none
    where the chunk was skipped.

    signature: what all scores so far were measured on, and how. A given text counts as a part of
    its line, apart by a tab, and so does the source that a decoder reads.
    """

    sentences: list[Sentence]
    scores: list[SentenceScore]
    signature: Signature

    def __iter__(self) -> Iterator[SentenceScore]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: int) -> SentenceScore:
        return self.scores[index]


def score_sentences(
    model: ScoringModel, sentences: Iterable[str], *, given: str | Sequence[str] = "",
    with_tokens: bool = False,
    with_words: bool = False, word_surprisal: Literal["exact", "naive"] = "exact",
    next_words: int = 0, eos: bool = True,
    context: Context = "reset", special_symbols: SpecialSymbols = "error",
    unscorable: Literal["raise", "null"] = "raise",
    split: Split = "whitespace", measures: Sequence[Measure] = (), regions: str | None = None,
    sources: str | Sequence[str] | None = None,
) -> list[SentenceScore]:  # fmt: skip
    """The scores of `sentences`, in their order. An empty sentence is scored as `</s>` alone.

    model: a language model or an encoder-decoder, or the name of one, which is then loaded anew by
    each call. sources: of an encoder-decoder, what each sentence is the target of (one text for
    all, or one for each): log p(sentence | source). given: what comes before each sentence in the
    same line (one text for all, or one for each); scores are conditional on it. with_tokens,
    with_words: surprisals of tokens, of words (:mod:`rnnlm.inference.words`; `word_surprisal`
    "naive" adds up a word's tokens). next_words: so many of the likeliest words before each word.
    eos: `</s>` is scored, too. context: "carry" reads all sentences as one stream. unscorable:
    "null" gives a sentence that cannot be read a score of None with its reason. split: words are
    those between white space ("whitespace") or those of the tokenizer, marks apart ("tokens").
    measures: "entropy" (of the prediction at each word, bits) and "frequency" (log10 of the word's
    share of the training text). regions: what separates regions in the sentences, such as "|"; it
    is taken out, and `region_scores` has the surprisal of each (:mod:`rnnlm.scoring.word_scores`).

    Raises:
        TypeError: `sentences` is one text instead of several. TextError: a sentence holds a
            newline, or `<s>` or `</s>` (see `special_symbols`), and is to raise. UsageError: the
            request contradicts itself; an encoder-decoder has no sources, or a language model has
            some. ModelError: there is no such model, or its scores are not numbers.
    """
    settings = ScoringSettings(
        with_tokens, with_words or next_words > 0, word_surprisal, next_words, eos, context,
        special_symbols, unscorable, split,
        tuple(measures), regions is not None,
    )  # fmt: skip
    texts, model = list(items_of(sentences, str, "sentences")), scoring_model_of(model)
    if sources is not None and not reads_sources(model):
        raise UsageError(
            "a language model reads no sources",
            "it gives probabilities of the sentences alone",
            "leave sources out",
        )
    before, of = (
        _one_for_each(given, len(texts), "given texts"),
        _one_for_each(sources, len(texts), "sources"),
    )
    each = of_texts(texts, before, regions, of)
    return [score for chunk in score_chunks(model, each, settings) for score in chunk]


def _one_for_each(texts: str | Sequence[str] | None, count: int, what: str) -> list[Any]:
    """One text for each of so many sentences.

    Raises:
        UsageError: there are several, and not as many.
    """
    if texts is None or isinstance(texts, str):
        return [texts] * count
    each = list(items_of(texts, str, what))
    if len(each) != count:
        raise UsageError(
            f"{len(each)} {what} for {count} sentences", hint="give one for all, or one for each"
        )
    return each


def score_chunks(
    model: ScoringModel, sentences: Iterable[Sentence],
    settings: ScoringSettings = ScoringSettings(), skip: int = 0,
    most_lines: int | None = None, name: str = "the model",
    unseen_by: Mapping[str, Tokenizer] | None = None,
) -> Iterator[Chunk]:  # fmt: skip
    """The scores of `sentences` of any number, chunk by chunk, which are cut alike whenever they
    are cut.

    model: as for :func:`score_sentences`. skip: so many sentences were scored before; their chunks
    are read only as far as what follows depends on them. most_lines: of a chunk; None: as many as
    suit the model. name: what notices call the model. unseen_by: tokenizers, by the names of their
    models; a notice at the end names marks that they have never seen. None: the model's own.

    Raises:
        UsageError: the settings contradict each other or the model. TextError, ModelError: as
            :func:`score_sentences`, while iterating.
    """
    model = scoring_model_of(model)
    unseen_by = {name: model.tokenizer} if unseen_by is None else unseen_by
    each = items_of(sentences, Sentence, "sentences")
    lists = cut(each, most_lines or lines_per_chunk(model, settings))
    return score_lists(model, lists, settings, skip, name, unseen_by)


def score_lists(
    model: LanguageModel,
    lists: Iterable[list[Sentence]],
    settings: ScoringSettings,
    skip: int,
    name: str,
    unseen_by: Mapping[str, Tokenizer],
) -> Iterator[Chunk]:
    """Score sentences that are cut into chunks already; see :func:`score_chunks`."""
    check_settings(model, settings)
    return _Scorer(model, settings, name, unseen_by).chunks(lists, skip)


def cut(
    sentences: Iterable[Sentence], most_lines: int, waits: Callable[[], bool] = never
) -> Iterator[list[Sentence]]:
    """Cut `sentences` into lists that are read together: of so many lines, or so many characters,
    and before a sentence that has to be waited for."""
    chunk: list[Sentence] = []
    characters = 0
    for sentence in sentences:
        chunk.append(sentence)
        characters += len(sentence.text) + len(sentence.given)
        if len(chunk) >= most_lines or characters >= CHARACTERS_PER_CHUNK or waits():
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def lines_per_chunk(model: LanguageModel, settings: ScoringSettings) -> int:
    """How many sentences the model reads together: fewer where next words are looked for place by
    place, which takes its time."""
    is_searched = settings.next_words and not model.tokenizer.starts_word_V.all()
    return SEARCHED_LINES_PER_CHUNK if is_searched else LINES_PER_CHUNK


class _Scorer:
    """Scores chunks of sentences, one after the other."""

    def __init__(
        self,
        model: LanguageModel,
        settings: ScoringSettings,
        name: str,
        unseen_by: Mapping[str, Tokenizer],
    ) -> None:
        self.model = model
        self.settings = settings
        self.unseen_by = unseen_by
        self.name = name
        self.unknown_given = 0  # lines
        # of all that is shown, which is in the order of reading
        self.tokenizer = model.tokenizer.in_direction(False)
        self.finder = WordFinder(self.tokenizer)
        self.search = WordSearch(model, self.finder) if settings.next_words else None
        self.reads_sources = reads_sources(model)
        self.state = model.initial_state(1) if settings.context == "carry" else None
        self.frequencies = (
            WordFrequencies(model.tokenizer) if "frequency" in settings.measures else None
        )
        if self.frequencies and not self.frequencies.are_known:
            notice(
                f"{name}'s tokens are not words, or it does not know how often it has seen "
                "them: its words have no frequencies"
            )

    def chunks(self, lists: Iterable[list[Sentence]], skip: int) -> Iterator[Chunk]:
        lines, read, marks = LinesHash(), 0, Counter[str]()
        for chunk in lists:
            checked, reasons = self._check(chunk)
            readable = [
                each for each, reason in zip(checked, reasons, strict=True) if reason is None
            ]
            texts = [f"{each.given}\t{each.text}" if each.given else each.text for each in readable]
            lines.update(
                [f"{each.source}\t{text}" for each, text in zip(readable, texts, strict=True)]
                if self.reads_sources
                else texts
            )
            marks.update(count_marks(texts) if self.unseen_by else ())
            read += len(chunk)
            scores = (
                self._score(checked, reasons, readable)
                if read > skip or self.state is not None
                else []
            )
            yield Chunk(
                chunk,
                scores if read > skip else [],
                signature_after(self.model, self.settings, lines),
            )
        tell_unseen(marks, self.unseen_by)
        if self.unknown_given:
            count = self.unknown_given
            lines_have = "1 line has" if count == 1 else f"{count:,} lines have"
            notice(
                f"{lines_have} words in the given text that {self.name} does not know: it reads "
                "them as <unk>"
            )

    def _check(self, sentences: Sequence[Sentence]) -> tuple[list[Sentence], list[str | None]]:
        """The sentences as they are scored, and why one is not."""
        checked, reasons = check(
            sentences, self.settings.special_symbols, self.settings.unscorable == "null"
        )
        for each, reason in zip(checked, reasons, strict=True) if self.reads_sources else ():
            if each.source is None and reason is None:
                raise UsageError(
                    f"sentence {each.id} has no source",
                    "an encoder-decoder scores a target given its source",
                    "name sources",
                )
        if any(each.given for each in checked):
            check_reads_forward(
                self.model.tokenizer, "score a sentence given what comes before it in its line"
            )
        if self.state is not None and any(each.given for each in checked):
            raise UsageError(
                "a given text begins a line of its own",
                "context is carry",
                "use --context reset, or leave it out",
            )
        return checked, reasons

    def _score(
        self, checked: list[Sentence], reasons: list[str | None], readable: list[Sentence]
    ) -> list[SentenceScore]:
        scores = self._read(readable).records() if readable else iter(())
        return [
            next(scores) if reason is None
            else SentenceScore(each.text, None, 0, 0, (), None, (), id=each.id, reason=reason,
                               columns=each.columns, source=each.source)
            for each, reason in zip(checked, reasons, strict=True)
        ]  # fmt: skip

    def _read(self, sentences: list[Sentence]) -> ReadSentences:
        settings, tokenizer = self.settings, self.tokenizer
        lines = [line_of(each) if each.given else each.text for each in sentences]
        encoded = tokenizer.encode(lines)
        begins = encoded.offsets[:-1] + self._given_tokens(sentences, encoded)
        self._count_unknown_given(encoded, begins)
        words = self._with_places(self.finder.find(encoded, begins))
        shown = None
        if settings.needs_words:
            shown = shown_words(
                settings.split,
                words,
                encoded,
                begins,
                [each.text for each in sentences],
                lines,
                tokenizer,
            )
        initial = initial_states(self.model, [each.source for each in sentences])
        logprob_N, seen = self._read_tokens(encoded, shown, initial)
        span_scoring.check_scores(logprob_N)
        frequency_W = (
            self.frequencies.of(shown.items, encoded.ids)
            if shown and self.frequencies
            else np.zeros(0)
        )
        return ReadSentences(
            tokenizer, settings, sentences, lines, encoded, begins, logprob_N, words, shown, seen,
            frequency_W, self.search, initial
        )  # fmt: skip

    def _count_unknown_given(self, encoded: Encoded, begins: np.ndarray) -> None:
        """Count the lines whose given text holds unknown words."""
        first_N = np.searchsorted(encoded.oov, encoded.offsets[:-1])
        last_N = np.searchsorted(encoded.oov, begins)
        self.unknown_given += int(np.count_nonzero(last_N > first_N))

    def _given_tokens(self, sentences: list[Sentence], encoded: Encoded) -> np.ndarray:
        """How many tokens of each line are given, (lines,).

        Raises:
            TextError: the tokenizer cuts a given text otherwise where something follows.
        """
        counts = np.zeros(len(sentences), dtype=np.int64)
        having = [
            index for index, each in enumerate(sentences) if each.given and not is_blank(each.given)
        ]
        if not having:
            return counts
        alone = self.tokenizer.encode(
            [line_of(Sentence("", 0, sentences[index].given)) for index in having]
        )
        for index, start, end in zip(
            having, alone.offsets[:-1], alone.offsets[1:] - 1, strict=True
        ):
            at = encoded.offsets[index]
            if not np.array_equal(encoded.ids[at : at + end - start], alone.ids[start:end]):
                raise TextError(
                    f"sentence {sentences[index].id}: a token reaches over the border between "
                    "the given text and the sentence"
                )
            counts[index] = end - start
        return counts

    def _with_places(self, words: WordSpans) -> WordSpans:
        """The words; of a model that reads lines from their end each is complete with the piece
        that begins it, whatever comes then."""
        return (
            replace(words, is_place_N=np.zeros_like(words.is_place_N))
            if self.model.tokenizer.is_reversed
            else words
        )

    def _read_tokens(
        self, encoded: Encoded, shown: ShownWords | None, initial: Initial | None
    ) -> tuple[np.ndarray, Seen]:
        """The scores of the tokens, and what was seen of the predictions at the shown words, in the
        order of reading."""
        if not self.model.tokenizer.is_reversed:
            return self._read_forward(encoded, shown, initial)
        at_N = encoding.mirror(encoded.offsets)
        if shown is None:
            logprob_N, seen = self._read_forward(encoding.mirrored(encoded), None, initial)
            return logprob_N[at_N], seen
        items = shown.items
        first_W = at_N[items.ends - 1]  # a word's last token is read first
        order = np.argsort(first_W)
        turned = replace(shown, items=replace(items, starts=first_W[order]))
        logprob_N, seen = self._read_forward(encoding.mirrored(encoded), turned, initial)
        back = np.argsort(order)
        entropy = seen.entropy_bits[back] if len(seen.entropy_bits) else seen.entropy_bits
        return logprob_N[at_N], replace(seen, entropy_bits=entropy)

    def _read_forward(
        self, encoded: Encoded, shown: ShownWords | None, initial: Initial | None
    ) -> tuple[np.ndarray, Seen]:
        spans = (
            span_scoring.whole_text(encoded.ids)
            if self.state is not None
            else span_scoring.spans_between(encoded.offsets)
        )
        nothing = np.zeros(0)
        looks = self._looks(shown) if shown else {}
        if shown and looks:
            is_place_N, log_boundary_N = shown.items.is_place_N, shown.items.is_place_N
            if looks.keys() != {"log_boundary"}:
                is_place_N = np.zeros(len(encoded.ids), dtype=bool)
                is_place_N[shown.items.starts] = True
            look = distributions.side_by_side(list(looks.values()))
            logprob_N, seen, self.state = distributions.score_and_look(
                self.model, encoded.ids, spans, is_place_N, look, self.state, initial
            )
            return logprob_N, Seen.of(seen, list(looks), log_boundary_N[is_place_N])
        if self.state is not None:
            logprob_N, self.state = span_scoring.score_on(self.model, encoded.ids, self.state)
            return logprob_N, Seen(nothing, nothing, nothing)
        return span_scoring.score_spans(self.model, encoded.ids, spans, initial), Seen(
            nothing, nothing, nothing
        )

    def _looks(self, shown: ShownWords) -> dict[str, distributions.Look]:
        """What is looked for in predictions, by the name that :class:`Seen` has for it."""
        settings, looks = self.settings, dict[str, distributions.Look]()
        if settings.word_surprisal == "exact" and shown.items.is_place_N.any():
            looks["log_boundary"] = self.finder.log_boundary
        if "entropy" in settings.measures:
            looks["entropy_bits"] = distributions.entropy_bits
        if self.finder.tokens_are_words and settings.next_words:
            looks["likeliest"] = functools.partial(
                distributions.likeliest, count=settings.next_words
            )
        return looks


# ---- What makes a run of scoring: the model, the settings, and the signature of what was scored.


def describe_run(model: LanguageModel, settings: ScoringSettings) -> dict[str, str]:
    """What makes a run of scoring, by name: the model and the settings.

    Raises:
        UsageError: the settings contradict each other or the model.
    """
    check_settings(model, settings)
    signature = signature_before(model, settings)
    named = {name: str(value) for name, value in dataclasses.asdict(settings).items()}
    return {
        "model": signature.model,
        "adapt": signature.adapt,
        "prec": signature.prec,
        "tok": signature.tok,
        **named,
    }


def signature_before(model: LanguageModel, settings: ScoringSettings) -> Signature:
    """The signature before any sentence is read."""
    return signature_after(model, settings, LinesHash())


def signature_after(model: LanguageModel, settings: ScoringSettings, lines: LinesHash) -> Signature:
    """The signature once the sentences are read whose lines were hashed."""
    return signature_of(
        model, lines.hexdigest(), settings.context, "keep", "yes" if settings.eos else "no"
    )


def check_settings(model: LanguageModel, settings: ScoringSettings) -> None:
    """Make sure that the settings go with each other and the model.

    Raises:
        UsageError: they do not.
    """
    check_context(settings.context)
    if settings.context == "carry" and reads_sources(model):
        raise UsageError(
            "each target is read from its own source", "context is carry", "use --context reset"
        )
    if settings.next_words:
        check_reads_forward(model.tokenizer, "say which words come next")
    if settings.split not in get_args(Split):
        raise UsageError(
            f"words cannot be split by {settings.split!r}",
            hint=nearest(str(settings.split), get_args(Split)),
        )
    for name in settings.measures:
        if name not in get_args(Measure):
            raise UsageError(
                f"words have no measure {name!r}", hint=nearest(str(name), get_args(Measure))
            )
    if settings.measures and not (settings.with_words or settings.next_words):
        raise UsageError(
            f"{' and '.join(settings.measures)}: a measure of words",
            "words are not asked for",
            "score with with_words=True",
        )
    if (
        settings.context == "carry"
        and settings.next_words
        and not model.tokenizer.starts_word_V.all()
    ):
        raise UsageError(
            "next words of a model of pieces are found for each line alone",
            "context is carry",
            "use --context reset",
        )


# ---- Whether sentences can be scored: what is not UTF-8, holds a line end or a reserved symbol has
# no score, and the reason why.

_BYTES = range(0xDC80, 0xDD00)  # what stands for a byte that is not UTF-8 ("surrogateescape")


def check(
    sentences: Sequence[Sentence], special_symbols: str, nulls: bool
) -> tuple[list[Sentence], list[str | None]]:
    """The sentences as they are scored (`special_symbols` treated, a blank one empty), and why each
    has no score, or None.

    Raises:
        TextError: one cannot be scored, unless there are to be `nulls`.
    """
    if _is_plain(sentences):
        return [
            each if each.text.strip(WORD_SPACE) else replace(each, text="", regions=())
            for each in sentences
        ], [None] * len(sentences)
    checked: list[Sentence] = []
    reasons: list[str | None] = []
    for sentence in sentences:
        try:
            if sentence.reason:
                raise TextError(f"sentence {sentence.id}: {sentence.reason}")
            where = f"sentence {sentence.id}"
            text, given = (
                checked_text(part, where, special_symbols)
                for part in (sentence.text, sentence.given)
            )
            regions = sentence.regions
            if regions and text != sentence.text:
                regions = tuple(
                    replace(each, text=checked_text(each.text, where, special_symbols))
                    for each in regions
                )
                text = joined(regions)
            source = sentence.source and checked_text(sentence.source, where, special_symbols)
            checked.append(
                replace(
                    sentence,
                    text="" if is_blank(text) else text,
                    given=given,
                    regions=regions,
                    source=source,
                )
            )
            reasons.append(None)
        except TextError as error:
            if not nulls:
                raise
            checked.append(
                Sentence(
                    SURROGATE.sub("\ufffd", sentence.text), sentence.id, columns=sentence.columns
                )
            )
            reasons.append(error.what.removeprefix(f"sentence {sentence.id}: "))
    return checked, reasons


def _is_plain(sentences: Sequence[Sentence]) -> bool:
    """Whether no sentence has anything to find fault with: found out for all at once."""
    text = "\n".join(
        [
            f"{each.given}{each.source or ''}{each.text}"
            if each.given or each.source
            else each.text
            for each in sentences
        ]
    )
    if (
        "<s>" in text
        or "</s>" in text
        or text.count("\n") != len(sentences) - 1
        or any(each.reason for each in sentences)
    ):
        return False
    return text.isascii() or not SURROGATE.search(text)


def checked_text(text: str, where: str, special_symbols: str) -> str:
    """The text of a sentence as it is read, `special_symbols` treated. where: what messages call
    its place.

    Raises:
        TextError: it is not UTF-8, or holds a newline; or `<s>` or `</s>`, where that is to be an
            error.
    """
    if found := SURROGATE.search(text):
        why = (
            undecoded(text, found.start())
            if ord(found[0]) in _BYTES
            else f"it holds U+{ord(found[0]):04X}"
        )
        raise TextError(
            f"{where}: not UTF-8 ({why})",
            hint="convert it to UTF-8, or use --encoding-errors replace",
        )
    if "\n" in text:
        raise TextError(f"{where}: a line holds a newline", hint="give each line on its own")
    return check_reserved(text, where, special_symbols)
