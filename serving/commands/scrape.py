"""`millrace scrape-config`: what Prometheus needs to see every gateway and engine replica, written into the home.

Replicas come and go on random ports, so Prometheus asks the gateway for them (HTTP service discovery). The token in
the file opens `/metrics` and nothing else.
"""

import os

import typer

from serving.cluster.private_file import write_private
from serving.cluster.ray_probe import probe_token
from serving.commands.surroundings import HomeOption, home_of, running_cluster
from serving.replica.internal_token import metrics_token

TEMPLATE = """\
# Written by `millrace scrape-config`: `prometheus --config.file` takes it as it is.
scrape_configs:
  - job_name: millrace
    scrape_interval: 5s
    http_sd_configs:
      - url: {url}/metrics/targets
        refresh_interval: 5s
        authorization: {{credentials_file: {token_file}}}
    authorization: {{credentials_file: {token_file}}}
"""


def scrape_config(home: HomeOption = None) -> None:
    """Write `prometheus.yml` and the metrics token into the home."""
    place = home_of(home)
    cluster = running_cluster(place)
    token = metrics_token(probe_token(cluster.gcs_address, cluster.environment(os.environ)))
    write_private(place.metrics_token, token)
    write_private(place.prometheus, TEMPLATE.format(url=cluster.gateway_url, token_file=place.metrics_token))
    typer.echo(place.prometheus)
