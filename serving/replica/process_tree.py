"""Which processes stand below one, read from /proc. Empty where there is no /proc."""

from pathlib import Path


def descendants(pid: int) -> tuple[int, ...]:
    """Process ids below `pid`, nearest first, as of now."""
    found: list[int] = []
    for child in _children(pid):
        found += [child, *descendants(child)]
    return tuple(found)


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in lists for child in _read(path).split()]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # ended meanwhile
        return ""
