"""Writes a small file that only its owner may read, all at once. Knows nothing of what is in it."""

import os
import tempfile
from pathlib import Path


def write_private(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content`, mode 0600; a crash leaves the old file. Makes the folder (0700) when missing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:  # interrupted too: no half-written secret is left behind
        os.unlink(name)
        raise
