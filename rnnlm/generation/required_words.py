"""Samples that have certain words: drawn as they come if the word were awaited for ever, by sampling-importance-resampling.

A text with the word w is a beginning without it, w, and what follows. The model's probability of the beginning and of w is
P(beginning) P(w | beginning). So CANDIDATES beginnings are drawn freely, each of their places up to where w would come by itself
is weighed with P(w | what stands before it), one place is drawn in proportion to that, w is put there, and the text goes
on freely (Rubin 1988; Smith & Gelfand 1992). With many candidates that draws from the model's own texts, given that w
is in them; with these few, nearly. Of several words, the places of all are weighed together, one is put, and the others follow.
The rules of temperature, top-k and the like hold for what is drawn freely, not for where a word is put; at temperature 0 it is put
where it is likeliest.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rnnlm import arrays
from rnnlm.errors import UsageError
from rnnlm.generation.loop import DrawnText, Start, draw_texts, read_prompt, stream
from rnnlm.generation.sampling import SamplingSettings
from rnnlm.generation.word_constraints import Ban, Words
from rnnlm.inference.span_scoring import check_scores, score_spans, whole_text
from rnnlm.interface import LanguageModel, State

CANDIDATES = 16


class Required:
    """The words that a text must have: by what `Words.found` calls them, the tokens of each in a line's middle and at its start."""

    def __init__(self, words: Words, required: Sequence[str], ban: Ban) -> None:
        """
        Raises:
            UsageError: a word is none, or unknown to the model, or banned.
        """
        self.finder = words
        self.words: dict[bytes | int, tuple[list[int], list[int]]] = {}
        for word in required:
            ids = words.ids(word, "have")
            key = ids[0] if words.are_tokens else words.key(word)
            if words.are_tokens and (ids[0] == words.tokenizer.unk_id or ids[0] >= words.tokenizer.size):
                raise UsageError(f"the model does not know {word!r}", "so it cannot write it", "leave it out, or train on text that has it")
            if key in ban.banned or key in ban.always:
                raise UsageError(f"{word!r} is banned, and must be there", hint="give one of --ban and --must")
            begins_word = words.are_tokens or words.tokenizer.starts_word_V[ids[0]]
            inside = ids if begins_word else words.tokenizer.encode([f" {word}"]).ids[:-1].tolist()
            self.words[key] = inside, ids
        self.is_end_V = words.is_end_V() if required else np.zeros(0, dtype=bool)

    def missing(self, ids: Sequence[int]) -> list[bytes | int]:
        """The words that do not stand in the text."""
        found = self.finder.found(ids)
        return [key for key in self.words if key not in found]

    def place(self, key: bytes | int, before: Sequence[int]) -> list[int]:
        """The tokens of a word that is put after `before`."""
        inside, at_start = self.words[key]
        return inside if before and before[-1] != self.finder.tokenizer.boundary_id else at_start

    def tokens(self, keys: Sequence[bytes | int]) -> int:
        """How many tokens these words take at most."""
        return sum(len(self.words[key][0]) for key in keys)


def draw_with(
    model: LanguageModel, prompt_ids: np.ndarray, number: int, settings: SamplingSettings, ban: Ban, required: Required
) -> DrawnText:
    """Sample `number` with all the words of `required`; those of the prompt count.

    Raises:
        UsageError: there is no place for a word: max_tokens is too small, or its probability is zero everywhere.
    """
    prompt, drawn, part = prompt_ids.tolist(), [], 0
    text = DrawnText(number, stream(settings.seed, number))
    forbidden = np.zeros(0, dtype=np.int64)
    while missing := required.missing([*prompt, *drawn]):
        room = settings.max_tokens - len(drawn)
        start = read_prompt(model, np.array([*prompt, *drawn], dtype=np.int64), forbidden)
        texts = [DrawnText(each, stream(settings.seed, number, part + 1 + each)) for each in range(CANDIDATES)]
        for _ in draw_texts(model, start, texts, CANDIDATES, replace(settings, max_tokens=room), ban):
            pass  # each text holds what was drawn
        drawn += _chosen(_places(model, start, texts, missing, room, ban, required), text.stream, settings)
        part += CANDIDATES
        forbidden = np.flatnonzero(~required.is_end_V)
    if room := settings.max_tokens - len(drawn):
        start = read_prompt(model, np.array([*prompt, *drawn], dtype=np.int64), forbidden)
        list(draw_texts(model, start, [text], 1, replace(settings, max_tokens=room), ban))
    text.ids = [*drawn, *text.ids]
    ids = np.array([*prompt, *text.ids], dtype=np.int32)
    text.logprob_nats = float(score_spans(model, ids, whole_text(ids))[len(prompt) :].sum())
    return text


