"""The running cluster as tests see it: deploy, find replicas, ask them, wait for conditions. Blocking; no asyncio."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from serving.cluster.lifecycle import Cluster
from serving.cluster.ray_head import ClusterError
from tests.doubles.stand_in_process import StandInProcess

T = TypeVar("T")
PATIENCE_S = 300.0
"""How long anything may take on two busy cores; conditions are met far sooner."""
ENGINES = ("abacus-small", "abacus-large", "abacus-embed")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class LiveCluster:
    """One cluster per test session. `key`: an API key of the gateway; `folder`: scratch space for catalogues."""

    cluster: Cluster
    stand_in: StandInProcess
    folder: Path
    catalog: Path
    port: int
    key: str
    base: Sequence[Mapping[str, Any]]
    extra: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """HAProxy: the public door."""
        return f"http://127.0.0.1:{self.port}"

    def deploy(self, extra: Sequence[Mapping[str, Any]] = ()) -> None:
        """Deploy the session's applications and `extra` ones; those of an earlier call go."""
        self.extra[:] = extra
        applications = [*self.base, *extra]
        options = {"host": "127.0.0.1", "port": self.port}
        self.cluster.api.deploy({"http_options": options, "applications": applications})

    def application(self, name: str) -> dict[str, Any]:
        """Serve's view of one application; empty when it has none."""
        return dict(self.cluster.api.details().get("applications", {}).get(name, {}))

    def wait_running(self, names: Sequence[str]) -> None:
        """Until every application serves. Fails at once when one is given up by Serve."""

        def running() -> bool:
            applications = {name: self.application(name) for name in names}
            for name, seen in applications.items():
                assert seen.get("status") != "DEPLOY_FAILED", f"{name}: {_messages(seen)}"
            return all(seen.get("status") == "RUNNING" for seen in applications.values())

        wait_for(running, what=f"{', '.join(names)} to run")

    def replicas(self, app: str) -> dict[str, str]:
        """Live replicas of `app` as a replica inside the cluster sees them: id to URL."""
        return dict(self._probe(app)["replicas"][app])

    @property
    def token(self) -> str:
        """The cluster's internal token."""
        return str(self._probe()["token"])

    def engine_url(self, model: str) -> str:
        """The URL of the model's one replica, once it is live."""
        return next(iter(wait_for(lambda: self.replicas(f"engine-{model}"), what=f"a replica of {model}").values()))

    def engine(self, model: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Ask the model's replica with the internal token. GET without a body, else POST."""
        return ask(self.engine_url(model) + path, body=body, token=self.token)

    def state(self, model: str) -> dict[str, Any]:
        """The engine's own account of itself."""
        return dict(self.engine(model, "/engine/state").json())

    def replaced(self, model: str, dead: str) -> bool:
        """Does another replica of the model answer, and is `dead` gone from the list?"""
        replicas = self.replicas(f"engine-{model}")
        return bool(replicas) and dead not in replicas and self.state(model)["replica"] != dead

    def _probe(self, *apps: str) -> dict[str, Any]:
        query = "&".join(f"app={app}" for app in apps)
        return dict(ask(f"{self.url}/probe?{query}").json())


def _messages(application: Mapping[str, Any]) -> str:
    """What Serve says went wrong with an application and its deployments."""
    deployments = application.get("deployments", {}).values()
    return "\n".join([application["message"], *(str(deployment["message"]) for deployment in deployments)])


def catalog_with(live: LiveCluster, *, source: Path) -> Path:
    """A copy of the session's catalogue in which abacus-small is loaded from `source`."""
    content = yaml.safe_load(live.catalog.read_text())
    content["models"][0]["engine"]["path"] = str(source)
    path = live.folder / f"{source.name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def engine_application(model: str, catalog: Path, *, name: str | None = None) -> dict[str, Any]:
    """One entry of a Serve config: the private application of one model."""
    return {
        "name": name or f"engine-{model}",
        "route_prefix": None,
        "import_path": "serving.app:engine",
        "args": {"catalog": str(catalog), "model": model},
    }


def ask(
    url: str,
    *,
    body: Mapping[str, Any] | None = None,
    token: str | None = None,
    method: str | None = None,
    timeout_s: float = 60.0,
) -> Answer:
    """One HTTP exchange; error statuses are answers, not exceptions."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with _OPENER.open(request, timeout=timeout_s) as response:
            return Answer(response.status, dict(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_for(condition: Callable[[], T], *, what: str, within_s: float = PATIENCE_S) -> T:
    """The first truthy value of `condition`; fails after `within_s`. Refused connections count as "not yet"."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            value = condition()
        except (OSError, KeyError, ValueError, ClusterError) as error:
            value, seen = None, repr(error)  # type: ignore[assignment]
        else:
            seen = repr(value)
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {within_s:g} s for {what}; last seen: {seen}"
        time.sleep(0.2)
