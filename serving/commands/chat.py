"""`millrace chat`: ask one question, print the answer as it streams, then how it was decided."""

from typing import Annotated

import typer

from serving.cluster.default_key import read_default_key
from serving.cluster.home import Home
from serving.cluster.lifecycle import load_cluster
from serving.cluster.ray_head import ClusterError
from serving.commands.surroundings import HomeOption, home_of
from serving.wire.answer_stream import StreamedAnswer, stream_chat

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_S = 330.0


def chat(
    prompt: Annotated[str, typer.Argument(help="The question.")],
    model: Annotated[str, typer.Option(help="A model, or `auto` to let the router choose.")] = "auto",
    url: Annotated[str | None, typer.Option(envvar="MILLRACE_URL", help="The gateway. Default: this home's.")] = None,
    key: Annotated[
        str | None, typer.Option(envvar="MILLRACE_API_KEY", help="The API key. Default: the one in the home.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Ask, print the answer as it streams, then who answered and what it cost."""
    place = home_of(home)
    key = key or read_default_key(place)
    if key is None:
        raise ClusterError("no API key: give --key, set MILLRACE_API_KEY, or start with `millrace up`")
    answer = StreamedAnswer()
    body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    for part in stream_chat(url or _gateway_url(place), key, body, answer, timeout_s=TIMEOUT_S):
        typer.echo(part, nl=False)
    typer.echo(f"\n{decision_line(answer)}")
    if not answer.complete:
        raise ClusterError(answer.error or "the answer was cut short")


def decision_line(answer: StreamedAnswer) -> str:
    """Who answered, after how many attempts, for how much, under which id."""
    said = answer.headers
    tier = said.get("x-millrace-tier", "?") + (", a stand-in" if "x-millrace-stand-in" in said else "")
    cost = answer.cost_usd or said.get("x-millrace-cost-usd", "?")
    return (
        f"[{said.get('x-millrace-model', '?')} ({tier}), attempts {said.get('x-millrace-attempts', '?')}, "
        f"{cost} USD, request {said.get('x-request-id', '?')}]"
    )


def _gateway_url(home: Home) -> str:
    cluster = load_cluster(home)
    return cluster.gateway_url if cluster and cluster.gateway_url else DEFAULT_URL
