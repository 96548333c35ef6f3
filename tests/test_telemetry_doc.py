"""docs/telemetry.md names every metric with its type, labels and meaning, and every field of the log line."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from routing.cascade import Attempt, Reason
from serving.cluster.home import Home
from serving.record import Record, Tried, Usage
from serving.replica.metrics import COUNTERS, GAUGES
from serving.telemetry import GatewayTelemetry, log_fields

DOC = (Path(__file__).resolve().parents[1] / "docs" / "telemetry.md").read_text()
TRIED = [
    Tried(Attempt("m", "t", reason), "r", "ok", 1.0)
    for reason in (Reason.SCORE, Reason.ESCALATION, Reason.FALLBACK, Reason.RETRY)
]
RECORD = Record(
    request_id="r",
    decision="d",
    received_s=0.0,
    tried=TRIED,
    first_byte_s=1.0,
    chunk_times_s=[1.0, 2.0],
    usage=Usage(1, 1, 1),
    cost_usd=1.0,
)


def gateway_rows() -> list[str]:
    """The table row of every metric a gateway exposes, as the code has it."""
    telemetry = GatewayTelemetry(lambda fields: None, lambda: 0, lambda: {"m": 0})
    telemetry.settled(RECORD, now=3.0)
    telemetry.chosen("m", "r")
    telemetry.service_changed("m", "ejected")
    telemetry.probed("m", "passed")
    rows = []
    for family in text_string_to_metric_families(telemetry.exposition().decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in family.samples[0].labels if label != "le")
        rows.append(f"| `{name}` | {family.type} |{f' {labels}' if labels else ''} | {family.documentation} |")
    return rows


ENGINE_ROWS = [
    *(f"| `millrace_engine_{name}` | gauge | {says} |" for name, says in GAUGES.items()),
    *(f"| `millrace_engine_{name}_total` | counter | {says} |" for name, says in COUNTERS.items()),
]


@pytest.mark.parametrize("row", [*gateway_rows(), *ENGINE_ROWS], ids=lambda row: row.split("`")[1])
def test_a_metric_is_described(row: str) -> None:
    assert row in DOC


def test_no_metric_is_described_that_is_not_there() -> None:
    described = re.findall(r"^\| `(millrace_\w+)`", DOC, re.MULTILINE)
    assert sorted(described) == sorted(row.split("`")[1] for row in [*gateway_rows(), *ENGINE_ROWS])


def test_the_log_lines_fields_are_described_in_their_order() -> None:
    table = DOC.split("## The log line")[1]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(log_fields(replace(RECORD), now=1.0))


def test_the_scrape_configuration_is_the_one_that_the_command_writes(tmp_path: Path) -> None:
    template = pytest.importorskip("serving.commands.scrape").TEMPLATE
    home = Home(tmp_path)
    written = template.format(url="http://127.0.0.1:8000", token_file="<home>/" + home.metrics_token.name)
    wanted = [line for line in written.splitlines() if not line.startswith("#")]
    assert "\n".join(wanted) in DOC
