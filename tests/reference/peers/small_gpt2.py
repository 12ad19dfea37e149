"""A small GPT-2 of the bundled corpus, trained by transformers alone, as a stand-in for a real one.

    python tests/reference/peers/small_gpt2.py FOLDER [STEPS]

trains 2 layers of 128 units and a byte-level BPE of 2,000 pieces, in minutes, and writes them as
`from_pretrained` reads them: `rnnlm eval -m hf:FOLDER`. docs/huggingface.md compares it.
"""

import sys
import time

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from rnnlm import corpora

END = "<|endoftext|>"
WIDTH, ROWS = 64, 8  # tokens a row, rows a step

folder, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000
torch.manual_seed(1)
text = corpora.part("english", "train").read_text(encoding="utf-8")
lines = [line for line in text.splitlines() if line]

# The tokenizer: byte-level BPE, as GPT-2's.
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
bpe.train_from_iterator(
    lines, trainers.BpeTrainer(vocab_size=2000, special_tokens=[END], initial_alphabet=alphabet)
)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=bpe, bos_token=END, eos_token=END, model_max_length=WIDTH
)
end = tokenizer.eos_token_id

# One stream of ids; each line begins behind the end of the one before it.
ids = [end]
for encoded in bpe.encode_batch(lines):
    ids += [*encoded.ids, end]
stream = torch.tensor(ids)

config = GPT2Config(
    vocab_size=len(tokenizer), n_positions=WIDTH, n_embd=128, n_layer=2, n_head=4,
    bos_token_id=end, eos_token_id=end,
)  # fmt: skip
model = GPT2LMHeadModel(config)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.05)
began = time.perf_counter()
for step in range(1, steps + 1):
    begins = torch.randint(len(stream) - WIDTH, (ROWS,))
    batch = torch.stack([stream[begin : begin + WIDTH] for begin in begins])
    loss = model(batch, labels=batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    if step % 100 == 0:
        print(f"step {step}: {loss.item():.3f}, {time.perf_counter() - began:.0f} s", flush=True)

model.eval().save_pretrained(folder)
tokenizer.save_pretrained(folder)
print(f"{model.num_parameters():,} parameters, {len(stream):,} tokens, in {folder}")
