"""Tiny random models of transformers, of several families, with a tokenizer."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, processors

from support import foreign_tokenizers

SMALL = {"hidden_size": 16, "num_hidden_layers": 2}
HEADS = {**SMALL, "num_attention_heads": 2, "intermediate_size": 24}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_positions": 8, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "llama": {**HEADS, "max_position_embeddings": 7},
    "mamba": {**SMALL, "state_size": 4},
    "rwkv": {**SMALL, "attention_hidden_size": 16, "intermediate_size": 24},
    "bert": HEADS,
    "roberta": {**HEADS, "max_position_embeddings": 12, "is_decoder": True},
    "openai-gpt": {"n_positions": 8, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "deepseek_v3": {
        **HEADS, "n_routed_experts": 2, "num_experts_per_tok": 1, "n_group": 1, "topk_group": 1,
        "num_key_value_heads": 2, "moe_intermediate_size": 8, "first_k_dense_replace": 1,
        "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4,
    },
    "mpt": {"d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 8},
}  # fmt: skip


def network(family: str, vocab_size: int, end: int, **settings: Any) -> Any:
    """Return a random network whose predictions differ from token to token."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(5)
    ends = {"eos_token_id": end, "bos_token_id": end, "pad_token_id": None}
    config = AutoConfig.for_model(
        family, **{**FAMILIES[family], **ends, "vocab_size": vocab_size, **settings}
    )
    made = AutoModelForCausalLM.from_config(config).eval()
    for weight in made.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3)
    return made


def save(folder: Path, family: str, **settings: Any) -> Path:
    """Write such a model with a byte-level tokenizer into a folder, as `save_pretrained` does."""
    data, end = foreign_tokenizers.make("byte-level")
    size = Tokenizer.from_buffer(data).get_vocab_size()
    network(family, size, end, **settings).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(data)
    return folder


def change_config(folder: Path, **settings: Any) -> None:
    """Change settings in config.json; None removes one."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def change_template(folder: Path, single: str, **ids: int) -> None:
    """Have the tokenizer put tokens around a text: `single` names them, and `ids` their ids."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=list(ids.items())
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def make(family: str) -> Any:
    """Return such a model, in memory."""
    from rnnlm.tools.huggingface.model import HuggingFaceModel
    from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer

    data, end = foreign_tokenizers.make("byte-level")
    tokenizer = HuggingFaceTokenizer(data, end)
    made = network(family, tokenizer.size, end)
    window = getattr(made.config, "max_position_embeddings", 4096)
    return HuggingFaceModel(made, tokenizer, window)
