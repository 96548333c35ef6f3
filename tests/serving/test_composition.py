"""The wiring: what each part is given, and that everything opened is closed again."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from models.spec import Catalog, ModelSpec
from routing.policy import Candidate
from serving.composition import (
    ANONYMOUS,
    Surroundings,
    build_rates,
    cache_salt,
    candidates,
    ladders,
    open_house,
    read_difficulty,
    start_problems,
)
from serving.errors import ConfigError
from serving.governance.admission import InFlightLimit
from serving.house import House
from serving.keys import create_key
from serving.settings import Settings
from serving.upstreams.replicas import StaticReplicas
from tests.doubles.difficulty import difficulty_file
from tests.serving.asgi_call import until
from tests.serving.world import LADDER, engine_spec, hosted_spec


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> object:
    yield
    structlog.reset_defaults()


def catalog(*specs: ModelSpec, ladder: Sequence[str] = LADDER) -> Catalog:
    return Catalog(path=Path("catalog.yaml"), ladder=ladder, models={spec.name: spec for spec in specs})


def around(env: dict[str, str] | None = None, live: Sequence[str] = ()) -> Surroundings:
    return Surroundings(
        replicas=lambda spec: StaticReplicas(live),
        internal_token="internal",
        metrics_token="metrics",
        scrape_targets=lambda: [{"targets": []}],
        env={} if env is None else env,
    )


def tasks() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def opened(stack: AsyncExitStack, cat: Catalog, place: Surroundings, home: Path, **settings: object) -> House:
    scores = difficulty_file(home, {"small": 0.8})
    mapping = {"home": str(home), "difficulty_file": str(scores), **settings}
    return await stack.enter_async_context(open_house(cat, Settings.from_mapping(mapping, {}), place))


async def test_a_house_is_open_and_then_nothing_of_it_is_left(tmp_path: Path) -> None:
    key = create_key(tmp_path / "keys.json", "acme")
    async with AsyncExitStack() as stack:
        house = await opened(stack, catalog(engine_spec("small")), around(), tmp_path, max_body_bytes=7)
        tenant = house.authenticate(key)
        assert tenant is not None
        assert tenant.id == "acme"
        assert house.authenticate("mr-wrong") is None
        assert (house.metrics_token, house.limits.max_body_bytes) == ("metrics", 7)
        assert house.scrape_targets() == [{"targets": []}]
        await until(lambda: house.readiness.missing()[0].reason == "no live replica")
        assert len(tasks()) >= 2
    assert tasks() == set()


async def test_new_keys_are_noticed_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.composition.KEY_RELOAD_S", 0.001)
    create_key(tmp_path / "keys.json", "acme")
    async with AsyncExitStack() as stack:
        house = await opened(stack, catalog(engine_spec("small")), around(), tmp_path)
        later = create_key(tmp_path / "keys.json", "other")
        await until(lambda: house.authenticate(later))
        (tmp_path / "keys.json").write_text("broken")
        third = tmp_path / "third.json"
        await asyncio.sleep(0.01)
        assert house.authenticate(later), "the keys read last stay in force"
        raw = create_key(third, "third")
        third.replace(tmp_path / "keys.json")
        await until(lambda: house.authenticate(raw))


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        ({"max_in_flight": 7}, {"requests": "7"}),
        ({"requests_per_minute": 5}, {"requests": "5"}),
        ({"max_in_flight": 7, "tokens_per_minute": 9}, {"requests": "7", "tokens": "9"}),
    ],
    ids=["places", "requests", "tokens"],
)
def test_rates_are_those_of_the_settings(given: dict[str, object], kinds: dict[str, str]) -> None:
    rates = build_rates(Settings.from_mapping(given, {}), InFlightLimit(7))
    headers = rates.headers("acme", now=0.0)
    limits = {name: limit for name, limit in headers.items() if "-limit-" in name}
    assert limits == {f"x-ratelimit-limit-{kind}": limit for kind, limit in kinds.items()}


def test_a_body_limit_for_no_route_fails_the_start() -> None:
    settings = Settings.from_mapping({"require_key": False, "max_body_bytes_by_route": {"/v1/embedings": 5}}, {})
    (problem,) = start_problems(catalog(engine_spec("small")), settings, {})
    assert problem.startswith(
        "max_body_bytes_by_route: /v1/embedings is no such route; there are /v1/chat/completions, "
    )


async def test_without_keys_everybody_is_one_tenant(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        house = await opened(stack, catalog(engine_spec("small")), around(), tmp_path, require_key=False)
        assert house.authenticate("") == ANONYMOUS


async def test_a_missing_key_file_fails_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keys\.json.*millrace keys create"):
        async with AsyncExitStack() as stack:
            await opened(stack, catalog(engine_spec("small")), around(), tmp_path)


async def test_every_missing_hosted_key_is_named_and_nothing_stays_open(tmp_path: Path) -> None:
    second = replace(hosted_spec("second"), hosted=replace(hosted_spec().hosted, key_env="OTHER"))  # type: ignore[type-var]
    with pytest.raises(ConfigError) as caught:
        async with AsyncExitStack() as stack:
            await opened(stack, catalog(hosted_spec(), second), around(), tmp_path, require_key=False)
    assert [("NO_KEY" in one, "OTHER" in one) for one in caught.value.problems] == [(True, False), (False, True)]
    assert tasks() == set()


def test_candidates_are_the_catalogue_as_it_is_right_now() -> None:
    live: Callable[[str], bool] = {"small": True, "cloud": False}.__getitem__
    small, cloud = engine_spec("small"), hosted_spec()
    assert candidates(catalog(small, cloud), live) == (
        Candidate("small", "small", False, small.capabilities, True),
        Candidate("cloud", "hosted", True, cloud.capabilities, False),
    )


def test_an_operation_has_the_tiers_that_can_do_it() -> None:
    small, cloud = engine_spec("small"), replace(hosted_spec(), capabilities=frozenset({"chat"}))
    embed = replace(engine_spec("e", tier="embed"), capabilities=frozenset({"embeddings", "rerank"}))
    no_embeddings = replace(small, capabilities=small.capabilities - {"embeddings"})
    found = ladders(catalog(no_embeddings, cloud, embed))
    assert found["chat"] == ("small", "hosted")
    assert found["tokenize"] == ("small",)
    assert found["embeddings"] == ("embed",)
    assert found["score"] == ()


def test_a_fitted_file_scores_prompts(tmp_path: Path) -> None:
    scores = read_difficulty(difficulty_file(tmp_path, {"small": 0.8, "large": 0.9})).score("What is 2 + 2?")
    assert scores == {"small": pytest.approx(0.8), "large": pytest.approx(0.9)}


@pytest.mark.parametrize("content", [None, b"{}"], ids=["missing", "not one"])
def test_a_difficulty_file_that_cannot_be_used(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "fitted.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"difficulty_file: .*fitted\.json"):
        read_difficulty(file)


def test_a_salt_is_one_per_tenant_and_secret() -> None:
    salts = {cache_salt(token, tenant) for token in ("a", "b") for tenant in ("acme", "other")}
    assert len(salts) == 4
    assert cache_salt("a", "acme") == cache_salt("a", "acme")
    for salt in salts:
        assert base64.b32decode(salt + "====")
        assert salt.isalnum()
