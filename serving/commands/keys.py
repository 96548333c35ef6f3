"""`millrace keys`: create, list and revoke API keys. Running gateways notice within about a second."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from serving.commands.surroundings import HomeOption, home_of
from serving.keys import create_key, read_keys, revoke_key

keys = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)


@keys.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Who the key is for: limits, budgets and the log go by it.")],
    name: Annotated[str, typer.Option(help="What to call this key.")] = "default",
    home: HomeOption = None,
) -> None:
    """Make a key and print it: the only time it is shown."""
    typer.echo(create_key(home_of(home).keys, tenant, name=name))


@keys.command("list")
def show(home: HomeOption = None) -> None:
    """List the keys, without the keys themselves."""
    table = Table("id", "tenant", "name", "created")
    for key in read_keys(home_of(home).keys).keys:
        table.add_row(key.key_id, key.tenant, key.name, key.created_at)
    Console().print(table)


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The id `keys list` shows.")], home: HomeOption = None) -> None:
    """Revoke a key."""
    place = home_of(home)
    if not revoke_key(place.keys, key_id):
        typer.echo(f"{place.keys}: no key {key_id}; `millrace keys list` shows them", err=True)
        raise typer.Exit(1)
