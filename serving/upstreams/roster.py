"""Which replicas of one model are in service, which are out, and which are to be asked for a token.

Synchronous; time and the list of replicas are passed in. A replica leaves by failing: at once when nobody listens, on
the third failure in a row otherwise, never by failures alone when it is the last one left; or when a probe fails. It
comes back by a probe that produced a token, and by nothing else. The first time it leaves it is lost.
"""

from collections.abc import Callable, Collection, Sequence

from routing.picker import Replica

STRIKES = 3
"""Failures in a row after which a replica is out: one bad request, or one timeout under overload, ejects nobody."""

HABIT_S = 60.0
"""A replica that leaves again within this time after it left is not lost but comes and goes."""

EJECTED, READMITTED = "ejected", "readmitted"


class Roster:
    """See the module. `canary_interval_s`: silence after which a proven replica is asked again, None for never.

    `ejects`: False for what is never taken out, only proven or not. `changed` hears `EJECTED` and `READMITTED`.
    """

    def __init__(
        self,
        *,
        canary_interval_s: float | None = None,
        ejects: bool = True,
        changed: Callable[[str], None] = lambda event: None,
    ) -> None:
        self._canary_interval_s = canary_interval_s
        self._ejects = ejects
        self._changed = changed
        self._out: set[str] = set()
        self._proven: set[str] = set()
        self._suspects: set[str] = set()
        self._strikes: dict[str, int] = {}
        self._answered_s: dict[str, float] = {}
        self._left_s: dict[str, float] = {}
        self._lost: set[str] = set()

    def in_service(self, replicas: Sequence[Replica], avoid: Collection[str] = ()) -> list[Replica]:
        """Those of `replicas` that may get traffic, without those to `avoid`."""
        if not self._out and not avoid:
            return list(replicas)
        return [one for one in replicas if one.id not in self._out and one.id not in avoid]

    def is_proven(self, replica: str) -> bool:
        """Has it produced a token for us, and is it in service?"""
        return replica in self._proven and replica not in self._out

    def answered(self, replica: str, now: float) -> None:
        """It gave a good answer at `now`."""
        self._answered_s[replica] = now
        if self._strikes:
            self._strikes.pop(replica, None)

    def answered_since(self, replica: str, then: float) -> bool:
        """Was there a good answer after `then`?"""
        return self._answered_s.get(replica, -1.0) > then

    def is_lost(self, replica: str, replicas: Sequence[Replica]) -> bool:
        """Is it out for good, as far as can be told, or not even among `replicas`, all of the model, any more?"""
        return replica in self._lost or all(one.id != replica for one in replicas)

    def failed(self, replica: str, replicas: Sequence[Replica], now: float, *, reached: bool) -> None:
        """It failed a request. `reached`: somebody was there; `replicas`: all of the model."""
        self._suspects.add(replica)
        self._strikes[replica] = strikes = self._strikes.get(replica, 0) + 1
        last = not self.in_service(replicas, (replica,))
        if not last and (strikes >= STRIKES or not reached):
            self._eject(replica, now)

    def passed_probe(self, replica: str, now: float) -> None:
        """It produced a token when asked to."""
        self._proven.add(replica)
        self._suspects.discard(replica)
        self.answered(replica, now)
        if replica in self._out:
            self._out.discard(replica)
            self._lost.discard(replica)
            self._changed(READMITTED)

    def failed_probe(self, replica: str, now: float) -> None:
        """It did not."""
        self._eject(replica, now)

    def needs_probe(self, replica: str, now: float) -> bool:
        """Is there doubt, or has nothing come of it for too long?"""
        if replica not in self._proven or replica in self._out or replica in self._suspects:
            return True
        interval_s = self._canary_interval_s
        return interval_s is not None and now - self._answered_s[replica] >= interval_s

    def keep(self, replicas: Sequence[Replica]) -> None:
        """Forget every replica but these."""
        ids = {one.id for one in replicas}
        for known in (self._out, self._lost, self._proven, self._suspects):
            known &= ids
        for noted in (self._strikes, self._answered_s, self._left_s):
            for gone in noted.keys() - ids:
                del noted[gone]

    def _eject(self, replica: str, now: float) -> None:
        self._strikes.pop(replica, None)
        if not self._ejects:
            self._proven.discard(replica)
        elif replica not in self._out:
            self._out.add(replica)
            if now - self._left_s.get(replica, float("-inf")) >= HABIT_S:
                self._lost.add(replica)
            self._left_s[replica] = now
            self._changed(EJECTED)