Places = list[tuple[float, list[int]]]  # log-weight (nats), and what is drawn up to the end of the word


def _places(
    model: LanguageModel, start: Start, texts: Sequence[DrawnText], missing: Sequence[bytes | int], room: int, ban: Ban, required: Required
) -> Places:  # fmt: skip
    """All places where one of the `missing` words may be put, so that the others still find room."""
    places, rows = [], model.max_rows or len(texts)
    for first in range(0, len(texts), rows):
        group = texts[first : first + rows]
        limits = [_limit(start, text, missing, required) for text in group]
        state, input_B = start.before.select(np.zeros(len(group), dtype=np.int64)), np.full(len(group), start.last_input)
        for at in range(max(limits) + 1):
            for key in missing:
                others = required.tokens(missing) - len(required.words[key][0])
                places += _placed(model, start, group, limits, at, (key, room - others), state, input_B, ban, required)
            next_B = np.array([text.ids[at] if at < len(text.ids) else model.tokenizer.boundary_id for text in group])
            _, state = model.score(input_B[:, None], next_B[:, None], state)
            input_B = next_B
    return places


def _placed(
    model: LanguageModel, start: Start, texts: Sequence[DrawnText], limits: Sequence[int], at: int, word: tuple[bytes | int, int],
    state: State, input_B: np.ndarray, ban: Ban, required: Required,
) -> Places:  # fmt: skip
    """The places of one word (and the room for it) after the first `at` tokens of each text."""
    key, room = word
    before = [[*start.prompt_ids.tolist(), *text.ids[:at]] for text in texts]
    places: Places = []
    for ids in {tuple(required.place(key, each)) for each in before}:
        targets_BT = np.tile(np.array(ids, dtype=np.int64), (len(texts), 1))
        logprob_BT, _ = model.score(np.concatenate([input_B[:, None], targets_BT[:, :-1]], axis=1), targets_BT, state)
        weight_B = arrays.as_numpy(logprob_BT).sum(axis=1, dtype=np.float64)
        check_scores(weight_B)
        for row, text in enumerate(texts):
            fits = at <= limits[row] and at + len(ids) <= room and tuple(required.place(key, before[row])) == ids
            is_banned = ban.looks_back and ids[0] in ban.forbidden(before[row], is_last=False)
            is_first = at == 0 and ids[0] in start.forbidden
            if fits and not is_banned and not is_first:
                places.append((float(weight_B[row]), [*text.ids[:at], *ids]))
    return places


def _limit(start: Start, text: DrawnText, missing: Sequence[bytes | int], required: Required) -> int:
    """How many of a text's tokens may stand before the word: no missing word among them, nor the text's end."""
    prompt, most = start.prompt_ids.tolist(), len(text.ids) - text.ended
    for at in range(1, most + 1):
        is_whole = at == len(text.ids) or required.is_end_V[text.ids[at]]
        if is_whole and len(required.missing([*prompt, *text.ids[:at]])) < len(missing):
            return at - 1
    return most


def _chosen(places: Places, random: np.random.Generator, settings: SamplingSettings) -> list[int]:
    """One of the places, drawn in proportion to the weights (at temperature 0 the heaviest).

    Raises:
        UsageError: there is none.
    """
    if not places:
        why = f"max_tokens is {settings.max_tokens}"
        raise UsageError("there is no room for the words that must be there", why, "allow more tokens, or ask for fewer words")
    weight_P = np.array([weight for weight, _ in places])
    if np.isneginf(weight_P).all():
        raise UsageError("a word that must be there has probability zero", "wherever it could stand", "leave it out")
    if settings.temperature == 0:
        return places[int(weight_P.argmax())][1]
    reached_P = np.exp(weight_P - weight_P.max()).cumsum()
    return places[int(np.searchsorted(reached_P, random.random() * reached_P[-1], side="right").clip(max=len(places) - 1))][1]
