"""How much media one request may carry or name, and the running account of it."""

from dataclasses import dataclass

from serving.errors import MediaRefused
from serving.media.carriers import Carried


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Per request, but `fetches`: that many run at once in a gateway replica."""

    bytes: int
    pixels: int
    """Of one image, width times height."""
    urls: int
    """That are fetched."""
    timeout_s: float
    """For all fetches together."""
    fetches: int


class Allowance:
    """What is left of the bytes one request may carry and fetch."""

    __slots__ = ("_left", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit

    def take(self, size: int, one: Carried) -> None:
        """Account `size` bytes. Raises `MediaRefused` when they are too many."""
        self._left -= size
        if self._left < 0:
            raise MediaRefused(
                f"{one.param}: the media of this request are over {self._limit} bytes (setting max_media_bytes); "
                "send fewer or smaller ones",
                param=one.param,
            )
