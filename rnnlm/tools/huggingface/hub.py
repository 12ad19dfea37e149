"""Find the folders of `hf:NAME`: local ones, folders in the cache of Hugging Face's hub, and, only
where the user allows it, folders that must be downloaded."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlm.amounts import amount, plural
from rnnlm.errors import ModelError, UsageError, notice, require_package

PREFIX = "hf:"
NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", re.ASCII)  # NAME, OWNER/NAME, with @REVISION
# Files that a model or a tokenizer may need; weights apart.
NEEDED = (".json", ".txt", ".model", ".py")
WEIGHTS = "*.safetensors"
SHARDED, WHOLE = "model.safetensors.index.json", "model.safetensors"


@dataclass(frozen=True)
class Permissions:
    """The permissions of the user. download: to fetch files that are not on this machine;
    trust_remote_code: to run the code that comes with a model."""

    download: bool = False
    trust_remote_code: bool = False


_allowed = Permissions()


@contextlib.contextmanager
def allowing(download: bool = False, trust_remote_code: bool = False) -> Iterator[None]:
    """Allow these in this context, in all threads, besides earlier permissions."""
    global _allowed
    before = _allowed
    _allowed = Permissions(
        before.download or download, before.trust_remote_code or trust_remote_code
    )
    try:
        yield
    finally:
        _allowed = before


def trusts_remote_code() -> bool:
    """Return whether the code that comes with a model may be run."""
    return _allowed.trust_remote_code


def folder_of(name: str, needs_model: bool = True) -> Path:
    """Return the folder of `hf:FOLDER`, `hf:NAME` or `hf:OWNER/NAME@REVISION`. needs_model: false
    where the tokenizer is enough; then no weights are downloaded.

    Raises:
        ModelError: it is not on this machine, and may not, or cannot, be downloaded.
    """
    called = name.removeprefix(PREFIX)
    if not called:
        raise UsageError(f"{name} names no model", hint="write hf:FOLDER or hf:OWNER/NAME")
    if Path(called).is_dir():
        return Path(called)
    if not NAME.fullmatch(called):
        raise ModelError(
            f"no model at {called}",
            "there is no such folder",
            f"write {PREFIX}FOLDER or {PREFIX}OWNER/NAME",
        )
    repository, _, revision = called.partition("@")
    cached = _cached(repository, revision or None)
    # The cache may hold the tokenizer alone.
    is_whole = cached is not None and (not needs_model or any(cached.glob("*.safetensors")))
    if cached is not None and (is_whole or not _allowed.download):
        return cached
    if not _allowed.download:
        raise ModelError(
            f"{name} is not on this machine",
            "there is no such folder, and the cache of the hub does not hold it",
            "fetch it: add --download",
        )
    return _download(repository, revision or None, needs_model)


def _hub() -> Any:
    return require_package("huggingface_hub", "hf", "models of Hugging Face's hub")


def _cached(repository: str, revision: str | None) -> Path | None:
    """Return the folder in the hub's cache with the files of that revision, by default of the
    newest that was downloaded."""
    for file in ("config.json", "tokenizer.json"):
        with contextlib.suppress(ValueError):  # no repository can have such a name
            path = _hub().try_to_load_from_cache(repository, file, revision=revision)
            if isinstance(path, str):
                return Path(path).parent
    return None


def _download(repository: str, revision: str | None, needs_model: bool) -> Path:
    """Download a model, or its tokenizer, into the hub's cache, after naming the files and their
    size."""
    hub = _hub()
    hub.utils.disable_progress_bars()
    try:
        about = hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in about.siblings}
        files = _needed(list(sizes), needs_model)
        size = amount(sum(sizes[file] for file in files), unit="bytes")
        notice(
            f"downloading {repository} from {hub.constants.ENDPOINT}: "
            f"{plural(len(files), 'file')}, {size}"
        )
        return Path(hub.snapshot_download(repository, revision=about.sha, allow_patterns=files))
    except Exception as error:  # of any class: of the hub, of its HTTP client, of the system
        why = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        hint = f"download it elsewhere, copy its folder here, and give {PREFIX}FOLDER"
        raise ModelError(f"{PREFIX}{repository} cannot be downloaded", why, hint) from None


def _needed(files: list[str], needs_model: bool) -> list[str]:
    """Return the files of a repository that a model needs, of the same weights one form."""
    top = [file for file in files if "/" not in file]
    shards = [file for file in top if re.fullmatch(r"model-\d+-of-\d+\.safetensors", file)]
    weights = [WHOLE] if WHOLE in top else shards if SHARDED in top else []
    others = [file for file in top if file.endswith(NEEDED)]
    if not needs_model:
        return others
    if not weights:
        raise UsageError("it has no weights in safetensors")
    return [*others, *weights]
