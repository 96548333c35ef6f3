"""The limits are the settings of the same names."""

from dataclasses import fields

from serving.settings import Settings
from serving.wire.limits import DEFAULTS, InputLimits


def test_every_limit_is_a_setting_with_the_same_default() -> None:
    assert {one.name for one in fields(InputLimits)} <= set(Settings.model_fields)
    assert InputLimits.of(Settings()) == DEFAULTS


def test_settings_change_limits() -> None:
    settings = Settings.from_mapping({"max_n": 3, "max_body_bytes_by_route": {"/v1/embeddings": 9}}, {})
    limits = InputLimits.of(settings)
    assert limits.max_n == 3
    assert (limits.body_bytes("/v1/embeddings"), limits.body_bytes("/v1/responses")) == (9, DEFAULTS.max_body_bytes)
