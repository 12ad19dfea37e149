"""The endpoints: functions from a request and the served models to an answer. Nothing here knows
HTTP.

Texts come and go with their request: nothing is kept, and no file is read or written.
"""

import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any, cast

import msgspec

from rnnlm.errors import ModelError, UsageError
from rnnlm.interface import LanguageModel
from rnnlm.scoring.generation import search
from rnnlm.scoring.generation.drawing import SampleUpdate, generate_in_steps
from rnnlm.scoring.generation.settings import GenerationSettings
from rnnlm.scoring.rows import record
from rnnlm.scoring.scorer import ModelChunk
from rnnlm.scoring.sentences import Sentence, of_texts
from rnnlm.scoring.settings import ScoringSettings, WordMeasure
from rnnlm.tools.serving import costs, line_inspection, schemas, settings as limits
from rnnlm.tools.serving.metrics import Metrics
from rnnlm.tools.serving.responses import RETRY_SECONDS, Refusal
from rnnlm.tools.serving.served import ServedModel, ServedModels

MOST_BEAMS = 64
MOST_COMPARED = 16  # lines of a source, with one another
NUMBERS_OF_A_SENTENCE = 5
NUMBERS_OF_A_WORD = 6


class Handlers:
    """The handlers of one server."""

    def __init__(
        self, models: ServedModels, settings: limits.ServingSettings, metrics: Metrics | None = None
    ) -> None:
        self.models = models
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.most = costs.limits_of(settings)

    async def health(self) -> schemas.Health:
        """Say that the server answers."""
        return schemas.Health("ok", len(self.models))

    async def ready(self) -> schemas.Ready:
        """Say that the server takes requests; refuse where it has as many as it can take."""
        in_work = self.metrics.count_requests()
        if in_work >= limits.MAX_REQUESTS:
            why = f"{in_work} requests are waiting"
            raise Refusal(503, "the server is overloaded", why, retry_after=RETRY_SECONDS)
        return schemas.Ready("ready", len(self.models), in_work)

    async def list_models(self) -> schemas.ModelList:
        """List the models that are served, and their abilities."""
        return schemas.ModelList([model.record for model in self.models])

    # ---- Probabilities.

    async def score(self, asked: schemas.ScoreRequest) -> schemas.Reply:
        """Score sentences: log-probabilities, surprisals of their words and tokens."""
        model = self.models.doing(asked.model, "score")
        settings = _scoring_settings(**schemas.fields_in(asked, ScoringSettings))
        self._check_count("next_words", settings.next_words, limits.MAX_WORDS)
        demand = _demand_of_scores(model, asked, settings)

        def sentences() -> list[Sentence]:
            return list(of_texts(asked.sentences, asked.given, None, asked.source))

        # Small requests are scored together with other clients' requests.
        if self._is_small(demand) and not model.searches_words(settings):
            return _scored(model, await model.score(sentences(), settings), settings)

        def score() -> schemas.ScoreAnswer:
            return _scored(model, model.scored_alone(sentences(), settings), settings)

        return await self._computed(model, demand, score, is_long=True)

    async def next_words(self, asked: schemas.NextRequest) -> schemas.Reply:
        """Find the likeliest next words; a last word that no white space follows is incomplete."""
        model = self.models.doing(asked.model, "next")
        self._check_count("n", asked.n, limits.MAX_WORDS)
        core = cast(LanguageModel, model.core)

        def find() -> schemas.NextAnswer:
            found = search.next_words(core, asked.text, asked.n)
            words = [schemas.NextWordRecord(each.word, each.probability) for each in found]
            return schemas.NextAnswer(model=model.name, next=words)

        demand = costs.Demand(
            readings=[(asked.text,)],
            tokenizer=model.tokenizer,
            numbers=lambda tokens: asked.n,
            bytes_of_a_number=costs.BYTES_OF_A_NUMBER + model.longest_symbol,
        )
        is_searched = not model.tokenizer.starts_word_V.all()
        return await self._computed(model, demand, find, is_long=is_searched)

    async def inspect(self, asked: schemas.InspectRequest) -> schemas.Reply:
        """Show the computations of a model at each word of a line."""
        model = self.models.named(asked.model)
        if asked.what not in model.record.can:
            able = [each.name for each in self.models if asked.what in each.record.can]
            raise Refusal(
                400,
                f"{model.name} has no {asked.what} to show",
                "",
                f"ask {' or '.join(able)}"
                if able
                else "GET /models lists what each model supports",
            )
        inspection = line_inspection.INSPECTIONS[asked.what]
        demand = costs.Demand(
            readings=[(asked.text,)],
            tokenizer=model.tokenizer,
            numbers=lambda tokens: inspection.numbers(model.core, tokens),
        )
        return await self._computed(
            model, demand, lambda: inspection.show(model.core, asked.text), is_long=True
        )

    # ---- Text.

    async def generate(self, asked: schemas.GenerateRequest) -> schemas.Reply:
        """Draw texts."""
        *_, last = [event async for event in self.generate_events(asked)]
        name = self.models.named(asked.model).name
        return schemas.GenerateAnswer(model=name, samples=cast(schemas.DoneEvent, last).samples)

    async def generate_events(
        self, asked: schemas.GenerateRequest
    ) -> AsyncIterator[schemas.PieceEvent | schemas.DoneEvent]:
        """Draw texts, and yield the text that each step adds to them; all of them at the end."""
        samples = []
        async for pieces in await self._drawn(asked):
            for piece in pieces:
                if piece.text:
                    yield schemas.PieceEvent(piece.number, piece.text)
                if piece.sample:
                    samples.append(schemas.SampleRecord(**asdict(piece.sample)))
        samples.sort(key=lambda sample: sample.number)
        yield schemas.DoneEvent(True, samples)

    async def _drawn(self, asked: schemas.GenerateRequest) -> AsyncIterator[list[SampleUpdate]]:
        """Return the steps in which a model draws the requested texts."""
        model = self.models.doing(asked.model, "generate")
        drawing = GenerationSettings(**schemas.fields_in(asked, GenerationSettings))
        self._check_count("num", drawing.num, limits.MAX_SAMPLES)
        self._check_count("max_tokens", drawing.max_tokens, self.settings.max_tokens)
        demand = costs.Demand(
            readings=[(drawing.prompt,)],
            tokenizer=model.tokenizer,
            drawn=lambda tokens: drawing.num * drawing.max_tokens,
        )
        if not self._is_small(demand):
            await model.run(lambda: costs.cost_of(demand, self.most))
        return model.steps(generate_in_steps(cast(LanguageModel, model.core), drawing))

    # ---- N-best lists.

    async def rescore(self, asked: schemas.RescoreRequest) -> schemas.Reply:
        """Reorder n-best lists with the weights that were tuned for them."""
        from rnnlm.tools.rescoring import files
        from rnnlm.tools.rescoring.nbest import Hypothesis, Utterance
        from rnnlm.tools.rescoring.rescorer import rescore

        readings = []
        utterances = []
        for number, each in enumerate(asked.utterances, start=1):
            beside = (each.source or "", each.ref or "")
            readings += [(hypothesis.text, *beside) for hypothesis in each.hypotheses]
            where = f"utterance {number}"
            hypotheses = tuple(
                Hypothesis(one.text, one.score, where, one.scores) for one in each.hypotheses
            )
            named = (str(each.utt) or str(number), hypotheses, each.ref, where)
            utterances.append(Utterance(*named, each.source))

        # The models that the weights were tuned for, under any name here.
        weights = asked.weights
        wanted = set(weights.models.values()) - {None}
        models = {}
        for model in self.models:
            is_wanted = model.core.fingerprint in wanted or model.name in weights.models
            if is_wanted and model.scoring is not None:
                models[model.name] = model.scoring
        if not models:
            raise Refusal(
                400,
                "the weights were tuned for other models",
                f"for {', '.join(weights.models)}; GET /models lists the models here",
            )
        first = self.models.named(next(iter(models)))

        def reorder() -> schemas.RescoreAnswer:
            try:
                found = rescore(utterances, models, weights)
            except ModelError as error:
                raise UsageError(error.what, error.why, error.hint) from None
            records = [files.record(each) for each in found.utterances]
            return schemas.RescoreAnswer(
                models=list(models), utterances=cast("list[schemas.RescoredUtterance]", records)
            )

        demand = costs.Demand(
            readings=readings,
            tokenizer=first.tokenizer,
            models=len(models),
            numbers=lambda tokens: len(readings) * (4 + 3 * len(models)),
        )
        return await self._computed(first, demand, reorder, is_long=True)

    # ---- Labels and translations.

    async def tag(self, asked: schemas.TagRequest) -> schemas.Reply:
        """Label the words of sentences."""
        from rnnlm.tasks.labelling.tagging import tag

        model = self.models.doing(asked.model, "tag")
        sentences, nbest = asked.sentences, asked.nbest
        self._check_count("nbest", nbest, limits.MAX_SAMPLES)

        def find() -> schemas.TagAnswer:
            found = tag(model.core, sentences, nbest=nbest, probabilities=asked.probabilities)
            records = [each.to_dict() for each in found]
            return schemas.TagAnswer(
                model=model.name, sentences=cast("list[schemas.TaggedRecord]", records)
            )

        # A sequence of labels for each column; their probabilities, of all labels of each word.
        counts = _label_counts(model)
        of_a_word = len(counts) * nbest + (sum(counts) if asked.probabilities else 0)
        demand = costs.Demand(
            readings=[(each if isinstance(each, str) else " ".join(each),) for each in sentences],
            tokenizer=model.tokenizer,
            numbers=lambda tokens: tokens * of_a_word,
        )
        return await self._computed(model, demand, find)

    async def classify(self, asked: schemas.ClassifyRequest) -> schemas.Reply:
        """Label whole texts."""
        from rnnlm.tasks.labelling.tagging import classify

        model = self.models.doing(asked.model, "classify")

        def find() -> schemas.ClassifyAnswer:
            records = [each.to_dict(asked.top) for each in classify(model.core, asked.texts)]
            return schemas.ClassifyAnswer(
                model=model.name, texts=cast("list[schemas.ClassifiedRecord]", records)
            )

        labels = sum(_label_counts(model))
        demand = costs.Demand(
            readings=[(text,) for text in asked.texts],
            tokenizer=model.tokenizer,
            numbers=lambda tokens: labels * len(asked.texts),
        )
        return await self._computed(model, demand, find)

    async def translate(self, asked: schemas.TranslateRequest) -> schemas.Reply:
        """Write a line for each line."""
        from rnnlm.lm.base import loading
        from rnnlm.tasks.seq2seq.decoding import Translator
        from rnnlm.tasks.seq2seq.options import DecodingSettings

        model = self.models.doing(asked.model, "translate")
        settings = DecodingSettings(**schemas.fields_in(asked, DecodingSettings))
        # Minimum Bayes risk compares all pairs.
        most = MOST_COMPARED if settings.mbr else MOST_BEAMS
        self._check_count("nbest", settings.nbest, most)
        self._check_count("beam", settings.width, MOST_BEAMS)
        translator = Translator(loading.model_for("translate", model.core), settings)
        sources = asked.sources

        def translate() -> schemas.TranslateAnswer:
            records = [each.to_dict() for each in translator.translate(sources)]
            return schemas.TranslateAnswer(
                model=model.name, lines=cast("list[schemas.TranslatedRecord]", records)
            )

        def written(tokens: int) -> int:
            return settings.limit(tokens) + settings.limit(0) * len(sources)

        # Attention has a number for each token of a line and of its source: of about as many tokens
        # as the source has characters among all.
        longest_share = max(map(len, sources)) / max(1, sum(map(len, sources)))

        def numbers(tokens: int) -> int:
            if not settings.attention:
                return 2 * settings.nbest * len(sources)
            return settings.nbest * tokens * settings.limit(int(tokens * longest_share))

        demand = costs.Demand(
            readings=[(source,) for source in sources],
            tokenizer=model.tokenizer,
            drawn=lambda tokens: settings.width * written(tokens),
            numbers=numbers,
        )
        return await self._computed(model, demand, translate, is_long=True)

    # ---- Limits.

    def _is_small(self, demand: costs.Demand) -> bool:
        """Return whether a request is soon answered; refuse one that is too large. A request that
        is not small may still be too large: `cost_of` says so, in a thread."""
        costs.check_texts(demand, self.most)
        if demand.characters > costs.FEW_CHARACTERS:
            return False
        return costs.cost_of(demand, self.most).is_small

    async def _computed(
        self, model: ServedModel, demand: costs.Demand, answer: Callable[[], msgspec.Struct],
        is_long: bool = False,
    ) -> schemas.Reply:  # fmt: skip
        """Compute an answer in a thread, unless the request is too large. is_long: it takes long,
        however small the request is."""
        if self._is_small(demand) and not is_long:
            return await model.run(answer, is_small=True)

        # Large answers are written in the thread, too.
        def encoded() -> bytes:
            costs.cost_of(demand, self.most)
            return schemas.encode(answer())

        return await model.run(encoded)

    def _check_count(self, name: str, count: int, most: int) -> None:
        """Refuse to find or draw more than a request may ask for."""
        if count > most:
            raise Refusal(422, f"{name} is {count:,}", f"the limit of this server is {most:,}")


