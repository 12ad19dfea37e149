"""Texts that begin after different prompts, as a decoder's begin after conditions."""

import numpy as np

from rnnlm.scoring.generation.drawing import TextStarts, read_prompt

PROMPTS = ("", "the cat", "a dog saw the", "it", "on the mat the dog", "cat cat", "speech")
EVERY_LENGTH = [3, 9, 1, 5, 12, 2, 7]


def starts_after(model, prompts, limits) -> TextStarts:
    """Return starts in which each text begins in the state that its own prompt leaves."""
    alone = [read_prompt(model, model.tokenizer.encode([prompt]).ids[:-1], 1) for prompt in prompts]
    return TextStarts(
        model.concat_states([start.state for start in alone]),
        np.concatenate([start.input_S for start in alone]), np.array(limits),
        tuple(start.prompt(0) for start in alone),
    )  # fmt: skip


def one_of(starts, number) -> TextStarts:
    return TextStarts(
        starts.state.select([number]), starts.input_S[[number]], starts.limits_S[[number]],
        (starts.prompt(number),),
    )  # fmt: skip
