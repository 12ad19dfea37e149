"""The endpoints: functions from a request and the served models to an answer. Nothing here knows
HTTP.

Texts come and go with their request: nothing is kept, and no file is read or written.
"""

import functools
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict
from typing import Any, cast

from rnnlm.errors import ModelError, UsageError
from rnnlm.interface import LanguageModel
from rnnlm.scoring.generation import autocomplete
from rnnlm.scoring.generation.drawing import SampleUpdate, generate_in_steps
from rnnlm.scoring.generation.sampling import GenerationSettings
from rnnlm.scoring.rows import record
from rnnlm.scoring.sentences import of_texts
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.tools.serving import line_inspection, schemas
from rnnlm.tools.serving import settings as limits
from rnnlm.tools.serving.refusals import Refusal
from rnnlm.tools.serving.served import ServedModel, ServedModels
from rnnlm.tools.serving.settings import ServingSettings

MOST_BEAMS = 64


class Handlers:
    """The handlers of one server."""

    def __init__(self, models: ServedModels, settings: ServingSettings) -> None:
        self.models = models
        self.settings = settings

    async def health(self) -> schemas.Health:
        """Say that the server answers."""
        return schemas.Health("ok", len(self.models))

    async def list_models(self) -> schemas.ModelList:
        """List the models that are served, and what each can do."""
        return schemas.ModelList([model.record for model in self.models])

    # ---- Probabilities.

    async def score(self, asked: schemas.ScoreRequest) -> schemas.ScoreAnswer:
        """Score sentences: log-probabilities, surprisals of their words and tokens."""
        model = self.models.doing(asked.model, "score")
        self._check_texts(asked.sentences, asked.given, asked.source or "")
        settings = _scoring_settings(**schemas.fields_in(asked, ScoringSettings))
        self._check_count("next_words", settings.next_words, limits.MAX_WORDS)
        sentences = list(of_texts(asked.sentences, asked.given, None, asked.source))
        chunk = await model.score(sentences, settings)
        records = [record(score, settings) for score in chunk]

        # The place of each word among all words is found by predicting once more.
        if settings.next_words:
            scoring = model.scoring
            assert scoring is not None  # it has scored
            ranks = await model.run(
                lambda: line_inspection.word_ranks(scoring, sentences, chunk.scores, settings.eos)
            )
            for each, its_ranks in zip(records, ranks, strict=True):
                for word, rank in zip(each["word_surprisals"], its_ranks, strict=True):
                    word["rank"] = rank
        return schemas.ScoreAnswer(
            model=model.name,
            signature=str(chunk.signature),
            scores=cast("list[schemas.SentenceRecord]", records),
        )

    async def next_words(self, asked: schemas.NextRequest) -> schemas.NextAnswer:
        """Find the likeliest next words; a last word that no white space follows is incomplete."""
        model = self.models.doing(asked.model, "generate")
        self._check_texts([asked.text])
        self._check_count("n", asked.n, limits.MAX_WORDS)
        core = cast(LanguageModel, model.core)
        found = await model.run(lambda: autocomplete.next_words(core, asked.text, asked.n))
        words = [schemas.NextWordRecord(each.word, each.probability) for each in found]
        return schemas.NextAnswer(model=model.name, next=words)

    async def inspect(self, asked: schemas.InspectRequest) -> schemas.InspectAnswer:
        """Show what a model did at each word of a line."""
        model = self.models.named(asked.model)
        self._check_texts([asked.text])
        if asked.what not in model.record.can:
            able = [each.name for each in self.models if asked.what in each.record.can]
            raise Refusal(
                400,
                f"{model.name} has no {asked.what} to show",
                "",
                f"ask {' or '.join(able)}"
                if able
                else ("GET /models lists what each model supports"),
            )
        return await model.run(
            lambda: line_inspection.INSPECTIONS[asked.what](model.core, asked.text)
        )

    # ---- Text.

    async def generate(self, asked: schemas.GenerateRequest) -> schemas.GenerateAnswer:
        """Draw texts."""
        model, steps = self._drawn(asked)
        samples = []
        async for pieces in steps:
            samples += [piece.sample for piece in pieces if piece.sample]
        samples.sort(key=lambda sample: sample.number)
        records = [schemas.SampleRecord(**asdict(sample)) for sample in samples]
        return schemas.GenerateAnswer(model=model.name, samples=records)

    async def generate_events(
        self, asked: schemas.GenerateRequest
    ) -> AsyncIterator[schemas.PieceEvent | schemas.DoneEvent]:
        """Draw texts, and yield what each step adds to them; all of them at the end."""
        _, steps = self._drawn(asked)
        samples = []
        async for pieces in steps:
            for piece in pieces:
                if piece.text:
                    yield schemas.PieceEvent(piece.number, piece.text)
                if piece.sample:
                    samples.append(schemas.SampleRecord(**asdict(piece.sample)))
        samples.sort(key=lambda sample: sample.number)
        yield schemas.DoneEvent(True, samples)

    def _drawn(
        self, asked: schemas.GenerateRequest
    ) -> tuple[ServedModel, AsyncIterator[list[SampleUpdate]]]:
        """Return the model, and the steps in which it draws the requested texts."""
        model = self.models.doing(asked.model, "generate")
        drawing = GenerationSettings(**schemas.fields_in(asked, GenerationSettings))
        self._check_texts([drawing.prompt])
        self._check_count("num", drawing.num, limits.MAX_SAMPLES)
        self._check_count("max_tokens", drawing.max_tokens, self.settings.max_tokens)
        steps = generate_in_steps(cast(LanguageModel, model.core), drawing)
        return model, model.steps(steps)

    # ---- N-best lists.

    async def rescore(self, asked: schemas.RescoreRequest) -> schemas.RescoreAnswer:
        """Reorder n-best lists with the weights that were tuned for them."""
        from rnnlm.tools.rescoring import files
        from rnnlm.tools.rescoring.nbest import Hypothesis, Utterance
        from rnnlm.tools.rescoring.rescorer import rescore

        texts = []
        utterances = []
        for number, each in enumerate(asked.utterances, start=1):
            its_texts = [hypothesis.text for hypothesis in each.hypotheses]
            texts += [*its_texts, each.source or "", each.ref or ""]
            hypotheses = [Hypothesis(one.text, one.score) for one in each.hypotheses]
            name = str(each.utt) or str(number)
            utterances.append(
                Utterance(name, tuple(hypotheses), each.ref, f"utterance {number}", each.source)
            )
        self._check_texts([text for text in texts if text])

        # The models that the weights were tuned for, whatever they are called here.
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
                f"for {', '.join(weights.models)}; GET /models lists those that are served",
            )
        first = self.models.named(next(iter(models)))
        try:
            found = await first.run(lambda: rescore(utterances, models, weights))
        except ModelError as error:
            raise UsageError(error.what, error.why, error.hint) from None
        records = [files.record(each) for each in found.utterances]
        return schemas.RescoreAnswer(
            models=list(models), utterances=cast("list[schemas.RescoredUtterance]", records)
        )

    # ---- Labels and translations.

    async def tag(self, asked: schemas.TagRequest) -> schemas.TagAnswer:
        """Label the words of sentences."""
        from rnnlm.tasks.labelling.tagging import tag

        model = self.models.doing(asked.model, "tag")
        sentences = asked.sentences
        joined = [each if isinstance(each, str) else " ".join(each) for each in sentences]
        self._check_texts(joined)
        self._check_count("nbest", asked.nbest, limits.MAX_SAMPLES)
        found = await model.run(
            lambda: tag(model.core, sentences, nbest=asked.nbest, probabilities=asked.probabilities)
        )
        records = [each.to_dict() for each in found]
        return schemas.TagAnswer(
            model=model.name, sentences=cast("list[schemas.TaggedRecord]", records)
        )

    async def classify(self, asked: schemas.ClassifyRequest) -> schemas.ClassifyAnswer:
        """Label whole texts."""
        from rnnlm.tasks.labelling.tagging import classify

        model = self.models.doing(asked.model, "classify")
        self._check_texts(asked.texts)
        found = await model.run(lambda: classify(model.core, asked.texts))
        records = [each.to_dict(asked.top) for each in found]
        return schemas.ClassifyAnswer(
            model=model.name, texts=cast("list[schemas.ClassifiedRecord]", records)
        )

    async def translate(self, asked: schemas.TranslateRequest) -> schemas.TranslateAnswer:
        """Write a line for each line."""
        from rnnlm.lm.base import loading
        from rnnlm.tasks.seq2seq.decoding import Translator
        from rnnlm.tasks.seq2seq.options import DecodingSettings

        model = self.models.doing(asked.model, "translate")
        self._check_texts(asked.sources)
        settings = DecodingSettings(**schemas.fields_in(asked, DecodingSettings))
        self._check_count("nbest", settings.nbest, MOST_BEAMS)
        self._check_count("beam", settings.width, MOST_BEAMS)
        translator = Translator(loading.model_for("translate", model.core), settings)
        found = await model.run(lambda: list(translator.translate(asked.sources)))
        records = [each.to_dict() for each in found]
        return schemas.TranslateAnswer(
            model=model.name, lines=cast("list[schemas.TranslatedRecord]", records)
        )

    # ---- Limits.

    def _check_texts(self, texts: Sequence[str], *others: str) -> None:
        """Refuse more texts, or longer ones, than a request may have."""
        if len(texts) > self.settings.max_sentences:
            raise Refusal(
                413,
                f"{len(texts):,} texts in one request",
                f"the limit is {self.settings.max_sentences:,}",
                "send several requests",
            )
        characters = _characters(texts) + _characters(others)
        if characters > self.settings.max_characters:
            raise Refusal(
                413,
                f"{characters:,} characters of text in one request",
                f"the limit is {self.settings.max_characters:,}",
                "send several requests",
            )

    def _check_count(self, name: str, count: int, most: int) -> None:
        """Refuse to find or draw more than a request may ask for."""
        if count > most:
            raise Refusal(422, f"{name} is {count:,}", f"the limit of this server is {most:,}")


@functools.lru_cache(maxsize=256)
def _scoring_settings(**asked: Any) -> ScoringSettings:
    """Return the settings of a request: checking them takes as long as scoring a sentence."""
    return ScoringSettings(**asked, unscorable="null")


def _characters(texts: Iterable[str]) -> int:
    return sum(map(len, texts))