# ---- Scores.


def _demand_of_scores(
    model: ServedModel, asked: schemas.ScoreRequest, settings: ScoringSettings
) -> costs.Demand:
    """Return the work of scoring the sentences: context and source are read with each of them."""
    # The numbers of the answer: for each sentence, and for its tokens and words if requested.
    beside = (asked.given, asked.source or "")

    def numbers(tokens: int) -> int:
        count = NUMBERS_OF_A_SENTENCE * len(asked.sentences)
        if settings.tokens:
            count += tokens * (1 + len(asked.measures))
        if settings.words:
            words = sum(len(text.split()) + 1 for text in asked.sentences)
            count += words * (NUMBERS_OF_A_WORD + len(asked.measures) + settings.next_words)
        return count

    # Next words are written out, so each number needs more room.
    width = costs.BYTES_OF_A_NUMBER + (model.longest_symbol if settings.next_words else 0)
    assert model.scoring is not None  # `score` is for models that give probabilities
    return costs.Demand(
        readings=[(text, *beside) for text in asked.sentences],
        tokenizer=model.scoring.tokenizer,
        numbers=numbers,
        bytes_of_a_number=width,
    )


def _scored(
    model: ServedModel, chunk: ModelChunk, settings: ScoringSettings
) -> schemas.ScoreAnswer:
    """Return the answer that has these scores."""
    records = [record(score, settings) for score in chunk.scores]
    return schemas.ScoreAnswer(
        model=model.name,
        signature=str(chunk.signature),
        scores=cast("list[schemas.SentenceRecord]", records),
    )


@functools.lru_cache(maxsize=256)
def _scoring_settings(measures: tuple[WordMeasure, ...], **asked: Any) -> ScoringSettings:
    """Return the settings of a request, with the rank of each word beside the likeliest ones:
    checking them takes as long as scoring a sentence."""
    if asked["next_words"]:
        measures = (*measures, "rank")
    return ScoringSettings(measures=measures, **asked, unscorable="null")


def _label_counts(model: ServedModel) -> list[int]:
    """Return how many labels each column of a tagger or classifier has."""
    codec: Any = model.core.tokenizer
    return [len(column.symbols) for column in codec.columns]
