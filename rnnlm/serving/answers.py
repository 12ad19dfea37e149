"""What the endpoints answer: a request and the served models in, an answer out. Nothing here knows
HTTP."""

from typing import cast

from rnnlm.scoring.rows import record
from rnnlm.scoring.sentences import of_texts
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.serving import schemas
from rnnlm.serving.refusals import Refusal
from rnnlm.serving.served import ServedModels
from rnnlm.serving.settings import ServingSettings


class Answers:
    """The answers of one server."""

    def __init__(self, models: ServedModels, settings: ServingSettings) -> None:
        self.models = models
        self.settings = settings

    async def health(self) -> schemas.Health:
        """Say that the server answers."""
        return schemas.Health("ok", len(self.models))

    async def list_models(self) -> schemas.ModelList:
        """List the models that are served."""
        return schemas.ModelList([model.record for model in self.models])

    async def score(self, asked: schemas.ScoreRequest) -> schemas.ScoreAnswer:
        """Give log-probabilities of sentences, and surprisals of their words and tokens."""
        model = self.models.doing(asked.model, "score")
        self._check_texts(asked.sentences, asked.given, asked.source or "")
        settings = ScoringSettings(
            with_tokens=asked.tokens, with_words=asked.words, eos=asked.eos, unscorable="null"
        )
        sentences = list(of_texts(asked.sentences, asked.given, None, asked.source))
        chunk = await model.score(sentences, settings)
        scores = [record(score, settings) for score in chunk]
        return schemas.ScoreAnswer(
            model=model.name,
            signature=str(chunk.signature),
            scores=cast("list[schemas.SentenceRecord]", scores),
        )

    # ---- Limits.

    def _check_texts(self, texts: list[str], *others: str) -> None:
        """Refuse more texts, or longer ones, than a request may have."""
        if len(texts) > self.settings.max_sentences:
            raise Refusal(
                413,
                f"{len(texts):,} texts in one request",
                f"at most {self.settings.max_sentences:,} are taken",
                "send several requests",
            )
        characters = sum(map(len, texts)) + sum(map(len, others))
        if characters > self.settings.max_characters:
            raise Refusal(
                413,
                f"{characters:,} characters of text in one request",
                f"at most {self.settings.max_characters:,} are taken",
                "send several requests",
            )
