"""A text of many files evaluated by workers elsewhere, a file each.

A task is told names of the model and of a file, and writes log-probabilities and what it counted to
a folder that all workers see. This process reads the text, too, for the hash in the signature, and
joins what was found: the metrics are those of evaluating all of it here, of n-grams to the bit, of
networks to rounding, as lines are batched otherwise.
"""

import os
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.files import tensors
from rnnlm.files.writing import writing
from rnnlm.inference import span_scoring
from rnnlm.interface import LanguageModel
from rnnlm.models.elsewhere import (
    SavedModel,
    check_files,
    load_all,
    other_text,
    saved_model,
    shared_folder,
)  # fmt: skip
from rnnlm.text import sources
from rnnlm.text.corpus import Corpus
from rnnlm.text.encoding import LINE_COUNTS, EncodedText, LinesHash, as_bytes, encode_block, joined
from rnnlm.text.lines import Progress, no_text
from rnnlm.work import dask_cluster
from rnnlm.work.tasks import Cancelled, Team


@dataclass(frozen=True)
class ScoreFile:
    """The task to score a file. text: of that file alone. folder: for what is found; it is there as
    long as anybody waits for it."""

    model: SavedModel
    device: str
    text: Corpus
    by_line: bool
    folder: str

    def run(self) -> "Scored":
        """Encode and score the lines, and write what is found."""
        if not os.path.isdir(self.folder):
            raise Cancelled(f"nobody waits for {self.text.sources[0]} any more")

        # The text as this worker reads it: its hash says whether that is what the others read.
        (model,) = load_all((self.model,), self.device)
        lines_hash, parts = LinesHash(), []
        for block in self.text.blocks():
            data = as_bytes(block.lines)
            lines_hash.update_block(block, data)
            parts.append(encode_block(block, data, model.tokenizer))
        digest = lines_hash.hexdigest()
        if not parts:
            return Scored("", digest, {})

        # Score it as one stream, or each line alone.
        whole = joined(parts, digest, self.text.settings.blank_lines)
        spans = span_scoring.whole_text(whole.ids)
        if self.by_line:
            spans = span_scoring.spans_between(whole.line_offsets)
        logprob_N = span_scoring.score_spans(model, whole.ids, spans)

        # Results go through a file of a new name: a task that runs twice changes nothing.
        arrays = {name: getattr(whole, name) for name in ARRAYS} | {"logprob": logprob_N}
        name = f"{secrets.token_hex(8)}.safetensors"
        with writing(Path(self.folder)), open(Path(self.folder) / name, "xb") as stream:
            stream.writelines(tensors.chunks(arrays))
        return Scored(name, digest, whole.marks)


TOKENS = ("ids", "line_offsets", "oov")
ARRAYS = (*TOKENS, *LINE_COUNTS)


@dataclass(frozen=True)
class Scored:
    """What a task has found: the file with it ("": the text has no lines), the hash of the lines as
    it has read them, and marks that may be meant otherwise."""

    file: str
    lines_hash: str
    marks: Mapping[str, int]

    def taken(self, folder: Path, blank_lines: str) -> tuple[EncodedText, np.ndarray]:
        """Read the file, and delete it. Return the text and the scores of its tokens."""
        arrays, _ = tensors.hashed(folder / self.file)
        os.unlink(folder / self.file)
        logprob_N = arrays.pop("logprob")
        ids, line_offsets, oov = (arrays.pop(name) for name in TOKENS)
        counts: dict[str, Any] = dict(arrays)
        whole = EncodedText(
            ids, line_offsets, None, oov, **counts,
            lines_hash=self.lines_hash, blank_lines=blank_lines, marks=self.marks,
        )  # fmt: skip
        return whole, logprob_N


def check(model: LanguageModel, text: object, context: Literal["carry", "reset"]) -> Corpus:
    """Make sure that the files of a text can be scored one by one. Return the text."""
    if not isinstance(text, Corpus):
        raise UsageError(
            "workers elsewhere cannot read this text", "it is in memory, or prepared",
            "name the files of the text",
        )  # fmt: skip
    if context == "carry" and not model.forgets_at_boundary:
        raise UsageError(
            "files cannot be evaluated apart from each other",
            "the model's state goes on from one line to the next",
            "add --context reset, which reads each line alone, or leave --dask out",
        )
    if text.settings.blank_lines == "documents":
        raise UsageError(
            "files cannot be evaluated apart from each other",
            "a document may go on in the next one",
            "leave --documents or --dask out",
        )
    saved_model(model)
    check_files(sources.expand(text.sources))
    return text


def score_files(
    model: LanguageModel,
    text: Corpus,
    by_line: bool,
    team: Team,
    temp: str | None,
    report: Progress,
) -> tuple[EncodedText, np.ndarray]:
    """Return a text and the log-probability (nats) of each of its tokens, as found by a team."""
    # Workers may be elsewhere: files and models go by their whole paths.
    names = sources.expand(text.sources)
    texts = []
    for name in names:
        texts.append(Corpus((os.path.abspath(name),), text.settings, text.source_settings))
    saved = saved_model(model)

    # One task a file; meanwhile this process reads all of them for their hashes.
    parts, scores = [], []
    with shared_folder(temp, team) as folder, ThreadPoolExecutor(1) as reader:
        hashing = reader.submit(_hashes, texts)
        tasks = (ScoreFile(saved, "cpu", each, by_line, str(folder)) for each in texts)
        scored = []
        for each in team.run(ScoreFile.run, tasks):
            if each is None:
                continue
            scored.append(each)
            if each.file:
                part, logprob_N = each.taken(folder, text.settings.blank_lines)
                parts.append(part)
                scores.append(logprob_N)
            report(f"{len(scored):,} of {len(names):,} files scored")
        lines_hash, hashes = hashing.result()

    # A worker that sees other files under the same names would give another text's numbers.
    for name, each, own in zip(names, scored, hashes, strict=True):
        if each.lines_hash != own:
            raise other_text(name)
    if not parts:
        raise no_text(text.sources)
    return joined(parts, lines_hash, text.settings.blank_lines), np.concatenate(scores)


def _hashes(texts: list[Corpus]) -> tuple[str, list[str]]:
    """Return the hash of the lines of all texts as one, and of each."""
    whole, hashes = LinesHash(), []
    for text in texts:
        own = LinesHash()
        for block in text.blocks():
            data = as_bytes(block.lines)
            whole.update_block(block, data)
            own.update_block(block, data)
        hashes.append(own.hexdigest())
    return whole.hexdigest(), hashes


def scored_by_cluster(
    address: str,
    temp: str | None,
    model: LanguageModel,
    text: object,
    context: Literal["carry", "reset"],
    report: Progress,
) -> tuple[EncodedText, np.ndarray]:
    """Return a text and the log-probability (nats) of each of its tokens, as found by the workers
    of a cluster."""
    dask_cluster.check_address(address, temp)
    files = check(model, text, context)
    by_line = context == "reset"
    with dask_cluster.connected(address) as team:
        return score_files(model, files, by_line, team, temp, report)
