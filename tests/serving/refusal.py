"""What every refusal of the gateway looks like, whatever was wrong."""

from tests.doubles.running_gateway import Answer, GatewayServer


async def assert_refused(gateway: GatewayServer, answer: Answer, status: int, code: str, says: str = "") -> None:
    """The OpenAI error shape, and nothing reached a model."""
    assert answer.status == status, answer.body
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert answer.error["code"] == code
    assert says in answer.error["message"]
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    assert [stand_in.state()["requests"] for stand_in in gateway.house.all] == [0, 0, 0]
