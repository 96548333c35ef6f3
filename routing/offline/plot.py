"""Curves as a small SVG: axes, grid, legend, readable in light and dark. Numbers in, text out; knows no metric.

Colours are those of Okabe and Ito, told apart by colour-blind readers too; baselines are dashed. A reader's dark mode
is followed (`prefers-color-scheme`); a renderer without style sheets shows the light version.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

COLOURS = (("#0072b2", "#56b4e9"), ("#d55e00", "#ff8c42"), ("#007a5a", "#2fcf9f"), ("#b0558a", "#e79fc6"))
"""Of learned routers: (light, dark)."""
GREYS = (
    ("#333333", "#e6e6e6"),
    ("#666666", "#bbbbbb"),
    ("#8a6d00", "#e0b93b"),
    ("#7a7a9c", "#a6a6d0"),
    ("#9c5a2d", "#d69a6b"),
)
"""Of baselines."""
DASHES = ("6 3", "2 3", "8 3 2 3", "1 2", "12 3")
WIDTH, HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 200, 36, 48


@dataclass(frozen=True, slots=True)
class Line:
    """A named line through (x, y), drawn in the given order; a single point is drawn as a dot."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    baseline: bool = False


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float
    """Pixels of `low` and `high`."""

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """About five round values within the axis."""
        rough = (self.high - self.low) / 5
        scale = 10 ** math.floor(math.log10(rough))
        step = next(scale * factor for factor in (1, 2, 2.5, 5, 10) if scale * factor >= rough * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def svg(title: str, lines: Sequence[Line], *, x_label: str, y_label: str) -> str:
    """The picture. Raises `ValueError` when no line has a finite point."""
    points = [(x, y) for line in lines for x, y in _finite(line)]
    if not points:
        raise ValueError("nothing to draw")
    x = _axis([x for x, _ in points], _LEFT, WIDTH - _RIGHT)
    y = _axis([y for _, y in points], HEIGHT - _BOTTOM, _TOP)
    colours = _colours(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="{_quoted(title)}">',
        _style(colours),
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 20, title, size=14),
        *_grid(x, y),
        _text((x.start + x.end) / 2, HEIGHT - 10, x_label, anchor="middle"),
        f'<g transform="translate(14 {(y.start + y.end) / 2:.1f}) rotate(-90)">'
        f"{_text(0, 0, y_label, anchor='middle')}</g>",
        *(_drawn(line, number, colours[number], x, y) for number, line in enumerate(lines)),
        *(_legend(line, number, colours[number]) for number, line in enumerate(lines)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _finite(line: Line) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]


def _axis(values: Sequence[float], start: float, end: float) -> _Axis:
    low, high = min(values), max(values)
    margin = (high - low) * 0.03 or abs(high) * 0.03 or 1.0
    return _Axis(low - margin, high + margin, start, end)


def _colours(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Per line (light, dark): baselines and learned routers count on their own."""
    found, used = [], {True: 0, False: 0}
    for line in lines:
        palette = GREYS if line.baseline else COLOURS
        found.append(palette[used[line.baseline] % len(palette)])
        used[line.baseline] += 1
    return found


def _style(colours: Sequence[tuple[str, str]]) -> str:
    dark = "".join(f".line{n}{{stroke:{c}}}.dot{n}{{fill:{c}}}" for n, (_, c) in enumerate(colours))
    frame = ".paper{fill:#14171a}.ink{fill:#e8e8e8}.grid{stroke:#3a4047}"
    return f"<style>@media (prefers-color-scheme: dark){{{frame}{dark}}}</style>"


def _grid(x: _Axis, y: _Axis) -> list[str]:
    parts = []
    for value in x.ticks():
        at = x.at(value)
        parts += [_rule(at, y.start, at, y.end), _text(at, y.start + 18, _label(value), anchor="middle")]
    for value in y.ticks():
        at = y.at(value)
        parts += [_rule(x.start, at, x.end, at), _text(x.start - 8, at + 4, _label(value), anchor="end")]
    return parts


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def _drawn(line: Line, number: int, colour: tuple[str, str], x: _Axis, y: _Axis) -> str:
    places = [(x.at(px), y.at(py)) for px, py in _finite(line)]
    if len(places) == 1:
        (cx, cy) = places[0]
        return f'<circle class="dot{number}" cx="{cx:.1f}" cy="{cy:.1f}" r="4" fill="{colour[0]}"/>'
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
    return f'<polyline class="line{number}" points="{path}" {_stroke(line, number, colour)}/>'


def _stroke(line: Line, number: int, colour: tuple[str, str]) -> str:
    dash = f' stroke-dasharray="{DASHES[number % len(DASHES)]}"' if line.baseline else ""
    return f'fill="none" stroke="{colour[0]}" stroke-width="{1.6 if line.baseline else 2.4}"{dash}'


def _legend(line: Line, number: int, colour: tuple[str, str]) -> str:
    left, top = WIDTH - _RIGHT + 14, _TOP + 10 + 20 * number
    if len(_finite(line)) == 1:
        mark = f'<circle class="dot{number}" cx="{left + 12}" cy="{top}" r="4" fill="{colour[0]}"/>'
    else:
        mark = (
            f'<polyline class="line{number}" points="{left},{top} {left + 24},{top}" {_stroke(line, number, colour)}/>'
        )
    return mark + _text(left + 32, top + 4, line.name)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f'<text class="ink" fill="#222222" {place}>{escape(text)}</text>'


def _label(value: float) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:.4g}"


def _quoted(text: str) -> str:
    return escape(text, {'"': "&quot;"})
