"""A recurrent language model of rnnlm for transformers, 4.57 and later, without rnnlm.

`rnnlm export --hf` copies this file into the folders that it writes, beside network_rnnlm.py, the
network itself. `AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)` runs both.
"""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .network_rnnlm import RecurrentNetwork, State

# What this version of transformers calls the state that one step hands to the next.
NAMES = {field.name for field in fields(CausalLMOutputWithPast)}
CACHE = "cache" if "cache" in NAMES else "past_key_values"


class RnnlmConfig(PretrainedConfig):
    """What config.json says of the network; see :class:`RecurrentNetwork`."""

    model_type = "rnnlm"
    keys_to_ignore_at_inference = ["cache", "past_key_values"]  # noqa: RUF012 a trainer wants a list

    def __init__(
        self,
        vocab_size: int = 2,
        embedding_size: int = 1,
        layer_sizes: tuple[int, ...] = (1,),
        projection_size: int | None = None,
        connections: str = "plain",
        cell: str = "lstm",
        activation: str = "tanh",
        reset_gate: str = "after",
        peepholes: bool = False,
        coupled_gates: bool = False,
        mogrifier_rounds: int = 0,
        mogrifier_rank: int | None = None,
        convolution_words: int = 2,
        pooling: str = "fo",
        mixture_components: int | None = None,
        mixture_size: int = 1,
        use_cache: bool = True,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.layer_sizes = list(layer_sizes)
        self.hidden_size = self.layer_sizes[-1]
        self.num_hidden_layers = len(self.layer_sizes)
        self.projection_size = projection_size
        self.connections = connections
        self.cell = cell
        self.activation = activation
        self.reset_gate = reset_gate
        self.peepholes = peepholes
        self.coupled_gates = coupled_gates
        self.mogrifier_rounds = mogrifier_rounds
        self.mogrifier_rank = mogrifier_rank
        self.convolution_words = convolution_words
        self.pooling = pooling
        self.mixture_components = mixture_components
        self.mixture_size = mixture_size
        self.use_cache = use_cache
        super().__init__(**kwargs)


class RecurrentCache:
    """The state after the tokens read so far, which `generate` hands from step to step in the place
    of a cache of keys and values. Nothing changes it: each step returns another one.

    seen: places of the text that were read, masked ones too.
    """

    is_compileable = False
    is_linear = (True,)  # no layer can go back to an earlier token

    def __init__(self, state: State, seen: int) -> None:
        self.state = state
        self.seen = seen

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many places were read."""
        return self.seen

    def select(self, rows: Tensor) -> "RecurrentCache":
        """Return the states of these rows, each as often as it is named."""
        return RecurrentCache(
            tuple(part_BH.index_select(0, rows) for part_BH in self.state), self.seen
        )


class RnnlmForCausalLM(PreTrainedModel, GenerationMixin):
    """A recurrent language model. Logits plus a constant are its log-probabilities."""

    config_class = RnnlmConfig
    base_model_prefix = "network"
    # The first is stored as the second where the configuration ties them.
    _tied_weights_keys = {"network.output.weight": "network.embedding.weight"}  # noqa: RUF012
    _no_split_modules = ["RecurrentNetwork"]  # noqa: RUF012
    _is_stateful = True  # its state cannot go back, as assisted generation asks

    def __init__(self, config: RnnlmConfig) -> None:
        super().__init__(config)
        self.network = RecurrentNetwork(config)
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def _init_weights(self, module: nn.Module) -> None:
        """Leave the weights as the network made them."""

    def get_input_embeddings(self) -> nn.Module:
        return self.network.embedding

    def set_input_embeddings(self, value: Any) -> None:
        self.network.embedding = value

    def get_output_embeddings(self) -> nn.Module:
        return self.network.output

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        self.network.output = new_embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        cache: RecurrentCache | None = None,
        past_key_values: RecurrentCache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast | tuple:
        """Read tokens, and predict the one after each.

        attention_mask: 0 at places that are skipped as if they were not there. Reading goes on
        after those of `cache` (or `past_key_values`), whose places the mask may hold or leave out.
        logits_to_keep: how many of the last places are predicted, or which; 0: all. labels: the
        tokens themselves, -100 where none counts; the loss is that of predicting each from those
        before it.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        x_BTE = self.network.embedding(input_ids) if inputs_embeds is None else inputs_embeds
        T = x_BTE.shape[1]
        before = past_key_values if cache is None else cache
        mask_BT = None if attention_mask is None else attention_mask[:, -T:]
        top_BTF, state, layers = self.network(x_BTE, mask_BT, before and before.state)

        # All places, or those that are asked for.
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.network.output(top_BTF[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs
            )

        outputs: dict[str, Any] = {"loss": loss, "logits": logits}
        if self.config.use_cache if use_cache is None else use_cache:
            outputs[CACHE] = RecurrentCache(state, T + (before.seen if before else 0))
        if output_hidden_states or self.config.output_hidden_states:
            outputs["hidden_states"] = (x_BTE, *layers)
        made = CausalLMOutputWithPast(**outputs)
        return made.to_tuple() if return_dict is False else made

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        cache: RecurrentCache | None = None,
        past_key_values: RecurrentCache | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the arguments of the next `forward`: the tokens that the state has not read."""
        before = past_key_values if cache is None else cache
        inputs: dict[str, Any] = {"attention_mask": attention_mask, "use_cache": use_cache}
        inputs |= {CACHE: before, "logits_to_keep": logits_to_keep}
        if before is None and inputs_embeds is not None:
            # What was generated after them, where no state is kept.
            given = inputs_embeds.shape[1]
            later = 0 if attention_mask is None else attention_mask.shape[1] - given
            vectors = self.network.embedding(input_ids[:, input_ids.shape[1] - later :])
            return inputs | {"inputs_embeds": torch.cat((inputs_embeds, vectors), dim=1)}
        # Who goes on with a state may hand over the whole text or what is new; the mask is whole.
        if before is not None:
            whole = input_ids if attention_mask is None else attention_mask
            unread = whole.shape[1] - before.seen
            if unread > 0:
                input_ids = input_ids[:, -unread:]
        return inputs | {"input_ids": input_ids}

    def _reorder_cache(self, cache: RecurrentCache, beam_idx: Tensor) -> RecurrentCache:
        return cache.select(beam_idx)
