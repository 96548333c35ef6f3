"""The generated parts of docs/api.md, each from the table that the gateway itself works by.

Pure. A part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`; everything else in the file is
written by hand and left alone.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from textwrap import fill

from serving.errors import MillraceError
from serving.settings import Settings
from serving.wire.headers import ANSWER_HEADERS, REQUEST_HEADERS, Header
from serving.wire.limits import DEFAULTS, InputLimits
from serving.wire.openapi import error_codes
from serving.wire.parameters import PARAMETERS
from serving.wire.routes import CONTROL, RELAYED, STORED
from serving.wire.withheld import WITHHELD

_WIDTH = 120
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
_MEDIA_LIMITS = ("max_media_bytes", "max_image_pixels", "max_media_urls", "media_timeout_s")


def filled(document: str) -> str:
    """`document` with every generated part as the code says now. Raises `KeyError` for a part nobody writes."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", document)


def _routes() -> str:
    rows = [
        (f"`{one.path}`", "POST", f"`{one.operation}`", "yes" if one.streams else "no", "API key")
        for one in RELAYED.values()
    ]
    rows += [(f"`{one.path}`", one.method, f"`{one.operation}`", "no", "API key") for one in STORED]
    rows += [(f"`{one.path}`", "GET", one.says, "no", one.key) for one in CONTROL.values()]
    return _table(("path", "method", "operation, or what it says", "streams", "key"), rows)


def _parameters() -> str:
    rows = [
        (f"`{one.name}`", ", ".join(f"`{name}`" for name in one.operations), one.kind.says(DEFAULTS))
        for one in sorted(PARAMETERS, key=lambda one: one.name)
    ]
    return _table(("parameter", "operations", "must be"), rows)


def _withheld() -> str:
    kept = [(f"`{one.name}`", one.reason) for one in WITHHELD if one.fate == "overwritten"]
    parts = ["Overwritten:", _table(("field", "it"), kept), "Dropped:"]
    dropped: dict[str, list[str]] = {}
    for one in WITHHELD:
        if one.fate == "dropped":
            dropped.setdefault(one.reason, []).append(f"`{one.name}`")
    parts.append("\n".join(_item(f"what {reason}: {', '.join(names)}") for reason, names in dropped.items()))
    return "\n\n".join(parts)


def _errors() -> str:
    rows = [
        (str(kind.status), f"`{kind.code}`", f"`{kind.type}`", _retry(kind), f"`{kind.anthropic_type}`", _when(kind))
        for kinds in error_codes().values()
        for kind in kinds
    ]
    return _table(("status", "code", "type", "retry", "on Anthropic's routes", "when"), rows)


def _retry(kind: type[MillraceError]) -> str:
    if not kind.retry_helps:
        return "no"
    return "yes" if kind.retry_after_s is None else "`Retry-After`"


def _when(kind: type[MillraceError]) -> str:
    if kind is MillraceError:
        return "A mistake of ours."
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())


def _limits() -> str:
    names = [one.name for one in fields(InputLimits)]
    found = {name: Settings.model_fields[name] for name in (*names, *_MEDIA_LIMITS)}
    rows = [(f"`{name}`", f"`{one.default}`", one.description or "") for name, one in found.items()]
    return _table(("setting", "default", "meaning"), rows)


def _headers(headers: Sequence[Header]) -> str:
    return _table(("header", "meaning"), [(f"`{one.name}`", one.says) for one in headers])


def _item(text: str) -> str:
    return fill(text, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace("| --- ", "|---").replace("--- |", "---|")


PARTS: Mapping[str, Callable[[], str]] = {
    "routes": _routes,
    "request_headers": lambda: _headers(REQUEST_HEADERS),
    "answer_headers": lambda: _headers(ANSWER_HEADERS),
    "parameters": _parameters,
    "withheld": _withheld,
    "errors": _errors,
    "limits": _limits,
}
"""The parts by name."""
