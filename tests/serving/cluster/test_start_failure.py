"""The reason a model does not load, from vLLM's log to one line of status."""

import pytest

from serving.cluster.start_failure import LONGEST_REASON, EngineStartFailed, is_consequence, reason_in, root_cause

LOG = """\
(EngineCore pid=7) INFO 11-21 12:00:00 [core.py:1] loading
(EngineCore pid=7) ERROR 11-21 12:00:01 [core.py:2] Traceback (most recent call last):
(EngineCore pid=7) ERROR 11-21 12:00:01 [core.py:2]   File "loader.py", line 1, in load
(EngineCore pid=7) ERROR 11-21 12:00:01 [core.py:2] KeyError: 'lm_head.weight'
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}
"""


def test_the_root_cause_is_the_last_error_that_is_no_consequence() -> None:
    assert root_cause(LOG) == "KeyError: 'lm_head.weight'"


def test_of_several_errors_the_last_counts() -> None:
    assert root_cause("OSError: first\nsafetensors_rust.SafetensorError: header too small\n") == (
        "safetensors_rust.SafetensorError: header too small"
    )


@pytest.mark.parametrize("log", ["", "all is well", "ERROR nothing to see", "Errors: none"])
def test_no_error_no_cause(log: str) -> None:
    assert root_cause(log) is None


def test_consequences_are_known_as_such() -> None:
    assert is_consequence("Engine core initialization failed. See root cause above.")
    assert not is_consequence("KeyError: 'lm_head.weight'")


def test_the_reason_survives_serves_traceback() -> None:
    error = EngineStartFailed("abacus-small", "path abacus\ndoes not exist")
    message = (
        "The deployment failed to start 3 times in a row. Error:\nray::ServeReplica.initialize()\n"
        f'  File "engine.py", line 1\nserving.engine_failure.EngineStartFailed: {error}\n'
    )
    assert reason_in(message) == "model abacus-small: path abacus does not exist"


def test_a_foreign_message_gives_its_last_line() -> None:
    assert reason_in("Traceback:\n  File\nValueError: no\n\n") == "ValueError: no"
    assert reason_in("") == ""


def test_a_long_reason_is_cut() -> None:
    reason = reason_in(str(EngineStartFailed("m", "x" * 5000)))
    assert reason.endswith("…")
    assert len(reason) <= LONGEST_REASON + len("model m: ")
