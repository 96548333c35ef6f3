"""The public door of a whole cluster: HAProxy, two gateway replicas, real engines, and a stand-in as the hosted tier.

What single parts do is tested beside them; here is what only shows when all of them run together. The last test kills
an engine replica and ends when another one has taken its place, because the cluster is shared.
"""

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.cluster.live import Answer, LiveCluster, ask, wait_for

CHAT = "/v1/chat/completions"
SMALL, LARGE, EMBED, HOSTED = "abacus-small", "abacus-large", "abacus-embed", "stand-in"
ASKED = [{"role": "user", "content": "7 + 5"}]
ROUTES: dict[str, dict[str, Any]] = {
    CHAT: {"model": SMALL, "messages": ASKED},
    "/v1/completions": {"model": SMALL, "prompt": "7 + 5 =", "max_tokens": 4},
    "/v1/responses": {"model": SMALL, "input": "7 + 5"},
    "/v1/messages": {"model": SMALL, "messages": ASKED, "max_tokens": 32},
    "/v1/embeddings": {"model": EMBED, "input": ["7 + 5", "12 - 3"]},
    "/v1/rerank": {"model": EMBED, "query": "7 + 5", "documents": ["5 + 7", "sort 3 1 2"]},
    "/v1/score": {"model": EMBED, "text_1": "7 + 5", "text_2": ["5 + 7", "sort 3 1 2"]},
    "/tokenize": {"model": SMALL, "prompt": "7 + 5"},
}
CHUNKED = [CHAT, "/v1/completions"]
LAST_EVENT = {"/v1/responses": "response.completed", "/v1/messages": "message_stop"}
LONG_PROMPT = " ".join(str(n) for n in range(200, 260))
ENDLESS: dict[str, Any] = {
    "model": LARGE,
    "messages": ASKED,
    "max_tokens": 960,
    "min_tokens": 960,
    "ignore_eos": True,
    "n": 8,
}
"""Keeps an engine busy for seconds: eight answers of 960 tokens."""
GONE_WITHIN_S = 10.0
BACK_WITHIN_S = 120.0


def post(live: LiveCluster, path: str, body: Mapping[str, Any], **headers: str) -> Answer:
    """One request, with the API key unless `headers` are given; header names of the answer in lower case."""
    with closing(http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)) as connection:
        send(connection, path, body, **headers or {"authorization": f"Bearer {live.key}"})
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def send(connection: http.client.HTTPConnection, path: str, body: Mapping[str, Any], **headers: str) -> None:
    """Send a request and read nothing."""
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})


def chat(live: LiveCluster, **fields: Any) -> Answer:
    """One chat request, to `auto` unless `fields` say otherwise."""
    return post(live, CHAT, {"model": "auto", "messages": ASKED, **fields})


def events(answer: Answer) -> list[Any]:
    """The `data:` payloads of a stream, decoded; `[DONE]` as it is."""
    payloads = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def said(path: str, data: Mapping[str, Any]) -> object:
    """The part of a whole answer that makes it one: text, numbers or tokens."""
    if path in CHUNKED:
        choice = data["choices"][0]
        return choice["message"]["content"] if path == CHAT else choice["text"]
    if path == "/v1/responses":
        return data["output"][-1]["content"][0]["text"]
    if path == "/v1/messages":
        return data["content"][0]["text"]
    if path == "/v1/embeddings":
        return [entry["embedding"] for entry in data["data"]]
    if path == "/v1/rerank":
        return [entry["relevance_score"] for entry in data["results"]]
    if path == "/v1/score":
        return [entry["score"] for entry in data["data"]]
    return data["tokens"]


def test_an_answer_has_one_request_id(live: LiveCluster) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)) as connection:
        send(connection, CHAT, ROUTES[CHAT], **{"authorization": f"Bearer {live.key}", "x-request-id": "mine-1"})
        response = connection.getresponse()
        response.read()
        assert [value for name, value in response.getheaders() if name.lower() == "x-request-id"] == ["mine-1"]


