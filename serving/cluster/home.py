"""The folder that belongs to one installation: keys, Ray's token, what is running. Knows only names, creates nothing.

Invariant: everything in it that is secret is written with mode 0600 by whoever writes it.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """`path`: absolute; `$MILLRACE_HOME`, or `.millrace` in the user's home folder."""

    path: Path

    @property
    def keys(self) -> Path:
        """Hashes of the API keys (serving/keys.py)."""
        return self.path / "keys.json"

    @property
    def default_key(self) -> Path:
        """The raw key `millrace up` made on first start, so that `millrace chat` works without one."""
        return self.path / "key"

    @property
    def cluster(self) -> Path:
        """What `millrace up` started or joined (serving/cluster/lifecycle.py)."""
        return self.path / "cluster.json"

    @property
    def lock(self) -> Path:
        """Locked by whoever is starting a cluster for this home."""
        return self.path / "lock"

    @property
    def ray_log(self) -> Path:
        """Output of the Ray head process."""
        return self.path / "ray.log"

    @property
    def ray_token(self) -> Path:
        """The token of a Ray this home started."""
        return self.path / "ray-token"

    @property
    def metrics_token(self) -> Path:
        """The token Prometheus sends (serving/commands/scrape.py)."""
        return self.path / "metrics-token"

    @property
    def prometheus(self) -> Path:
        """The scrape configuration for Prometheus."""
        return self.path / "prometheus.yml"
