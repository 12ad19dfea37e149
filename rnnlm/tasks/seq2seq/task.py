"""Writing a line for each line that is read, as a task: encoder-decoders."""

from typing import TYPE_CHECKING, Any, cast

from rnnlm.amounts import plural
from rnnlm.tasks.seq2seq.options import (
    PairOptions,
    SourceTokenizerSettings,
    TargetTokenizerSettings,
)
from rnnlm.text.lines import HoldoutSettings, Progress, silent
from rnnlm.text.pair_columns import ParallelSettings
from rnnlm.training.task import Description, ExampleTask, Given

if TYPE_CHECKING:
    from rnnlm.evaluation.comparison.settings import ComparisonSettings
    from rnnlm.tasks.seq2seq.data import PairCodec, PairedData
    from rnnlm.tasks.seq2seq.evaluation.comparison import PairComparer
    from rnnlm.tasks.seq2seq.evaluation.evaluation import Pairs
    from rnnlm.tasks.seq2seq.evaluation.pair_evaluation import PairEvaluation
    from rnnlm.tasks.seq2seq.model import Seq2SeqModel


class PairLearning(ExampleTask["Seq2SeqModel", "PairedData", "PairCodec", PairOptions]):
    """Learning from pairs of a source and a target, the line to generate for it."""

    name = "seq2seq"
    singular = "an encoder-decoder"
    example = "pair"
    own_command = "translate"
    package = "rnnlm.tasks.seq2seq"
    commands = ExampleTask.commands | {"translate", "score", "rescore"}
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

    @property
    def evaluation_class(self) -> "type[PairEvaluation]":
        from rnnlm.tasks.seq2seq.evaluation.pair_evaluation import PairEvaluation

        return PairEvaluation

    options = PairOptions
    reading = (ParallelSettings,)
    offers = frozenset({"output"})

    def comparing(
        self,
        data: "Given | PairedData",
        options: PairOptions | None,
        settings: "ComparisonSettings",
    ) -> "PairComparer":
        """Compare by perplexities, where these cover the same tokens, and by the output of
        models."""
        from rnnlm.tasks.seq2seq.evaluation.comparison import PairComparer

        return PairComparer(cast("Pairs", data), options or PairOptions())

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


TASK = PairLearning()
