"""A package of somebody else, with the cell that docs/python.md shows, in this process."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from rnnlm import satellites

MINGRU = Path(__file__).parent / "example_cell" / "rnnlm_mingru.py"


@contextlib.contextmanager
def with_mingru(folder: Path, code: str | None = None) -> Iterator[None]:
    """Have the package installed in `folder`, or one with other code."""
    folder.joinpath(MINGRU.name).write_text(code or MINGRU.read_text("utf-8"), "utf-8")
    metadata = folder / "rnnlm_mingru-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: rnnlm-mingru\nVersion: 1\n", encoding="utf-8")
    entry = "[rnnlm.satellites]\nmingru = rnnlm_mingru:SATELLITE\n"
    (metadata / "entry_points.txt").write_text(entry, encoding="utf-8")
    before = [*satellites._others]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    satellites.look_for_others.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(MINGRU.stem, None)
        satellites._others[:] = before
        satellites.look_for_others.cache_clear()
