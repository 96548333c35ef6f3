"""The command line: `millrace up`, `down`, `status`, `chat`, `keys`, `scrape-config`, `route`. One module per command.

Exit codes: 0 done, 2 the configuration cannot work (every problem on its own line on stderr), 1 anything else.
"""

import sys
from collections.abc import Sequence

import typer

from models.errors import CatalogError
from serving.cluster.ray_head import ClusterError
from serving.commands.chat import chat
from serving.commands.down import down
from serving.commands.keys import keys
from serving.commands.route import route
from serving.commands.scrape import scrape_config
from serving.commands.status import status
from serving.commands.up import up
from serving.errors import ConfigError

app = typer.Typer(
    name="millrace",
    help="A self-hosted LLM inference and routing cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up)
app.command()(down)
app.command()(status)
app.command()(chat)
app.command("scrape-config")(scrape_config)
app.add_typer(keys, name="keys")
app.add_typer(route, name="route")


def main() -> None:
    """Run the command line and turn expected failures into messages and exit codes."""
    try:
        app()
    except (ConfigError, CatalogError) as error:
        _fail(error.problems, 2)
    except ClusterError as error:
        _fail([str(error)], 1)


def _fail(lines: Sequence[str], code: int) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    raise SystemExit(code)


if __name__ == "__main__":
    main()
