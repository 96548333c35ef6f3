"""The plugin of figures, run in sessions of their own: what is written, what is printed, what fails."""

import json
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

MEASURED = """
    import pytest

    @pytest.mark.row(7, "node")
    def test_measures(figure):
        figure("outage", 1.5, "s", {bar})
        figure("rate", 3.0, "1/s", 2.0, ok=True)
        figure("seen", 4)

    @pytest.mark.row(7)
    def test_another():
        {then}
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder whose tests know the plugin."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    pytester.makeconftest('pytest_plugins = ["tests.figures"]')
    return pytester


def run(session: pytest.Pytester, *options: str, bar: float = 2.0, then: str = "pass") -> pytest.RunResult:
    session.makepyfile(MEASURED.format(bar=bar, then=then))
    return session.runpytest_subprocess("-p", "no:cacheprovider", *options)


def test_a_report_is_written_and_printed(session: pytest.Pytester) -> None:
    result = run(session, "--figures", "faults")
    assert result.ret == 0
    report = json.loads((session.path / "build/bench/faults.json").read_text())
    assert report["command"] == "make faults"
    assert report["hardware"]["cpus"] >= 1
    assert [(bar["name"], bar["value"], bar["unit"], bar["bar"], bar["ok"]) for bar in report["bars"]] == [
        ("outage", 1.5, "s", 2.0, True),
        ("rate", 3.0, "1/s", 2.0, True),
        ("seen", 4, "", None, None),
    ]
    assert [(row["row"], row["passed"], row["failed"]) for row in report["rounds"]] == [("7", 2, 0), ("node", 1, 0)]
    assert "outage" in result.stdout.str()


def test_a_missed_bar_fails_and_is_shown(session: pytest.Pytester) -> None:
    result = run(session, "--figures", "faults", bar=1.0)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "MISSED" in result.stdout.str()
    assert json.loads((session.path / "build/bench/faults.json").read_text())["bars"][0]["ok"] is False


def test_a_failed_test_is_counted_in_its_row(session: pytest.Pytester) -> None:
    result = run(session, "--figures", "faults", then="assert False")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    report = json.loads((session.path / "build/bench/faults.json").read_text())
    assert report["rounds"][0]["failed"] == 1


def test_without_a_name_nothing_is_written_and_no_bar_fails(session: pytest.Pytester) -> None:
    result = run(session, bar=1.0)
    assert result.ret == 0
    assert not (session.path / "build").exists()
    assert "MISSED" in result.stdout.str()
