"""Writing a line for each line that is read, as a task: encoder-decoders."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from rnnlm.tasks.request import Data, Texts, TrainingRequest
from rnnlm.tasks.seq2seq.options import (
    PairOptions,
    SourceTokenizerSettings,
    TargetTokenizerSettings,
)
from rnnlm.tasks.task import Description, Given, Task
from rnnlm.text.lines import HoldoutSettings, Progress, silent
from rnnlm.text.pairs import ParallelSettings

if TYPE_CHECKING:
    import numpy as np

    from rnnlm.config import Resolved
    from rnnlm.evaluation.comparison.pairing import Comparable
    from rnnlm.evaluation.comparison.settings import ComparisonSettings
    from rnnlm.evaluation.comparison.stored import StoredModel
    from rnnlm.evaluation.pair_evaluation import PairEvaluation
    from rnnlm.evaluation.soundness import Check
    from rnnlm.interface import Tokenizer
    from rnnlm.models.registry import Kind
    from rnnlm.tasks.seq2seq.comparison import ComparingPairs
    from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, PairTrainingData
    from rnnlm.tasks.seq2seq.evaluation import Pairs
    from rnnlm.tasks.seq2seq.model import Seq2SeqModel


class PairLearning(Task["Seq2SeqModel", "PairedData", "PairCodec", PairOptions]):
    """Learning from pairs of a source and a target, the line that is to be written for it."""

    name = "seq2seq"
    singular = "an encoder-decoder"
    examples = "pairs"
    own_command = "translate"
    commands = Task.commands | {"translate", "score", "embed", "rescore", "export", "inspect"}
    usage = (
        'rnnlm translate -m {name} "a line"',
        "rnnlm eval -m {name} DATA",
        "rnnlm compare {name} OTHER --on DATA",
    )
    usual_corpus = "dates"
    request_fields = frozenset(
        {"target", "valid_target", "test_target", "init_encoder_from", "init_decoder_from"}
    )
    text_settings = (
        SourceTokenizerSettings, TargetTokenizerSettings, ParallelSettings, HoldoutSettings,
    )  # fmt: skip
    settings_of_data = frozenset({"longest"})  # which pairs are left out

    # ---- Texts and weights.

    def open_texts(
        self, request: TrainingRequest, resolved: "Resolved", kind: "Kind", progress: Progress
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

    def codec(self, tokenizer: "Tokenizer", files: dict[str, bytes]) -> "PairCodec":
        from rnnlm.tasks.seq2seq.data import codec

        return codec(tokenizer, files)

    def describe(self, codec: "PairCodec") -> Description:
        """Describe the tokenizers of both sides, which may be one."""
        if codec.is_shared:
            tokenizers = {"tokenizer of both sides": codec.source}
        else:
            tokenizers = {"source tokenizer": codec.source, "target tokenizer": codec.target}
        found: dict[str, Any] = {"shared_vocabulary": codec.is_shared, "spelled": codec.spelled}
        for what, each in tokenizers.items():
            found[what.replace(" ", "_")] = {
                "kind": each.name,
                "size": each.size,
                "fingerprint": each.fingerprint,
            }
        return Description(tokenizers, fields=found)

    # ---- Evaluating.

    @property
    def evaluation_class(self) -> "type[PairEvaluation]":
        from rnnlm.evaluation.pair_evaluation import PairEvaluation

        return PairEvaluation

    options = PairOptions
    reading = (ParallelSettings,)
    offers = frozenset({"output"})

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
        self,
        model: "Seq2SeqModel",
        data: "PairedData",
        options: PairOptions | None = None,
        progress: Progress = silent,
    ) -> "PairEvaluation":
        from rnnlm.tasks.seq2seq.evaluation import measure

        progress(f"evaluating {data.sentences:,} {self.examples}")
        return measure(model, data, (options or PairOptions()).search)

    def checks(self, model: "Seq2SeqModel", sample: int | None, seed: int) -> "Iterator[Check]":
        from rnnlm.tasks.seq2seq.evaluation import checks

        yield from checks(model, sample, seed)


TASK = PairLearning()
