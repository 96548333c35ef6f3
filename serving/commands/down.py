"""`millrace down`: drain and stop what `millrace up --detach` started for this home, and nothing else."""

from rich.console import Console

from serving.cluster.lifecycle import load_cluster
from serving.commands.surroundings import HomeOption, home_of
from serving.commands.up import stop_all


def down(home: HomeOption = None) -> None:
    """Drain and stop the cluster of this home. A Ray that was joined keeps running."""
    place = home_of(home)
    console = Console()
    cluster = load_cluster(place)
    if cluster is None:
        console.print(f"Nothing runs for {place.path}.", highlight=False)
        return
    stop_all(place, cluster, console)
