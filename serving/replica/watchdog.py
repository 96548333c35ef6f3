"""Is the engine getting anywhere? Unfinished requests and no step for too long means it hangs.

Pure: time and counts are passed in. vLLM's own check sees only a dead process, not a hung device.
"""

from dataclasses import dataclass, field

STALL_AFTER_S = 60.0
FIRST_STEP_GRACE_S = 300.0


@dataclass(slots=True)
class Watchdog:
    """Seconds without progress that are forgiven: the first step may have to compile, later ones not."""

    stall_after_s: float = STALL_AFTER_S
    first_step_grace_s: float = FIRST_STEP_GRACE_S
    _progress_at: float | None = field(default=None, init=False)
    _steps: int = field(default=0, init=False)

    def observe(self, *, now: float, unfinished: int, steps: int) -> str | None:
        """Take in one look at the engine; the reason it counts as hung, or None. `now`: monotonic seconds."""
        if self._progress_at is None or unfinished == 0 or steps != self._steps:
            self._progress_at = now
            self._steps = steps
            return None
        stalled_s = now - self._progress_at
        if stalled_s <= (self.stall_after_s if steps else self.first_step_grace_s):
            return None
        return f"no step for {stalled_s:.0f} s with {unfinished} unfinished requests"
