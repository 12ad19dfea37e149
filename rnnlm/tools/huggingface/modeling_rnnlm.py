"""A recurrent language model of rnnlm for transformers, 4.57 and later, without rnnlm.

`rnnlm export --hf` copies this file into the folders that it writes, beside network_rnnlm.py, the
network itself, and steps_rnnlm.py, the equations of its layers.
`AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)` runs all three.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from .network_rnnlm import RecurrentNetwork, State

# From a local folder, transformers 4 copies only the files that this one names.
from .steps_rnnlm import elman_step  # noqa: F401

# The name of the state that one step hands to the next, in this version of transformers.
NAMES = {field.name for field in fields(CausalLMOutputWithPast)}
CACHE = "cache" if "cache" in NAMES else "past_key_values"
ADDED_WORDS_BELOW = 12  # nats below the average word: words added to a mixture of softmaxes


class RnnlmConfig(PretrainedConfig):
    """The network as config.json describes it; see :class:`RecurrentNetwork`."""

    model_type = "rnnlm"
    # A trainer wants a list.
    keys_to_ignore_at_inference = ["cache", "past_key_values"]  # noqa: RUF012

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
        # transformers makes this object without arguments, too, so all have defaults.
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

    seen: places of the text that were read, masked ones too. ids_BS: the tokens at the last of
    these places, at all of them unless vectors were read.
    """

    is_compileable = False
    is_linear = (True,)  # no layer can go back to an earlier token

    def __init__(self, state: State, seen: int, ids_BS: Tensor) -> None:
        self.state = state
        self.seen = seen
        self.ids_BS = ids_BS

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many places were read."""
        return self.seen

    def select(self, rows: Tensor) -> "RecurrentCache":
        """Return the states of these rows, each as often as it is named."""
        state = tuple(part_BH.index_select(0, rows) for part_BH in self.state)
        return RecurrentCache(state, self.seen, self.ids_BS.index_select(0, rows))

    def repeated(self, rows: int) -> "RecurrentCache":
        """Return the states for so many rows of text, as `generate` repeats the rows of a text."""
        known = len(self.ids_BS)
        if rows % known:
            raise ValueError(f"the state has {known} rows, and the text {rows}")
        if rows == known:
            return self
        numbers = torch.arange(known, device=self.ids_BS.device)
        return self.select(numbers.repeat_interleave(rows // known))

    def read_of(self, ids_BT: Tensor) -> int:
        """Return how many tokens at the beginning of a text were read: a text that does not begin
        with all tokens that are known, and go on after them, is new."""
        S = self.ids_BS.shape[1]
        is_read = S < ids_BT.shape[1] and torch.equal(self.ids_BS, ids_BT[:, :S])
        return S if is_read else 0


def predicted(mask_BT: Tensor) -> Tensor:
    """Return which places are read, and follow a place that is read: those that are predicted."""
    is_read_BT = mask_BT != 0
    return is_read_BT & nn.functional.pad(is_read_BT, (1, 0), value=True)[:, :-1]


def begins_again(position_ids: Tensor, mask_BT: Tensor | None) -> bool:
    """Return whether a text begins inside a row, right after another one."""
    is_start_BT = position_ids == 0
    if mask_BT is not None:
        is_start_BT = is_start_BT & predicted(mask_BT)
    return bool(is_start_BT[:, 1:].any())


class StringCriteria(StoppingCriteria):
    """Stop a row whose last token ends one of these strings, or holds it."""

    def __init__(self, strings: Sequence[str], tokenizer: Any) -> None:
        self.strings = strings
        self.tokenizer = tokenizer
        self.longest = max(map(len, strings))

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        # A token has at least a character, or a byte of one.
        last_BT = input_ids[:, -4 * self.longest - 1 :]
        texts = self.tokenizer.batch_decode(last_BT)
        earlier = self.tokenizer.batch_decode(last_BT[:, :-1])
        stops = [self._ends(*pair) for pair in zip(texts, earlier, strict=True)]
        return torch.tensor(stops, device=input_ids.device)

    def _ends(self, text: str, before: str) -> bool:
        for string in self.strings:
            if text.find(string, max(0, len(before) - len(string) + 1)) >= 0:
                return True
        return False


class RnnlmForCausalLM(PreTrainedModel, GenerationMixin):
    """A recurrent language model. Logits plus a constant are its log-probabilities."""

    config_class = RnnlmConfig
    base_model_prefix = "network"
    # The first is stored as the second where the configuration ties them.
    _tied_weights_keys = {"network.output.weight": "network.embedding.weight"}  # noqa: RUF012
    _no_split_modules = ["RecurrentNetwork"]  # noqa: RUF012
    _is_stateful = True  # its state cannot go back, as assisted generation asks
    accepts_loss_kwargs = False  # a trainer's count of labels has those that follow padding

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

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Resize as transformers does, and the output's bias. Words added to a mixture of softmaxes
        begin with hardly any probability: each softmax would lose another share to them, and old
        words would change."""
        embeddings = super().resize_token_embeddings(*args, **kwargs)
        old = self.network.output_bias[0]
        below = 0 if self.network.mixture is None else ADDED_WORDS_BELOW
        value = old.median().item() - below
        with torch.no_grad():
            bias_V = nn.functional.pad(old, (0, len(embeddings.weight) - len(old)), value=value)
        self.network.output_bias[0] = nn.Parameter(bias_V, requires_grad=old.requires_grad)
        return embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        cache: RecurrentCache | None = None,
        past_key_values: RecurrentCache | None = None,
        use_cache: bool | None = None,
        position_ids: Tensor | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast | tuple:
        """Read tokens, and predict the one after each.

        attention_mask: 0 at places that are skipped as if they were not there. Reading goes on
        after the places of `cache` (or `past_key_values`), which the mask may hold or leave out.
        logits_to_keep: how many of the last places are predicted, or which; 0: all. labels: the
        tokens themselves, -100 where none counts; the loss is the loss of predicting each from
        those before it.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        x_BTE = self.network.embedding(input_ids) if inputs_embeds is None else inputs_embeds
        B, T, _ = x_BTE.shape
        before = past_key_values if cache is None else cache
        if before is not None:
            if not isinstance(before, RecurrentCache):
                raise TypeError(
                    f"the cache must come from this model; it is a {type(before).__name__}"
                )
            before = before.repeated(B)
        mask_BT = None
        if attention_mask is not None:
            if attention_mask.ndim != 2:
                raise ValueError("attention_mask needs two dimensions: rows and places")
            mask_BT = attention_mask[:, -T:]
        if position_ids is not None and begins_again(position_ids, mask_BT):
            raise ValueError("position_ids begin again inside a row: give each text a row, padded")
        top_BTF, state, layers = self.network(x_BTE, mask_BT, before and before.state)

        # All places, or those that are asked for.
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.network.logits(top_BTF[:, kept])
        loss = None
        if labels is not None:
            if mask_BT is not None:
                labels = labels.masked_fill(~predicted(mask_BT), -100)
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs
            )

        outputs: dict[str, Any] = {"loss": loss, "logits": logits}
        if self.config.use_cache if use_cache is None else use_cache:
            ids_BT = x_BTE.new_zeros((B, 0), dtype=torch.int64) if input_ids is None else input_ids
            if before is not None and input_ids is not None:
                ids_BT = torch.cat((before.ids_BS, input_ids), dim=1)
            outputs[CACHE] = RecurrentCache(state, T + (before.seen if before else 0), ids_BT)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_hidden_states:
            outputs["hidden_states"] = (x_BTE, *layers)
        made = CausalLMOutputWithPast(**outputs)
        is_dict = self.config.return_dict if return_dict is None else return_dict
        return made if is_dict else made.to_tuple()

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        cache: RecurrentCache | None = None,
        past_key_values: RecurrentCache | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        chosen: int = 0,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the arguments of the next `forward`: the tokens that the state has not read.

        chosen: how many tokens at the end of `input_ids` this call of `generate` has chosen.
        """
        before = past_key_values if cache is None else cache
        inputs: dict[str, Any] = {"attention_mask": attention_mask, "use_cache": use_cache}
        inputs |= {"past_key_values": before, "logits_to_keep": logits_to_keep}  # PEFT reads it
        given = input_ids.shape[1] - chosen
        # The state belongs to the last step, and has read all but the token chosen then.
        if before is not None and chosen and use_cache:
            return inputs | {"input_ids": input_ids[:, -1:]}
        # A caller with a state may hand over the whole text, or the new part.
        if inputs_embeds is None:
            read = 0
            if before is not None:
                read = before.repeated(len(input_ids)).read_of(input_ids[:, :given])
            return inputs | {"input_ids": input_ids[:, read:]}
        read = before.seen if before is not None and before.seen < inputs_embeds.shape[1] else 0
        later_BTE = self.network.embedding(input_ids[:, given:])
        return inputs | {"inputs_embeds": torch.cat((inputs_embeds[:, read:], later_BTE), dim=1)}

    def _prefill(
        self, input_ids: Tensor, generation_config: Any, model_kwargs: dict[str, Any], **kwargs: Any
    ) -> Any:
        """Read a prompt, without the part that the state has read, if it is read in chunks: none of
        these shows whether it belongs to the whole text."""
        before = model_kwargs.get(CACHE)
        if before is not None and generation_config.prefill_chunk_size is not None:
            input_ids = input_ids[:, before.repeated(len(input_ids)).read_of(input_ids) :]
        return super()._prefill(input_ids, generation_config, model_kwargs, **kwargs)

    def _update_model_kwargs_for_generation(
        self,
        outputs: CausalLMOutputWithPast,
        model_kwargs: dict[str, Any],
        is_encoder_decoder: bool = False,
        num_new_tokens: int = 1,
    ) -> dict[str, Any]:
        """Return the arguments of the next step: the state, the mask, and how many tokens were
        chosen, as transformers drops a mask that is all ones, and its length with it."""
        chosen = model_kwargs.get("chosen", 0) + num_new_tokens
        model_kwargs = model_kwargs | {"chosen": chosen}
        if CACHE in outputs:
            model_kwargs[CACHE] = outputs[CACHE]
        if model_kwargs.get("attention_mask") is not None:
            mask_BT = model_kwargs["attention_mask"]
            model_kwargs["attention_mask"] = nn.functional.pad(
                mask_BT, (0, num_new_tokens), value=1
            )
        return model_kwargs

    def _get_stopping_criteria(
        self, generation_config: Any, stopping_criteria: Any, tokenizer: Any = None, **kwargs: Any
    ) -> StoppingCriteriaList:
        """Stop at strings of the decoded text. Transformers looks for them in the tokens of a word
        that it makes up, which a vocabulary of words does not have."""
        strings = generation_config.stop_strings
        is_own = strings is not None and tokenizer is not None
        if is_own:
            generation_config.stop_strings = None
        criteria = super()._get_stopping_criteria(
            generation_config, stopping_criteria, tokenizer=tokenizer, **kwargs
        )
        if is_own:
            generation_config.stop_strings = strings
            strings = [strings] if isinstance(strings, str) else strings
            criteria.append(StringCriteria(strings, tokenizer))
        return criteria

    def _reorder_cache(self, cache: RecurrentCache, beam_idx: Tensor) -> RecurrentCache:
        return cache.select(beam_idx)
