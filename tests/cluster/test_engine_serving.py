"""What an engine replica does with requests: answers, prefix cache, state, embeddings, and clients that leave."""

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cluster.live import LiveCluster, wait_for

LONG_PROMPT = " ".join(str(n) for n in range(100, 160))
GONE_WITHIN_S = 1.0
ROUND_TRIP_S = 2.0
"""Slack for one state request on a busy machine, on top of the second the engine has."""


def chat(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "abacus-small", "messages": [{"role": "user", "content": prompt}], "max_tokens": 4, **more}


def test_state_adds_up_what_the_engine_did(live: LiveCluster) -> None:
    before = live.state("abacus-small")
    usage = live.engine("abacus-small", "/v1/chat/completions", chat("7 + 5", ignore_eos=True)).json()["usage"]
    after = live.state("abacus-small")
    assert after["prompt_tokens"] - before["prompt_tokens"] == usage["prompt_tokens"]
    assert after["generated_tokens"] - before["generated_tokens"] == usage["completion_tokens"] == 4
    assert after["steps"] > before["steps"]
    assert (after["unfinished"], after["running"], after["waiting"]) == (0, 0, 0)
    assert after["healthy"]
    assert after["last_step_age_s"] >= 0
    assert after["replica"] in live.replicas("engine-abacus-small")


def test_a_repeated_prefix_is_read_from_the_cache(live: LiveCluster) -> None:
    hits = live.state("abacus-large")["prefix_hits"]
    body = chat(LONG_PROMPT, model="abacus-large")
    first, second = (live.engine("abacus-large", "/v1/chat/completions", body).json()["usage"] for _ in range(2))
    assert first["prompt_tokens"] > 64
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    cached = second["prompt_tokens_details"]["cached_tokens"]
    assert cached >= 64
    assert live.state("abacus-large")["prefix_hits"] - hits == cached


def test_embeddings_come_from_the_pooling_runner(live: LiveCluster) -> None:
    answer = live.engine("abacus-embed", "/v1/embeddings", {"model": "abacus-embed", "input": ["7 + 5", "12 - 3"]})
    first, second = (entry["embedding"] for entry in answer.json()["data"])
    assert len(first) == len(second) > 0
    assert first != second
    assert sum(x * x for x in first) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
def test_closing_the_connection_frees_the_engine(live: LiveCluster, stream: bool) -> None:
    body = chat("count", stream=stream, max_tokens=960, min_tokens=960, ignore_eos=True, n=8)
    connection = _post(live.engine_url("abacus-small"), body, live.token)
    wait_for(lambda: live.state("abacus-small")["running"] > 0, what="the request to run")
    connection.close()
    closed_at = time.monotonic()
    wait_for(
        lambda: live.state("abacus-small")["unfinished"] == 0,
        what="the engine to drop the request",
        within_s=GONE_WITHIN_S + ROUND_TRIP_S,
    )
    generated = live.state("abacus-small")["generated_tokens"]
    assert live.state("abacus-small")["generated_tokens"] == generated, f"{time.monotonic() - closed_at:.1f} s on"


def _post(url: str, body: dict[str, Any], token: str) -> socket.socket:
    """Send a chat request and leave the connection open, nothing read."""
    address = urlsplit(url)
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    connection = socket.create_connection((str(address.hostname), int(address.port or 0)))
    connection.sendall(head.encode() + content)
    return connection
