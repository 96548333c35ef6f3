"""The table of withheld fields: each once, each with a reason, none that clients need."""

import pytest

from serving.wire.parameters import PARAMETERS
from serving.wire.withheld import DROPPED, WITHHELD


def test_every_field_is_there_once_with_a_reason() -> None:
    names = [one.name for one in WITHHELD]
    assert len(set(names)) == len(names)
    assert all(one.reason for one in WITHHELD)
    assert {one.name for one in WITHHELD if one.fate == "dropped"} | {"cache_salt"} == DROPPED


@pytest.mark.parametrize(
    "name",
    ["api_base", "base_url", "api_key", "extra_headers", "headers", "host", "plugins", "template", "callbacks",
     "user_config", "chat_template", "chat_template_kwargs", "mm_processor_kwargs", "guided_decoding_backend",
     "prompt_embeds", "kv_transfer_params", "vllm_xargs", "priority", "cache_salt"],
)  # fmt: skip
def test_the_fields_of_the_security_sheet_are_withheld(name: str) -> None:
    assert name in DROPPED


def test_nothing_that_is_checked_is_dropped() -> None:
    assert not {one.name for one in PARAMETERS} & DROPPED
    assert not {"metadata", "tools", "prompt_cache_key", "client_metadata", "service_tier", "user"} & DROPPED
