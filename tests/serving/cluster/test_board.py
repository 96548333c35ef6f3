"""The table: a line per change where nobody watches, and text from outside never taken for markup."""

from io import StringIO

from rich.console import Console

from serving.cluster.board import LineBoard, apps_table, board_on
from serving.cluster.state import AppState, ReplicaState

STARTING = AppState("small", "DEPLOYING", 1, (), "")
UP = AppState("small", "RUNNING", 1, (ReplicaState("r1", "RUNNING", 42, "10.0.0.1", 3, 0, 0.5),), "")


def console() -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, width=200, force_terminal=False), out


def test_a_line_only_when_something_changed() -> None:
    target, out = console()
    board = LineBoard(target)
    board.show([STARTING], "small: no live replica")
    board.show([STARTING], "small: no live replica")
    board.show([UP], "")
    board.show([UP], "")
    assert out.getvalue().splitlines() == [
        "small: DEPLOYING, 0 of 1 replicas",
        "small: no live replica",
        "small: RUNNING, 1 of 1 replicas",
    ]


def test_a_pipe_gets_lines_and_a_terminal_a_table() -> None:
    target, out = console()
    with board_on(target) as board:
        board.show([UP], "")
    assert "small: RUNNING" in out.getvalue()
    shown = StringIO()
    with board_on(Console(file=shown, width=120, force_terminal=True, force_interactive=True)) as board:
        board.show([UP], "large: no live replica")
    assert "last error" in shown.getvalue()
    assert "large: no live replica" in shown.getvalue()


def test_a_replica_shows_its_load_and_unknown_figures_are_dashes() -> None:
    target, out = console()
    unknown = AppState("large", "RUNNING", 1, (ReplicaState("r2", "STARTING", None, ""),), "")
    target.print(apps_table([UP, unknown]))
    rows = [line.split("│")[1:-1] for line in out.getvalue().splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in rows[0]] == ["small", "RUNNING 1/1", "r1", "42", "3", "0", "50%", ""]
    assert [cell.strip() for cell in rows[1]] == ["large", "RUNNING 0/1", "r2 (starting)", "-", "-", "-", "-", ""]


def test_an_error_with_brackets_is_shown_as_it_is() -> None:
    target, out = console()
    target.print(apps_table([AppState("m", "DEPLOY_FAILED", 1, (), "bad [/red] key [x]")]))
    assert "bad [/red] key [x]" in out.getvalue()
