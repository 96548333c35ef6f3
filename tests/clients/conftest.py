"""The cluster and the programs of the client suite, and the table of what each client did.

A row is `client: feature` (tests/figures.py); the matrix printed at the end has a line for each feature.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from rich.console import Console
from rich.table import Table

from tests.clients.asked import FAULTS, MESSAGES, SMALL, breaking
from tests.clients.catalogue import ENGINES, clients_catalogue
from tests.clients.programs import install_node, install_venv
from tests.cluster.fixtures import running_cluster
from tests.cluster.live import LiveCluster, ask, wait_for
from tests.figures import ROW

HERE = Path(__file__).parent
SETUP_TIMEOUT_S = 600
FEATURES = (
    "chat", "chat stream", "tools auto", "tools none", "tools required", "tools named", "tools parallel", "json_schema",
    "json_object", "logprobs", "n > 1", "stop", "seed", "completions", "embeddings", "responses", "responses stream",
    "responses state", "messages", "messages stream", "count_tokens", "models", "errors", "retries", "stream endings",
)  # fmt: skip
"""The lines of the matrix, in order."""
OUTCOMES = {"passed": "", "failed": "FAILED", "skipped": "skipped"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only `make clients` runs these, and the start of the cluster counts towards the first one's time."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.clients)
            item.add_marker(pytest.mark.timeout(SETUP_TIMEOUT_S))
            # the head outlives its `Popen`: it is ended by pid
            item.add_marker(pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"))


@pytest.fixture(scope="session")
def millrace() -> Iterator[LiveCluster]:
    """HAProxy, two gateways and three engines, every one of them proven."""
    with running_cluster(clients_catalogue, ENGINES) as cluster:
        wait_for(lambda: ask(f"{cluster.url}/ready").status == 200, what="every tier to be ready")
        yield cluster


@pytest.fixture(params=FAULTS)
def breaking_off(millrace: LiveCluster, request: pytest.FixtureRequest) -> Iterator[None]:
    """Every stream of the stand-in breaks off, in one way after another."""
    millrace.stand_in.script(default=breaking(request.param))
    yield
    millrace.stand_in.reset()


@pytest.fixture(scope="session")
def node() -> None:
    """The clients from npm are installed."""
    install_node()


@pytest.fixture(scope="session")
def venv() -> None:
    """The Python clients that are not in .venv are installed."""
    install_venv()


@pytest.fixture
def hits() -> list[str]:
    """The path of every request openai-python sends, retries included."""
    return []


@pytest.fixture
def client(millrace: LiveCluster, hits: list[str]) -> Iterator[openai.OpenAI]:
    """openai-python as a user sets it up."""
    http = openai.DefaultHttpxClient(event_hooks={"request": [lambda request: hits.append(request.url.path)]})
    with openai.OpenAI(base_url=f"{millrace.url}/v1", api_key=millrace.key, http_client=http) as client:
        yield client


@pytest.fixture
def chat(client: openai.OpenAI) -> Callable[..., Any]:
    """One chat completion of the small model; what is given joins or replaces the usual fields."""
    create: Any = client.chat.completions.create
    return partial(create, model=SMALL, messages=MESSAGES, temperature=0, max_tokens=96)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the matrix: tests passed by feature and client."""
    cells: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for outcome in OUTCOMES:
        for report in terminalreporter.stats.get(outcome, ()):
            for key, value in getattr(report, "user_properties", ()):
                client, colon, feature = str(value).partition(": ")
                if key == ROW and colon:
                    cells[feature, client][outcome] += 1
    if cells:
        Console(width=160).print(_matrix(cells))


def _matrix(cells: defaultdict[tuple[str, str], Counter[str]]) -> Table:
    clients = list(dict.fromkeys(client for _, client in cells))
    table = Table("feature", *clients, title="tests passed, by feature and client", title_justify="left")
    for feature in sorted({feature for feature, _ in cells}, key=FEATURES.index):
        table.add_row(feature, *(_cell(cells[feature, client]) for client in clients))
    table.add_section()
    totals = [sum((cells[key] for key in list(cells) if key[1] == client), Counter()) for client in clients]
    table.add_row("all", *(_cell(total) for total in totals))
    return table


def _cell(counts: Counter[str]) -> str:
    return " ".join(f"{count} {OUTCOMES[outcome]}".strip() for outcome, count in sorted(counts.items())) or "-"
