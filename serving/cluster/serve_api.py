"""Ray Serve's REST API: deploy a set of applications, read their state, remove them.

Knows nothing of models or processes. It is the same interface `serve deploy` uses, so both deploy alike, and it
needs no Ray in this process. Every failure leaves as a `ClusterError`.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, TypeAlias

from serving.cluster.direct_http import opened
from serving.cluster.ray_head import ClusterError

Details: TypeAlias = dict[str, Any]
"""Serve's `ServeInstanceDetails` as JSON."""

_APPLICATIONS = "/api/serve/applications/"
_READ_TIMEOUT_S = 20.0
_DEPLOY_TIMEOUT_S = 120.0


class ServeApi:
    """One cluster's REST API. `url`: the Ray dashboard's, without a path; `token`: Ray's, if it asks for one."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"

    def answers(self, *, timeout_s: float = 2.0) -> bool:
        """Is this dashboard up, and does it accept our token? False at once when nothing listens."""
        try:
            self._call("GET", "/api/ray/version", timeout_s=timeout_s)
        except ClusterError:
            return False
        return True

    def details(self) -> Details:
        """State of every application, deployment and replica."""
        details: Details = json.loads(self._call("GET", _APPLICATIONS, timeout_s=_READ_TIMEOUT_S))
        return details

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Make `config` (Serve's config file as a mapping) the whole set of applications. Returns once accepted."""
        self._call("PUT", _APPLICATIONS, json.dumps(config).encode(), timeout_s=_DEPLOY_TIMEOUT_S)

    def shut_down(self, *, timeout_s: float) -> None:
        """Drain and remove every application and Serve itself; Ray stays."""
        self._call("DELETE", _APPLICATIONS, timeout_s=timeout_s)

    def _call(self, method: str, path: str, body: bytes | None = None, *, timeout_s: float) -> bytes:
        request = urllib.request.Request(self.url + path, data=body, headers=self._headers, method=method)
        try:
            with opened(request, timeout_s=timeout_s) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            raise ClusterError(f"Ray at {self.url} refused ({error.code}): {_reason(error)}") from error
        except OSError as error:
            raise ClusterError(f"Ray at {self.url} cannot be reached: {error}") from error


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace").strip()
    return text[-2000:] or error.reason
