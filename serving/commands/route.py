"""`millrace route`: routers measured and calibrated on recorded outcomes. Needs no cluster, only files.

Bad input is one line on stderr that names field and fix, and exit code 2.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

route = typer.Typer(help="Measure and calibrate routers on recorded outcomes.", no_args_is_help=True)

FilesArgument = Annotated[list[Path], typer.Argument(help="Recorded outcomes: JSON lines, .gz or plain.")]
LabelsOption = Annotated[int | None, typer.Option(help="Learn from this many rows only. Default: five folds.")]
TasksOption = Annotated[str | None, typer.Option(help="Only rows of these tasks, comma-separated.")]


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what is wrong with the input into one line and exit code 2."""
    try:
        yield
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        raise typer.Exit(2) from error


@route.command("eval")
def evaluate(
    files: FilesArgument,
    models: Annotated[str, typer.Option(help="Models from weak to strong, comma-separated.")],
    labels: LabelsOption = None,
    tasks: TasksOption = None,
    price: Annotated[
        list[str] | None, typer.Option(help="MODEL=USD per request, where none is recorded; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of folds, ties and resamples.")] = 0,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write everything as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the cost-quality curves as SVG.")] = None,
) -> None:
    """Measure routers and every baseline: quality, cost, 95 % intervals."""
    from routing.offline.evaluate import evaluate as evaluated
    from routing.offline.report import as_json, picture, tables

    with refusals():
        found = evaluated(rows_of(files, tasks), _names(models), labels=labels, priced=_prices(price or []), seed=seed)
        if json_out is not None:
            _write(json_out, json.dumps(as_json(found, [file.name for file in files]), indent=2) + "\n")
        if plot is not None:
            _write(plot, picture(found))
    console = Console()
    for table in tables(found):
        _show(console, table.title, table.headings, table.rows)
    for note in found.notes:
        console.print(note, highlight=False)


@route.command()
def calibrate(
    files: FilesArgument,
    weak: Annotated[str, typer.Option(help="The model whose answers may be kept.")],
    strong: Annotated[str, typer.Option(help="The model that is asked otherwise.")],
    alpha: Annotated[float, typer.Option(help="Most that may be lost, as mean score over all traffic.")] = 0.05,
    delta: Annotated[float, typer.Option(help="Probability that the promise does not hold.")] = 0.1,
    tasks: TasksOption = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write everything as JSON.")] = None,
) -> None:
    """Certify a threshold on the weak model's confidence, and say what that confidence means."""
    import msgspec

    from routing.offline.thresholds import calibrate as calibrated

    with refusals():
        found = calibrated(rows_of(files, tasks), weak, strong, alpha=alpha, delta=delta)
        if json_out is not None:
            _write(json_out, msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    promised = found.certificate
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{found.rows} rows: AUROC {found.auroc:.3f}, calibration error {found.error_before:.3f} as recorded, "
        f"{found.error_after:.3f} mapped (out of fold)"
    )
    if not found.kept:
        sys.stderr.write(f"no threshold can promise a loss of at most {alpha:.1%}: ask {strong} for everything\n")
        raise typer.Exit(1)
    saving = "" if found.cost is None else f", at {found.cost:.2f}x the cost of {strong} alone"
    console.print(f"keep {weak}'s answer at confidence >= {promised.threshold:.6g}: {found.kept:.1%} of them{saving}")
    console.print(
        f"promise: at most {alpha:.1%} lost over all traffic like these rows, with probability {1 - delta:.0%} "
        f"(bound {promised.bound:.2%}); confidence >= {promised.stricter:.6g} once traffic has drifted"
    )


def rows_of(files: Sequence[Path], tasks: str | None) -> list[Any]:
    """The rows of these files, of these tasks. Raises `OutcomesError`."""
    from routing.offline.outcomes import OutcomesError, read_outcomes

    rows = read_outcomes(files)
    if tasks is None:
        return list(rows)
    wanted = set(_names(tasks))
    absent = wanted - {row.task for row in rows}
    if absent:
        known = ", ".join(sorted({row.task for row in rows})[:20])
        raise OutcomesError(f"--tasks: no rows of {', '.join(sorted(absent))}; there are {known}")
    return [row for row in rows if row.task in wanted]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _prices(given: Sequence[str]) -> dict[str, float]:
    """By model. Raises `OutcomesError` for what is not MODEL=USD."""
    from routing.offline.outcomes import OutcomesError

    prices = {}
    for text in given:
        model, sign, usd = text.rpartition("=")
        try:
            prices[model] = float(usd)
        except ValueError:
            sign = ""
        if not sign:
            raise OutcomesError(f"--price: {text!r}; give MODEL=USD per request, such as small=0.0002") from None
    return prices


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _show(console: Console, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=number == 0)
    for row in rows:
        table.add_row(*row)
    console.print(table)
