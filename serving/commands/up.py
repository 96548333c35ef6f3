"""`millrace up`: check, start or join Ray, deploy, wait until ready, print URL and key; stop it all on Ctrl-C."""

import os
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serving.cluster.board import board_on
from serving.cluster.default_key import DefaultKey, ensure_key
from serving.cluster.home import Home
from serving.cluster.lifecycle import (
    Cluster,
    forget_cluster,
    join_cluster,
    load_cluster,
    only_one,
    save_cluster,
    start_cluster,
)
from serving.cluster.plan import Plan, check_port, read_plan
from serving.cluster.ray_head import ClusterError
from serving.cluster.start_up import Watched, missing_tiers, wait_until_ready
from serving.cluster.state import AppState, app_states
from serving.commands.surroundings import HomeOption, environment
from serving.errors import ConfigError

NONE, AUTO = "none", "auto"

AddressOption = Annotated[
    str,
    typer.Option(
        envvar="RAY_ADDRESS",
        help="Ray to join: HOST:PORT; `auto` joins one that runs on this machine; `none` always starts one.",
    ),
]


def up(
    config: Annotated[Path, typer.Option(help="The Serve config to start.")] = Path("serve_config.yaml"),
    detach: Annotated[bool, typer.Option("--detach", help="Return once ready; `millrace down` stops it.")] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The gateway's port, not the file's.")] = None,
    address: AddressOption = AUTO,
    timeout_s: Annotated[float, typer.Option(min=1, help="Seconds the models may take to load.")] = 1800.0,
    home: HomeOption = None,
) -> None:
    """Start the cluster and wait until every tier answers. Ctrl-C drains and stops all that was started."""
    env = environment(home)
    plan = read_plan(config, env, port=port)
    console = Console()
    with only_one(plan.home):
        running = load_cluster(plan.home)
        _check_place(plan, running)
        key = ensure_key(plan.home) if plan.needs_key else None
        _stop_on_signals()
        cluster = running or _start_or_join(plan, address, env, console)
    keep = running is not None
    problems: Sequence[str] = ["interrupted"]
    try:
        problems = _bring_up(cluster, plan, console, timeout_s)
        _report(plan, key, problems, console)
        keep = keep or detach
        if not keep and not problems:
            _stay(cluster, console)
    except KeyboardInterrupt:
        console.print("Interrupted.")
    finally:
        if not keep:
            stop_all(plan.home, cluster, console)
    raise typer.Exit(1 if problems else 0)


def _stop_on_signals() -> None:
    """Being asked to end, or losing the terminal, is Ctrl-C; under `nohup` the latter stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def stop_all(home: Home, cluster: Cluster, console: Console) -> None:
    """Drain and stop what was started; interrupted once more, end it at once."""
    console.print("Draining and stopping; Ctrl-C once more ends it at once.")
    try:
        cluster.stop()
    except KeyboardInterrupt:
        cluster.kill()
    forget_cluster(home, cluster)
    console.print("Stopped." if cluster.head else "The applications are removed; Ray was running before and still is.")


def _check_place(plan: Plan, running: Cluster | None) -> None:
    """Is the gateway's port free, or ours already?"""
    if running is None:
        check_port(plan)
    elif running.gateway_url not in ("", plan.url):
        raise ConfigError(
            [f"the cluster of {plan.home.path} already runs at {running.gateway_url}; `millrace down` before moving it"]
        )


def _start_or_join(plan: Plan, address: str, env: Mapping[str, str], console: Console) -> Cluster:
    """A Ray cluster: the one asked for, one that runs here and can be used, or one of our own."""
    if address not in (AUTO, NONE):
        return join_cluster(address, env)
    local = _local_ray(env) if address == AUTO else None
    if local is not None:
        try:
            cluster = join_cluster(local, env)
        except ClusterError as error:
            console.print(f"Not joining: {error}.", highlight=False)
        else:
            console.print(f"Joining Ray at {local}.", highlight=False)
            return cluster
    console.print("Starting Ray on this machine.")
    return start_cluster(plan.home, env)


def _local_ray(env: Mapping[str, str]) -> str | None:
    """Where the last Ray started on this machine with default folders is; it may be gone."""
    folder = env.get("RAY_TMPDIR") or os.path.join(tempfile.gettempdir(), "ray")
    try:
        return Path(folder, "ray_current_cluster").read_text().strip() or None
    except OSError:
        return None


def _bring_up(cluster: Cluster, plan: Plan, console: Console, timeout_s: float) -> Sequence[str]:
    """Deploy and wait. The problems that keep it from being ready."""
    save_cluster(plan.home, replace(cluster, gateway_url=plan.url))
    cluster.api.deploy(plan.data)
    with board_on(console) as board:
        return wait_until_ready(_watched(cluster, plan), plan.apps, board, timeout_s=timeout_s)


def _watched(cluster: Cluster, plan: Plan) -> Watched:
    api = cluster.api

    def apps() -> Sequence[AppState]:
        try:
            return app_states(api.details())
        except ClusterError:  # a busy machine answers late; whether Ray still runs is asked by itself
            return []

    return Watched(apps, lambda: missing_tiers(plan.url), cluster.alive)


def _report(plan: Plan, key: DefaultKey | None, problems: Sequence[str], console: Console) -> None:
    for problem in problems:
        Console(stderr=True).print(problem, markup=False, highlight=False, soft_wrap=True)
    console.print(f"{'Ready' if not problems else 'Not ready'}: {plan.url}", highlight=False)
    console.print(_key_line(plan, key, show=console.is_terminal), highlight=False, soft_wrap=True)


def _key_line(plan: Plan, key: DefaultKey | None, *, show: bool) -> str:
    """The key itself on first start and for a person; else where it is, because logs are read by many."""
    if key is None:
        return "No key is needed (setting require_key)."
    if key.raw is None:
        return f"The keys in {plan.home.keys} are in force; `millrace keys create` makes another."
    if key.new or show:
        return f"Key: {key.raw} (kept in {plan.home.default_key})"
    return f"Key: see {plan.home.default_key}"


def _stay(cluster: Cluster, console: Console) -> None:
    """Until Ctrl-C, or until Ray ends by itself."""
    console.print("Ctrl-C drains and stops it.")
    while cluster.alive():
        time.sleep(1.0)
    raise ClusterError("Ray ended by itself; its log is ray.log in the home folder")