def test_logprobs_are_given_to_who_asks(live: LiveCluster) -> None:
    answer = chat(live, model=SMALL, logprobs=True, top_logprobs=2)
    assert answer.status == 200
    (choice,) = json.loads(answer.body)["choices"]
    assert choice["logprobs"]["content"][0]["logprob"] <= 0


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_answers_and_says_how(live: LiveCluster, path: str) -> None:
    asked = ROUTES[path]
    answer = post(live, path, asked)
    assert answer.status == 200, answer.body
    assert said(path, answer.json())
    assert answer.headers["x-millrace-decision"].startswith("mrd-")
    assert answer.headers["x-millrace-policy"] == "direct"
    assert answer.headers["x-millrace-model"] == asked["model"]
    assert answer.headers["x-millrace-tier"] == asked["model"].removeprefix("abacus-")
    assert answer.headers["x-millrace-attempts"] == "1"
    assert answer.headers["x-request-id"]
    assert float(answer.headers["x-millrace-cost-usd"]) > 0
    assert "x-millrace-stand-in" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/rerank", "/v1/score"])
def test_pooling_routes_answer_for_each_input(live: LiveCluster, path: str) -> None:
    answers = said(path, post(live, path, ROUTES[path]).json())
    assert isinstance(answers, list)
    assert len(answers) == 2
    assert answers[0] != answers[1]


def test_anthropic_clients_send_their_own_headers(live: LiveCluster) -> None:
    headers = {"x-api-key": live.key, "anthropic-version": "2023-06-01"}
    answer = post(live, "/v1/messages", ROUTES["/v1/messages"], **headers)
    assert answer.status == 200, answer.body
    assert answer.json()["type"] == "message"
    assert answer.json()["usage"]["output_tokens"] > 0
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


def test_models_are_listed_with_their_tiers(live: LiveCluster) -> None:
    answer = ask(f"{live.url}/v1/models", token=live.key)
    tiers = {entry["id"]: (entry["tier"], entry["stand_in"]) for entry in answer.json()["data"]}
    assert answer.status == 200
    assert tiers == {
        "auto": ("any", False),
        SMALL: ("small", False),
        LARGE: ("large", False),
        EMBED: ("embed", False),
        HOSTED: ("hosted", True),
    }


@pytest.mark.parametrize("path", CHUNKED)
@pytest.mark.parametrize("model", [SMALL, HOSTED])
@pytest.mark.parametrize("asked", [True, False], ids=["usage asked", "usage not asked"])
def test_stream_tells_its_cost_and_usage_only_if_asked(live: LiveCluster, path: str, model: str, asked: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    answer = post(live, path, ROUTES[path] | {"model": model, "stream": True} | options)
    *chunks, last = events(answer)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert last == "[DONE]"
    *_, comment, done, end = answer.body.decode().split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    assert cost_usd(comment) > 0
    assert any(chunk["choices"][0].get("finish_reason") for chunk in chunks if chunk["choices"])
    totals = [chunk["usage"] for chunk in chunks if not chunk["choices"]]
    assert len(totals) == asked
    assert all(usage["completion_tokens"] > 0 for usage in totals)


@pytest.mark.parametrize("path", LAST_EVENT)
@pytest.mark.parametrize("model", [SMALL, HOSTED])
def test_stream_of_typed_events_ends_with_its_own_last_one(live: LiveCluster, path: str, model: str) -> None:
    answer = post(live, path, ROUTES[path] | {"model": model, "stream": True})
    assert answer.status == 200
    assert events(answer)[-1]["type"] == LAST_EVENT[path]
    *_, event, comment, end = answer.body.decode().split("\n\n")
    assert event.startswith(f"event: {LAST_EVENT[path]}\n")
    assert end == ""
    assert cost_usd(comment) > 0


def cost_usd(comment: str) -> float:
    """The cost that ends a stream, USD."""
    name, _, value = comment.partition("=")
    assert name == ": x-millrace-cost-usd"
    return float(value)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_auto_is_answered_by_the_tier_its_score_chooses(live: LiveCluster, stream: bool) -> None:
    answer = chat(live, stream=stream)
    assert answer.status == 200
    assert answer.headers["x-millrace-policy"] == "ladder"
    assert (answer.headers["x-millrace-model"], answer.headers["x-millrace-tier"]) == (SMALL, "small")
    assert answer.headers["x-millrace-attempts"] == "1"


@pytest.mark.parametrize("model", [SMALL, LARGE, HOSTED])
def test_a_concrete_name_goes_straight_there(live: LiveCluster, model: str) -> None:
    answer = chat(live, model=model)
    assert answer.status == 200
    assert (answer.headers["x-millrace-policy"], answer.headers["x-millrace-model"]) == ("direct", model)
    assert answer.headers.get("x-millrace-stand-in") == ("true" if model == HOSTED else None)


def test_an_unknown_name_is_not_found(live: LiveCluster) -> None:
    answer = chat(live, model="abacus-huge")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ROUTES)
