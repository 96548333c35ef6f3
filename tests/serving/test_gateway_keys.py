"""Keys at the gateway: every wrong one gets the same answer, before anything of the request is read."""

import pytest

from tests.doubles.running_gateway import GatewayServer, chat_body
from tests.serving.refusal import assert_refused

WRONG_KEYS: dict[str, dict[str, str]] = {
    "missing": {},
    "empty": {"authorization": "Bearer "},
    "no scheme": {"authorization": "mr-abc"},
    "other scheme": {"authorization": "Basic bXItYWJj"},
    "unknown": {"authorization": "Bearer mr-" + "A" * 49},
    "not ours": {"authorization": "Bearer sk-something"},
    "not ascii": {"authorization": "Bearer m\u00e9"},
    "unknown as x-api-key": {"x-api-key": "mr-" + "A" * 49},
}


@pytest.mark.parametrize("headers", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
async def test_every_wrong_key_gets_the_same_answer(gateway: GatewayServer, headers: dict[str, str]) -> None:
    reference = await gateway.ask(json=chat_body(), key=None)
    answer = await gateway.ask(json=chat_body(), key=None, headers=headers)
    await assert_refused(gateway, answer, 401, "invalid_api_key")
    assert answer.body == reference.body


async def test_key_is_checked_before_the_body(gateway: GatewayServer) -> None:
    answer = await gateway.ask(data=b"no json", key=None)
    await assert_refused(gateway, answer, 401, "invalid_api_key")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/small-model"])
async def test_models_need_a_key(gateway: GatewayServer, path: str) -> None:
    await assert_refused(gateway, await gateway.get(path, key=None), 401, "invalid_api_key")


async def test_either_key_header_will_do(gateway: GatewayServer) -> None:
    answer = await gateway.ask(json=chat_body(), key=None, headers={"x-api-key": gateway.key})
    assert answer.status == 200
