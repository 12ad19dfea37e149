"""Prepare a text that does not fit in memory in a folder, for one run."""

import contextlib
import os
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rnnlm import system
from rnnlm.errors import OutputError
from rnnlm.interface import Tokenizer
from rnnlm.storage.files import lock, private, writing
from rnnlm.storage.files.resuming import text_signatures
from rnnlm.text import sources
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import Progress
from rnnlm.text.prepared import prepared_text, shards
from rnnlm.text.prepared.index import PREPARED_TEXT
from rnnlm.text.prepared.prepared_text import PreparedText
from rnnlm.text.prepared.shards import Position
from rnnlm.text.sources import is_plain
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import VocabularyCheck, accept_any_size

TIMES_ITS_SIZE = 8  # largest memory of a text while it is read and encoded (measured)


def fits(text: Corpus, memory: str) -> bool:
    """Return whether a text can be read and encoded in so much memory; False where its size is not
    known."""
    names = sources.expand(text.sources)
    total = Position(names).total
    if total is None or not all(is_plain(name, text.source_settings) for name in names):
        return False
    return TIMES_ITS_SIZE * total <= system.parse_size(memory)


def _work(text: Corpus, tokenizer: Tokenizer | TokenizerSettings, held_out: float) -> str:
    """Return the name of a text's folder, after its user."""
    made_with = tokenizer if isinstance(tokenizer, TokenizerSettings) else tokenizer.fingerprint
    signatures = text_signatures(sources.expand(text.sources))
    facts = (made_with, text.settings, text.source_settings, held_out, signatures)
    encoded = repr(facts).encode("utf-8", "backslashreplace")
    return f"{PREPARED_TEXT}-{writing.digest([encoded])[:12]}"


def delete_earlier(
    text: Corpus, tokenizer: Tokenizer | TokenizerSettings, temp: str, held_out: float
) -> None:
    """Delete the files that an interrupted run in less memory has left of a text that is now read
    in memory, unless another run is preparing it. The parameters are those of :func:`on_disk`."""
    work = _work(text, tokenizer, held_out)
    folder = private.path_in(Path(temp), work)
    if os.path.lexists(folder):
        # It stays where another process is at work.
        with contextlib.suppress(OutputError), private.held(temp, work, "cleaning up"):
            # A killed preparation leaves a lock of its own, which ends with ours.
            with lock.held(folder / PREPARED_TEXT, "cleaning up"):
                shards.remove(folder / PREPARED_TEXT)
            private.remove_empty(folder / PREPARED_TEXT)


def on_disk(
    text: Corpus,
    tokenizer: Tokenizer | TokenizerSettings,
    memory: str,
    temp: str | None,
    held_out: float,
    progress: Progress,
    check: VocabularyCheck = accept_any_size,
) -> PreparedText:
    """Return a text prepared in a folder, in as much `memory` as is allowed.

    temp: folder for temporary files. It keeps the text until that is released, so that an
    interrupted run finds it again. None: the text vanishes with the returned object, at the latest.
    held_out: the share of the lines whose words are not counted. check: called as the vocabulary
    grows.
    """
    from rnnlm.text.prepared.preparation import CountingWords, Encoding, prepare_exactly

    # The folder: one that vanishes, or one whose name says which text it holds, and how it is made.
    vanishing = None
    owned = contextlib.ExitStack()  # where another run may be working, after releasing its text
    if temp is None:
        vanishing = private.temporary()
        folder = Path(vanishing.name) / PREPARED_TEXT
    else:
        work = _work(text, tokenizer, held_out)
        folder = owned.enter_context(private.held(temp, work, "preparing a text")) / PREPARED_TEXT

    # Prepare the text there.
    with owned:
        for event in prepare_exactly(
            text.sources,
            folder,
            tokenizer=tokenizer,
            text_settings=text.settings,
            source_settings=text.source_settings,
            memory=system.parse_size(memory),
            held_out=held_out,
            check=check,
        ):
            if isinstance(event, CountingWords | Encoding) and event.share is not None:
                done = "words counted" if isinstance(event, CountingWords) else "text encoded"
                left = event.seconds_left
                shown = f", {left:.0f} s left" if left is not None else ""
                progress(f"{done}: {event.share:.0%}{shown}")
    prepared = prepared_text.load(folder)

    # Delete its shards as they are read, and the rest with the last of them.
    def delete_text() -> None:
        shards.remove_all(folder)
        private.remove_empty(folder.parent)

    delete: Callable[[], object] = delete_text
    if vanishing is not None:
        delete = weakref.finalize(prepared.shards, vanishing.cleanup)

    def release(tokens: int) -> None:
        prepared.shards.close()
        if not folder.is_dir():  # all of it was already released
            return
        shards.remove_shards(folder, prepared.shards.within(tokens))
        if tokens >= prepared.index.counts.tokens:
            delete()

    return replace(prepared, release=release, copy_of=text)
