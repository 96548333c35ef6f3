"""The data folder that measurements read: `MILLRACE_DATA`, or `shared/data` beside the checkout. Nothing is copied."""

from collections.abc import Mapping
from pathlib import Path

from routing.offline.outcomes import Row, read_outcomes

DEFAULT = "../shared/data"


def data_folder(env: Mapping[str, str]) -> Path:
    """Where it should be; it may be absent."""
    return Path(env.get("MILLRACE_DATA", DEFAULT))


class RoutingData:
    """Recorded outcomes by file name, each read once."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the data folder."""
        self._folder = folder / "routing"
        self._read: dict[str, list[Row]] = {}

    @property
    def missing(self) -> str | None:
        """Why nothing can be measured; None when there are files."""
        if any(self._folder.glob("*.jsonl.gz")):
            return None
        return f"NOT MEASURED: no recorded outcomes in {self._folder}; set MILLRACE_DATA"

    def rows(self, name: str) -> list[Row]:
        """The rows of `<name>.jsonl.gz`. Raises `OutcomesError`."""
        if name not in self._read:
            self._read[name] = read_outcomes([self._folder / f"{name}.jsonl.gz"])
        return self._read[name]
