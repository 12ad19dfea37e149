"""Files that are read as a whole, because they are small: settings, weights of features, journals."""

import errno
import os
from pathlib import Path

MOST_BYTES = 1 << 24


def read_small(path: Path) -> bytes:
    """The content of the file at `path`, of MOST_BYTES at most: no more is read of one that is larger, or of a device without end.

    Raises:
        OSError: it cannot be read, or is larger.
    """
    with open(path, "rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data
