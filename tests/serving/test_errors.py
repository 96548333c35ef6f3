"""The error tree: drawn as it is, rendered in the shape each client understands."""

import re

import msgspec
import pytest

import serving.errors
from serving.errors import (
    MAX_RETRY_AFTER_S,
    BadRequest,
    BodyTooLarge,
    ConfigError,
    MediaUnavailable,
    MillraceError,
    ModelNotFound,
    Overloaded,
    UpstreamRefused,
    render,
    retry_headers,
)


def descendants(parent: type[MillraceError]) -> list[type[MillraceError]]:
    return [each for child in parent.__subclasses__() for each in (child, *descendants(child))]


CLASSES = [each for each in descendants(MillraceError) if each.__module__ == "serving.errors"]
DRAWN = re.compile(r"^ {4}((?:│   |    )*)[├└]── (\w+) +(.*)$", re.MULTILINE)


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn = DRAWN.findall(serving.errors.__doc__ or "")
    ancestors: list[str] = []
    for indent, name, says in drawn:
        depth = len(indent) // 4
        error: type[MillraceError] = getattr(serving.errors, name)
        parent = ancestors[depth - 1] if depth else "MillraceError"
        assert error.__bases__[0].__name__ == parent
        word = error.type if error is BadRequest else error.code  # all bad requests share their type
        assert says.startswith(f"{error.status} {word}" if error is not ConfigError else "exit code 2")
        ancestors[depth:] = [name]
    assert [name for _, name, _ in drawn] == [each.__name__ for each in CLASSES]


def test_codes_tell_the_errors_apart() -> None:
    everything: list[type[MillraceError]] = [MillraceError, *CLASSES]
    codes = [each.code for each in everything]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", [each for each in CLASSES if each is not ConfigError], ids=lambda each: each.__name__)
def test_every_error_has_the_four_keys(error: type[MillraceError]) -> None:
    body = msgspec.json.decode(render(error("says", param="model")))
    assert body == {"error": {"message": "says", "type": error.type, "param": "model", "code": error.code}}
    assert 400 <= error.status < 600


def test_anthropics_shape() -> None:
    body = msgspec.json.decode(render(BodyTooLarge("too big"), anthropic=True))
    assert body == {"type": "error", "error": {"type": "request_too_large", "message": "too big"}}


ANTHROPICS = {
    "api_error",
    "authentication_error",
    "invalid_request_error",
    "not_found_error",
    "overloaded_error",
    "rate_limit_error",
    "request_too_large",
    "timeout_error",
}


@pytest.mark.parametrize("error", [MillraceError, *CLASSES], ids=lambda each: each.__name__)
def test_anthropics_clients_know_every_type(error: type[MillraceError]) -> None:
    assert error.anthropic_type in ANTHROPICS
    by_status = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    assert error.anthropic_type == by_status.get(error.status, error.anthropic_type)


@pytest.mark.parametrize("error", [each for each in CLASSES if each is not ConfigError], ids=lambda each: each.__name__)
def test_a_retry_is_discouraged_where_it_cannot_help(error: type[MillraceError]) -> None:
    helps = error.status in (408, 429) or error.status >= 500 or error is MediaUnavailable
    assert retry_headers(error("says")).get("x-should-retry") == (None if helps else "false")


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (ModelNotFound("x"), {"x-should-retry": "false"}),
        (MillraceError("x"), {}),
        (Overloaded("x"), {"retry-after": "1"}),
        (UpstreamRefused("x"), {"retry-after": "5"}),
        (UpstreamRefused("x", retry_after_s=0), {"retry-after": "1"}),
        (UpstreamRefused("x", retry_after_s=9999), {"retry-after": str(MAX_RETRY_AFTER_S)}),
    ],
    ids=["useless", "unforeseen", "overloaded", "refused", "now", "capped"],
)
def test_retry_headers(error: MillraceError, headers: dict[str, str]) -> None:
    assert retry_headers(error) == headers


def test_a_configuration_error_holds_every_problem() -> None:
    error = ConfigError(["one", "two"])
    assert error.problems == ["one", "two"]
    assert str(error) == "one\ntwo"
