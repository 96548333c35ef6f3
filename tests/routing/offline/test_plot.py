"""The SVG of curves: well-formed, everything inside its frame, names escaped."""

import math
import xml.etree.ElementTree as ET

import pytest

from routing.offline.plot import HEIGHT, WIDTH, Line, svg

NS = "{http://www.w3.org/2000/svg}"


def picture(*lines: Line) -> ET.Element:
    return ET.fromstring(svg("A & B", lines, x_label="USD <per> 1k", y_label="score"))


def test_every_line_is_drawn_and_named() -> None:
    root = picture(
        Line("router", [0, 1, 2], [0.5, 0.7, 0.8]),
        Line("length & more", [0, 2], [0.5, 0.8], baseline=True),
        Line("always strong", [2], [0.8], baseline=True),
    )
    texts = [text.text for text in root.iter(f"{NS}text")]
    assert {"router", "length & more", "always strong", "A & B", "USD <per> 1k", "score"} <= set(texts)
    assert len(list(root.iter(f"{NS}polyline"))) == 4  # two lines and their marks in the legend
    assert len(list(root.iter(f"{NS}circle"))) == 2
    dashed = [line.get("stroke-dasharray") is not None for line in root.iter(f"{NS}polyline")]
    assert dashed == [False, True, False, True]


def test_points_stay_inside_the_frame_and_keep_their_order() -> None:
    root = picture(Line("r", [1e-5, 2e-4, 9e-4], [0.2, 0.9, 0.95]))
    points = next(root.iter(f"{NS}polyline")).attrib["points"].split()
    places = [tuple(map(float, point.split(","))) for point in points]
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in places)
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)


def test_what_is_not_finite_is_left_out() -> None:
    root = picture(Line("r", [0, 1, math.nan], [0, math.inf, 1]))
    assert len(list(root.iter(f"{NS}circle"))) == 2  # one point is left, drawn and in the legend


@pytest.mark.parametrize("value", [0.0, 3.0], ids=["zero", "three"])
def test_a_single_place_has_an_axis_too(value: float) -> None:
    assert len(list(picture(Line("r", [value, value], [value, value])).iter(f"{NS}line"))) >= 2


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        svg("t", [Line("r", [math.nan], [0.0])], x_label="x", y_label="y")


def test_many_lines_reuse_the_colours_and_follow_dark_mode() -> None:
    drawn = svg("t", [Line(f"r{n}", [0, 1], [0, n]) for n in range(6)], x_label="x", y_label="y")
    assert "prefers-color-scheme: dark" in drawn
    assert drawn.count("#0072b2") == 4
