"""Settings: defaults, file, environment, in this order, and unknown names refused with the nearest valid one."""

from pathlib import Path

import pytest

from serving.errors import ConfigError
from serving.settings import Settings, variable


def problems(mapping: dict[str, object], env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        Settings.from_mapping(mapping, env or {})
    return raised.value.problems


def test_everything_has_a_default() -> None:
    settings = Settings.from_mapping({}, {})

    assert settings.require_key
    assert settings.max_body_bytes == 4 * 1024 * 1024
    assert settings.home == Path.home() / ".millrace"


def test_the_file_says_and_the_environment_overrides() -> None:
    given: dict[str, object] = {"max_in_flight": 5, "body_timeout_s": 7}
    settings = Settings.from_mapping(given, {"MILLRACE_MAX_IN_FLIGHT": "9", "MILLRACE_HOME": "/srv/millrace"})

    assert settings.max_in_flight == 9
    assert settings.body_timeout_s == 7
    assert settings.home == Path("/srv/millrace")


@pytest.mark.parametrize(("text", "value"), [("false", False), ("true", True)])
def test_a_variable_is_read_as_yaml(text: str, value: bool) -> None:
    assert Settings.from_mapping({}, {"MILLRACE_REQUIRE_KEY": text}).require_key is value


def test_an_empty_variable_counts_as_absent() -> None:
    assert Settings.from_mapping({"max_in_flight": 5}, {"MILLRACE_MAX_IN_FLIGHT": ""}).max_in_flight == 5


def test_every_mistake_is_reported_at_once() -> None:
    wrong: dict[str, object] = {"max_body_byte": 1, "body_timeout_s": 0, "require_key": "yes", "log_level": "loud"}

    assert sorted(problems(wrong, {"MILLRACE_PROBE_INTERVAL_S": "soon", "MILLRACE_MAX_IN_FLIGTH": "2"})) == [
        "environment: MILLRACE_MAX_IN_FLIGTH: no such setting; did you mean 'MILLRACE_MAX_IN_FLIGHT'?",
        "environment: MILLRACE_PROBE_INTERVAL_S: must be a valid number, got 'soon'",
        "settings: body_timeout_s: must be greater than 0, got 0",
        "settings: log_level: must be 'debug', 'info', 'warning' or 'error', got 'loud'",
        "settings: max_body_byte: unknown key; did you mean 'max_body_bytes'?",
        "settings: require_key: must be a valid boolean, got 'yes'",
    ]


def test_variables_that_hold_keys_are_left_alone() -> None:
    assert Settings.from_mapping({}, {"MILLRACE_STAND_IN_KEY": "hush"}) == Settings.from_mapping({}, {})


@pytest.mark.parametrize("text", ["[", "a: b: c"])
def test_a_variable_that_is_no_yaml_is_text(text: str) -> None:
    assert str(Settings.from_mapping({}, {variable("home"): text}).home) == text


def test_settings_never_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().max_in_flight = 1
