"""Writing a line for each line that is read, as a task: encoder-decoders."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import rnnlm.corpora as corpora
from rnnlm.errors import UsageError
from rnnlm.tasks.request import Data, Texts, TrainingRequest
from rnnlm.tasks.seq2seq.options import PairOptions
from rnnlm.tasks.task import RECURRENT, Given, Task, looks_at_networks
from rnnlm.text.pairs import ParallelSettings

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from rnnlm.config import Resolved
    from rnnlm.evaluation.comparison.pairing import Comparable
    from rnnlm.evaluation.comparison.settings import ComparisonSettings
    from rnnlm.evaluation.comparison.stored import StoredModel
    from rnnlm.evaluation.pair_evaluation import PairEvaluation
    from rnnlm.evaluation.soundness import Check
    from rnnlm.interface import LanguageModel, Tokenizer
    from rnnlm.models.registry import Kind
    from rnnlm.tasks.fixed_loss import FirstLoss
    from rnnlm.tasks.seq2seq.comparison import ComparingPairs
    from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, PairTrainingData
    from rnnlm.tasks.seq2seq.evaluation import Pairs
    from rnnlm.tasks.seq2seq.model import Seq2SeqModel
    from rnnlm.tasks.seq2seq.network import Seq2SeqNetwork
    from rnnlm.text.lines import Progress

_COUNTS = "it counts which words follow each other, and reads no source"
_NO_STATE = "it has no state from which a decoder could go on"


class PairLearning(Task["Seq2SeqModel", "PairedData", "PairCodec", PairOptions]):
    """Learning from pairs of a source and a target, the line that is to be written for it."""

    name = "seq2seq"
    singular = "an encoder-decoder"
    plural = "encoder-decoders"
    predicate = "reads a line and writes another"
    examples = "pairs"
    own_command = "translate"
    others_lack = "it has not learned to write a line for another"
    why_not: ClassVar[Mapping[str, str]] = {name: Task.why_not[name] for name in ("prune", "tune")}
    has_no_text = "gives probabilities of a text only for a source that it reads"
    commands: ClassVar[Mapping[str, str]] = {
        **Task.commands,
        "eval": "perplexity, BLEU, chrF, exact match, error rates, by length",
        "translate": "what it writes, n best, attention",
        "score": "log-probabilities of targets",
        "embed": "vectors of sources and their words",
        "rescore": "n-best lists of translations",
        "info": "kind, size, both tokenizers, texts, settings, metrics",
        "doctor": "files, arrays, sums of probabilities, padding, greedy search",
        "export": "word vectors",
        "inspect": "spectrum, gates, word vectors, a check of gradients",
    }
    kinds_with: ClassVar[Mapping[str, Sequence[str]]] = {"sources": RECURRENT, "layers": RECURRENT}
    usage = ('rnnlm translate -m {name} "a line"', "rnnlm eval -m {name} DATA")

    # ---- What a request to train may ask for.

    usual_corpus = "dates"
    request_fields = frozenset(
        {"target", "valid_target", "test_target", "init_encoder_from", "init_decoder_from"}
    )
    why_no_field = "an encoder-decoder learns no labels; it reads a line and writes another"
    instead_of_field: ClassVar[Mapping[str, str]] = {
        "init_from": (
            "start its sides from language models: `init_encoder_from=MODEL`, "
            "`init_decoder_from=MODEL`"
        )
    }
    why_no_kind: ClassVar[Mapping[str, str]] = {
        "ngram": _COUNTS,
        "unigram": _COUNTS,
        "jordan": (
            "what it reads again at the next word is its prediction of that word, which the "
            "decoder reads anyway"
        ),
        **dict.fromkeys(("ffnn", "bag", "cnn"), _NO_STATE),
    }

    def refusal_of_field(self, name: str, others: Sequence[str]) -> UsageError:
        error = super().refusal_of_field(name, others)
        if name == "init_from":
            return UsageError(error.what, "an encoder-decoder has two sides", error.hint)
        return error

    def corpus_settings(self, text: Sequence[str]) -> dict[str, Any]:
        """Return the columns of a bundled corpus of pairs and the settings of its network. A file
        of its name comes first."""
        name = text[0] if text else self.usual_corpus
        corpus = corpora.paired(name)
        if corpus is None or Path(name).is_file():
            return {}
        return {"column": corpus.column, "target_column": corpus.target_column, **corpus.settings}

    # ---- Texts and weights.

    settings_of_data = frozenset({"longest"})  # which pairs are left out
    holds_models = True

    @property
    def text_settings(self) -> tuple[type, ...]:
        from rnnlm.tasks.seq2seq.texts import TEXT_SETTINGS

        return TEXT_SETTINGS

    def open_texts(
        self, request: TrainingRequest, resolved: "Resolved", kind: "Kind", progress: "Progress"
    ) -> Texts:
        from rnnlm.tasks.seq2seq.texts import open_texts

        return open_texts(request, resolved, kind, progress)

    def initial_settings(
        self, request: TrainingRequest, kind: "Kind"
    ) -> list[tuple[str, str, dict[str, Any]]]:
        from rnnlm.tasks.seq2seq.fitting import settings

        return settings(request, kind)

    def initial_weights(
        self, request: TrainingRequest, kind: "Kind", resolved: "Resolved", data: Data
    ) -> "dict[str, np.ndarray] | None":
        from rnnlm.tasks.seq2seq.fitting import weights

        return weights(request, resolved, cast("PairTrainingData", data))

    def codec_of(self, model: "Seq2SeqModel") -> "PairCodec":
        return model.codec

    def line_model(self, model: "Seq2SeqModel") -> "LanguageModel":
        return model.decoder

    def codec(self, tokenizer: "Tokenizer", files: dict[str, bytes]) -> "PairCodec":
        from rnnlm.tasks.seq2seq.data import codec

        return codec(tokenizer, files)

    # ---- What its models are made of.

    def tokenizers(self, codec: "PairCodec") -> "dict[str, Tokenizer]":
        """Return those of both sides, which may be one."""
        if codec.is_shared:
            return {"tokenizer of both sides": codec.source}
        return {"source tokenizer": codec.source, "target tokenizer": codec.target}

    def described(self, codec: "PairCodec") -> dict[str, Any]:
        found: dict[str, Any] = {
            "task": self.name,
            "shared_vocabulary": codec.is_shared,
            "spelled": codec.spelled,
        }
        for what, each in self.tokenizers(codec).items():
            found[what.replace(" ", "_")] = {
                "kind": each.name,
                "size": each.size,
                "fingerprint": each.fingerprint,
            }
        return found

    # ---- Evaluating.

    @property
    def evaluation_class(self) -> "type[PairEvaluation]":
        from rnnlm.evaluation.pair_evaluation import PairEvaluation

        return PairEvaluation

    options = PairOptions
    reading = (ParallelSettings,)
    offers = frozenset({"output"})
    example_file = "test.tsv"

    def comparing(
        self,
        data: "Given | PairedData",
        options: PairOptions | None,
        settings: "ComparisonSettings",
    ) -> "ComparingPairs":
        """Compare by perplexities, where these are of the same tokens, and by what models write."""
        from rnnlm.tasks.seq2seq.comparison import ComparingPairs

        return ComparingPairs(cast("Pairs", data), options or PairOptions())

    def comparable_stored(self, models: "Sequence[StoredModel]") -> "Comparable":
        from rnnlm.tasks.seq2seq.comparison import comparable_stored

        return comparable_stored(models)

    def read(
        self,
        model: "Seq2SeqModel",
        data: "Given | PairedData",
        options: PairOptions | None = None,
        called: str = "",
    ) -> "PairedData":
        from rnnlm.tasks.seq2seq.evaluation import read_pairs_for

        asked = options or PairOptions()
        return read_pairs_for(model, cast("Pairs", data), asked.target, asked.reading, called)

    def evaluate_encoded(
        self, model: "Seq2SeqModel", data: "PairedData", options: PairOptions | None = None
    ) -> "PairEvaluation":
        from rnnlm.tasks.seq2seq.evaluation import measure

        return measure(model, data, (options or PairOptions()).search)

    # ---- Looking at its networks.

    looks = looks_at_networks(RECURRENT)

    def new_network(self, model: "Seq2SeqModel") -> "nn.Module":
        from rnnlm.tasks.seq2seq.network import make_network

        return make_network(model.network.settings, model.codec.source, model.codec.target)

    def loss_of_first(
        self, model: "Seq2SeqModel", network: "nn.Module", data: "PairedData", tokens: int
    ) -> "FirstLoss":
        from rnnlm.tasks.fixed_loss import of_pairs

        return of_pairs(model, cast("Seq2SeqNetwork", network), data, tokens)

    def checks(self, model: "Seq2SeqModel", sample: int | None, seed: int) -> "Iterator[Check]":
        from rnnlm.tasks.seq2seq.evaluation import checks

        yield from checks(model, sample, seed)


TASK = PairLearning()
