"""How much a connection may cost before there is a request on it, and after. Knows no server and no request."""

from dataclasses import dataclass

from serving.settings import Settings

LINGER_S = 5.0
"""How long a client that was answered early may go on sending its body: it must be able to read the answer first."""


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """See the settings of the same names."""

    header_timeout_s: float
    max_header_bytes: int
    keep_alive_timeout_s: float
    write_timeout_s: float
    max_connections: int
    linger_s: float

    @classmethod
    def of(cls, settings: Settings, *, linger_s: float = LINGER_S) -> "EdgeLimits":
        """The limits among `settings`."""
        return cls(
            header_timeout_s=settings.header_timeout_s,
            max_header_bytes=settings.max_header_bytes,
            keep_alive_timeout_s=settings.keep_alive_timeout_s,
            write_timeout_s=settings.write_timeout_s,
            max_connections=settings.max_connections,
            linger_s=linger_s,
        )
