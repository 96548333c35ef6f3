"""The table of models and replicas: live on a terminal, a line per change anywhere else.

Renders `AppState`s; knows nothing of where they come from.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Column, Table

from serving.cluster.state import AppState, ReplicaState

_COLOURS = {"RUNNING": "green", "DEPLOY_FAILED": "red", "UNHEALTHY": "red"}


class Board(Protocol):
    """Shows progress."""

    def show(self, apps: Sequence[AppState], note: str) -> None:
        """Show the state now. `note`: what is being waited for."""
        ...


class LineBoard:
    """A line whenever an application's status, replicas or error, or the note, is another one than before."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, str] = {}

    def show(self, apps: Sequence[AppState], note: str) -> None:
        """See `Board.show`."""
        for app in apps:
            self._line(app.name, f"{app.name}: {app.status}, {app.live} of {app.wanted} replicas {app.error}".rstrip())
        self._line("", note)

    def _line(self, name: str, text: str) -> None:
        if text and self._shown.get(name) != text:
            self._shown[name] = text
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class LiveBoard:
    """One table that is redrawn in place."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, apps: Sequence[AppState], note: str) -> None:
        """See `Board.show`."""
        table = apps_table(apps)
        table.caption = note
        self._live.update(table, refresh=True)


@contextmanager
def board_on(console: Console) -> Iterator[Board]:
    """The board that suits `console`."""
    if not console.is_terminal:
        yield LineBoard(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield LiveBoard(live)


def apps_table(apps: Sequence[AppState]) -> Table:
    """A row per replica, and one for an application without any."""
    whole = [Column(name, no_wrap=True) for name in ("model", "state")]
    table = Table(*whole, "replica", "pid", "running", "waiting", "kv", "last error")
    for app in apps:
        colour = _COLOURS.get(app.status, "yellow")
        head = (app.name, f"[{colour}]{app.status} {app.live}/{app.wanted}[/]")
        rows = [_cells(replica) for replica in app.replicas] or [("-",) * 5]
        for i, row in enumerate(rows):
            table.add_row(*(head if i == 0 else ("", "")), *row, escape(app.error) if i == 0 else "")
    return table


def _cells(replica: ReplicaState) -> tuple[str, ...]:
    state = "" if replica.state == "RUNNING" else f" ({replica.state.lower()})"
    kv = None if replica.kv_usage is None else f"{replica.kv_usage:.0%}"
    return (replica.id + state, *(_or_dash(value) for value in (replica.pid, replica.running, replica.waiting, kv)))


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
