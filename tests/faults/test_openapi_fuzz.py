"""Row 28, by the gateway's own word: schemathesis reads /openapi.json, asks what it promises and compares the answers.

For every operation requests that fit the document and requests that do not; no 5xx, no answer of another kind than
described, no route that forgets to ask for a key.
"""

from collections import Counter
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.replica.internal_token import metrics_token
from serving.wire.routes import CONTROL
from tests.doubles.stand_in_process import KEY
from tests.faults.fuzzing import PATIENCE_S, behind_a_fuzz
from tests.faults.processes import LoneGateway, engines, lone_gateway
from tests.figures import Figure

pytestmark = pytest.mark.row("28")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
POOLING = ("/v1/embeddings", "/v1/rerank", "/v1/score")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneGateway]:
    """A gateway in front of one stand-in that plays an engine."""
    with (
        engines(1) as (engine,),
        lone_gateway(tmp_path_factory.mktemp("openapi"), behind_a_fuzz(engine.url)) as running,
    ):
        yield running


class Asker:
    """Sends the cases of one document and keeps count."""

    def __init__(self, gateway: LoneGateway, session: requests.Session) -> None:
        self.schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json", wait_for_schema=PATIENCE_S)
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._session = session
        self._key = gateway.key

    def ask(self, case: schemathesis.Case) -> None:
        """Send `case`, asking for a model there is, and compare the answer with what the document says."""
        if isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = "embed" if case.operation.path in POOLING else "small"
        own = CONTROL.get(case.operation.path)
        key = metrics_token(KEY) if own is not None and own.key == "metrics token" else self._key
        try:
            response = case.call(session=self._session, headers={"authorization": f"Bearer {key}"}, timeout=PATIENCE_S)
        except requests.Timeout:
            self.statuses[0] += 1
            self.wrong.append(f"no answer: {case.as_curl_command()}")
            return
        self.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as failures:
            asked = f"{case.method} {case.operation.path} {case.body!r}"[:600]
            answered = f"{response.status_code} {response.content[:300]!r}"
            self.wrong += [f"{one.title}: {answered} for {asked}" for one in failures.exceptions]

    def ask_all(self, cases: int) -> None:
        """`cases` of every operation, half of them as described and half not."""
        for found in self.schema.get_all_operations():
            operation = found.ok()
            fitting = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
            self._ask_drawn(fitting, cases // 2 if operation.body or operation.path_parameters else 1)
            if operation.body or operation.query:
                self._ask_drawn(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), cases // 2)

    def _ask_drawn(self, drawn: st.SearchStrategy[schemathesis.Case], cases: int) -> None:
        @settings(
            max_examples=cases,
            phases=[Phase.generate],
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(drawn)
        def send(case: schemathesis.Case) -> None:
            self.ask(case)

        send()


@pytest.fixture
def asker(gateway: LoneGateway) -> Iterator[Asker]:
    """Of the gateway, with one connection."""
    with requests.Session() as session:
        yield Asker(gateway, session)


@pytest.mark.parametrize("cases", [pytest.param(10, id="some"), pytest.param(60, id="many", marks=pytest.mark.faults)])
def test_answers_are_as_the_document_says(asker: Asker, cases: int, figure: Figure) -> None:
    asker.ask_all(cases)
    total = sum(asker.statuses.values())
    server_errors = sum(count for status, count in asker.statuses.items() if status >= 500)
    figure(f"5xx in {total} requests by /openapi.json", server_errors, bar=0)
    figure(f"hangs in {total} requests by /openapi.json", asker.statuses[0], bar=0)
    figure(f"answers unlike the document in {total}", len(asker.wrong), bar=0)
    assert asker.statuses[200] > 0
    assert asker.wrong == [], "\n".join([str(asker.statuses), *asker.wrong])


def test_every_route_that_says_so_asks_for_a_key(asker: Asker) -> None:
    for found in asker.schema.get_all_operations():
        operation = found.ok()
        own = CONTROL.get(operation.path)
        case = operation.Case(path_parameters={"id": "resp_1", "name": "small"}, body={}, media_type="application/json")
        status = case.call(timeout=PATIENCE_S).status_code
        assert (status == 401) == (own is None or own.key != "none"), operation.label
