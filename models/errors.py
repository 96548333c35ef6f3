"""What `models` raises; the edge of `serving` turns it into a `ConfigError`. Knows no HTTP and no exit codes."""

from collections.abc import Sequence


class CatalogError(Exception):
    """A catalogue that cannot work. `problems` holds every mistake, one line each, naming file, line and key."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)
