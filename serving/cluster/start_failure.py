"""Why a replica did not start, in one sentence that survives the way to `millrace status`.

Pure text work. The way: vLLM's child process writes the cause to its log, the parent says only "see above"; Serve
wraps what the replica raises into its traceback. `root_cause` undoes the first, `reason_in` the second.
"""

import re
from collections.abc import Sequence

MARKER = "start failed: "
LONGEST_REASON = 600
_ERROR_LINE = re.compile(r"(?:^|\s)(?P<error>(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt)\b: \S.*)$")
_CONSEQUENCES = ("Engine core initialization failed", "Engine process failed to start")


class GatewayStartFailed(Exception):
    """The gateway lacks something to start with; says everything that is missing."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(f"{MARKER}gateway: {_one_line('; '.join(problems))}")


class EngineStartFailed(Exception):
    """The model cannot be served by this replica; says which model and why."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"{MARKER}model {model}: {_one_line(reason)}")


def root_cause(log: str) -> str | None:
    """The last error in vLLM's log that is not merely the consequence of another, or None."""
    found = None
    for line in log.splitlines():
        match = _ERROR_LINE.search(line)
        if match and not any(consequence in line for consequence in _CONSEQUENCES):
            found = match["error"]
    return found


def is_consequence(message: str) -> bool:
    """Does this message of vLLM's parent process only point to another one?"""
    return any(consequence in message for consequence in _CONSEQUENCES)


def reason_in(status_message: str) -> str:
    """The sentence in a Serve status message, without traceback; the message's last line if it holds none of ours."""
    lines = [line.strip() for line in status_message.splitlines() if line.strip()]
    ours = [line.split(MARKER, 1)[1] for line in lines if MARKER in line]
    if ours:
        return ours[-1]
    return _one_line(lines[-1]) if lines else ""


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"
