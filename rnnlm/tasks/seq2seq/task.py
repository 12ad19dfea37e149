"""Writing a line for each line that is read, as a task: encoder-decoders."""

from typing import TYPE_CHECKING, Any, ClassVar, cast

from rnnlm.amounts import plural
from rnnlm.registry import imported
from rnnlm.tasks.seq2seq.options import (
    DecodingSettings,
    PairOptions,
    ParallelSettings,
    SourceTokenizerSettings,
    TargetTokenizerSettings,
)
from rnnlm.text.corpus import Given
from rnnlm.text.lines import HoldoutSettings, Progress, silent
from rnnlm.training.request import TrainingRequest
from rnnlm.training.task import BaseTask, Description

if TYPE_CHECKING:
    import numpy as np

    from rnnlm.config import ResolvedSettings
    from rnnlm.evaluation.comparison.settings import ComparisonSettings
    from rnnlm.registry import Kind
    from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, PairTrainingData
    from rnnlm.tasks.seq2seq.evaluation.evaluation import PairComparer, Pairs
    from rnnlm.tasks.seq2seq.evaluation.pair_evaluation import PairEvaluation
    from rnnlm.tasks.seq2seq.model import Seq2SeqModel


class PairLearning(BaseTask):
    """Learning from pairs of a source and a target, the line to generate for it."""

    name = "seq2seq"
    singular = "an encoder-decoder"
    example = "pair"
    own_command = "translate"
    commands = BaseTask.commands | {"embed", "export", "inspect", "translate", "score", "rescore"}
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

    # ---- Texts, initial settings and initial weights.

    open_texts = imported(__package__, "data:open_texts")
    initial_settings = imported(__package__, "weights:settings")

    def initial_weights(
        self,
        request: TrainingRequest,
        kind: "Kind",
        resolved: "ResolvedSettings",
        data: "PairTrainingData",
    ) -> "dict[str, np.ndarray] | None":
        from rnnlm.tasks.seq2seq.weights import weights

        return weights(request, resolved, data)

    codec = imported(__package__, "data:codec")

    def describe(self, codec: "PairCodec") -> Description:
        """Describe the tokenizers of both sides, which may be one."""
        if codec.is_shared:
            tokenizers = {"tokenizer of both sides": codec.source}
        else:
            tokenizers = {"source tokenizer": codec.source, "target tokenizer": codec.target}
        tokenizer_facts: dict[str, Any] = {
            "shared_vocabulary": codec.is_shared,
            "spelled": codec.spelled,
        }
        for what, tokenizer in tokenizers.items():
            tokenizer_facts[what.replace(" ", "_")] = {
                "kind": tokenizer.name,
                "size": tokenizer.size,
                "fingerprint": tokenizer.fingerprint,
            }
        return Description(tokenizers, fields=tokenizer_facts)

    # ---- Evaluating.

    evaluation_class = imported(__package__, "evaluation.pair_evaluation:PairEvaluation")

    options = PairOptions
    reading = (ParallelSettings,)
    offers = frozenset({"output", "overwrite"})
    option_parts: ClassVar = {"decoding": DecodingSettings}
    file_options = ("target",)

    def comparing(
        self,
        data: "Given | PairedData",
        options: PairOptions | None,
        settings: "ComparisonSettings",
    ) -> "PairComparer":
        """Compare by perplexities, where these cover the same tokens, and by the output of
        models."""
        from rnnlm.tasks.seq2seq.evaluation.evaluation import PairComparer

        return PairComparer(cast("Pairs", data), options or PairOptions())

    comparable_stored = imported(__package__, "evaluation.evaluation:comparable_stored")
    read = imported(__package__, "evaluation.evaluation:read")

    def evaluate_encoded(
        self,
        model: "Seq2SeqModel",
        data: "PairedData",
        options: PairOptions | None = None,
        progress: Progress = silent,
    ) -> "PairEvaluation":
        from rnnlm.tasks.seq2seq.evaluation.evaluation import measure

        progress(f"evaluating {plural(data.sentences, self.example)}")
        return measure(model, data, (options or PairOptions()).search)

    checks = imported(__package__, "evaluation.evaluation:checks")


TASK = PairLearning()
