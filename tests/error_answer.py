"""What is read the same way off every HTTP answer that refuses, whichever client of the tests received it."""

from abc import ABC, abstractmethod
from typing import Any


class ErrorAnswer(ABC):
    """An answer whose body may be an error, in OpenAI's shape or Anthropic's."""

    __slots__ = ()

    @abstractmethod
    def json(self) -> Any:
        """The body, decoded."""

    @property
    def error(self) -> dict[str, Any]:
        """The error object; fails when the body is none."""
        error: dict[str, Any] = self.json()["error"]
        return error