def test_nobody_without_a_key_gets_in(live: LiveCluster, path: str) -> None:
    for key in ("", live.key[:-1], live.token):
        answer = post(live, path, ROUTES[path], authorization=f"Bearer {key}")
        assert answer.status == 401, answer.body
    assert ask(f"{live.url}/v1/models").status == 401


def test_a_repeated_prefix_is_read_from_the_cache(live: LiveCluster) -> None:
    asked = {"messages": [{"role": "user", "content": LONG_PROMPT}], "max_tokens": 4}
    first, second = (chat(live, **asked).json()["usage"] for _ in range(2))
    assert first["prompt_tokens"] > 64
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["prompt_tokens_details"]["cached_tokens"] > 0


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
def test_a_client_that_leaves_frees_the_engine(live: LiveCluster, stream: bool) -> None:
    wait_for(lambda: live.state(LARGE)["unfinished"] == 0, what="an idle engine")
    generated = live.state(LARGE)["generated_tokens"]
    with closing(http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)) as connection:
        send(connection, CHAT, ENDLESS | {"stream": stream}, authorization=f"Bearer {live.key}")
        wait_for(lambda: live.state(LARGE)["running"] > 0, what="the request to run")
    wait_for(lambda: live.state(LARGE)["unfinished"] == 0, what="the engine to drop it", within_s=GONE_WITHIN_S)
    assert live.state(LARGE)["generated_tokens"] - generated < ENDLESS["n"] * ENDLESS["max_tokens"]


def test_ready_says_that_every_tier_is_proven(live: LiveCluster) -> None:
    wait_for(lambda: ask(f"{live.url}/ready").status == 200, what="every tier to be ready")
    assert ask(f"{live.url}/ready").json() == {"ready": True, "missing": []}


@contextmanager
def steady_requests(live: LiveCluster, model: str) -> Iterator[list[int]]:
    """Statuses of requests for `model`, sent one after another until the block ends; 0 for a broken connection."""
    statuses: list[int] = []
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(0.05):
            try:
                statuses.append(chat(live, model=model, max_tokens=2).status)
            except (OSError, http.client.HTTPException):
                statuses.append(0)

    sender = threading.Thread(target=go_on)
    sender.start()
    try:
        yield statuses
    finally:
        stop.set()
        sender.join()


def test_a_dead_tier_is_covered_by_the_next_one_until_it_is_back(live: LiveCluster) -> None:
    dead = live.state(LARGE)
    answers: list[Answer] = []

    def tier() -> str:
        answers.append(chat(live, routing={"deny": [SMALL]}, max_tokens=2))
        return answers[-1].headers.get("x-millrace-tier", "")

    assert tier() == "large"
    with steady_requests(live, SMALL) as statuses:
        os.kill(dead["pid"], signal.SIGKILL)
        wait_for(lambda: tier() == "hosted", what="the hosted tier to stand in", within_s=BACK_WITHIN_S)
        wait_for(lambda: tier() == "large", what="the large tier to come back", within_s=BACK_WITHIN_S)
    live.wait_running([f"engine-{LARGE}"])
    wait_for(lambda: all(tier() == "large" for _ in range(8)), what="both gateways to know", within_s=BACK_WITHIN_S)
    assert len(statuses) > 5
    assert set(statuses) == {200}
    assert {answer.status for answer in answers} == {200}
    for answer in answers:
        covered = answer.headers["x-millrace-tier"] == "hosted"
        assert answer.headers.get("x-millrace-stand-in") == ("true" if covered else None)
    assert live.state(LARGE)["replica"] != dead["replica"]
