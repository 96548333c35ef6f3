"""Equations in running text: what is read, what holds, and what is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.equations import Equation, equations, evaluate


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        pytest.param("4 * 3 = 12", 12, 12, id="plain"),
        pytest.param("so 12 girls / 3 = 4 girls are", 4, 4, id="units"),
        pytest.param("8 eggs/day * 3 days = 24 eggs", 24, 24, id="unit-of-two-words"),
        pytest.param("a clip <<48/2=24>>24 clips", 24, 24, id="marked"),
        pytest.param("$50,000 * 0.05 = $2,500", 2500, 2500, id="money"),
        pytest.param("2 \\* 5 = 10", 10, 10, id="escaped"),
        pytest.param("3 x 4 = 12", 12, 12, id="spoken-x"),
        pytest.param("4x10 = 40", 40, 40, id="glued-x"),
        pytest.param("2 times 30 equals 30 plus 30", 60, 60, id="spoken"),
        pytest.param("60 divided by 2 = 30", 30, 30, id="by"),
        pytest.param("50% of 300 = 150", 150, 150, id="percent-of"),
        pytest.param("1/3 of 12 = 4", 4, 4, id="fraction-of"),
        pytest.param("2**3 = 8", 8, 8, id="power"),
        pytest.param("**12** + 3 = 15", 15, 15, id="bold"),
        pytest.param("- 5 + 3 = 9", 8, 9, id="bullet"),
        pytest.param("2 \u00d7 (3 + 4) ÷ 7 \u2212 1 = 1", 1, 1, id="signs"),
        pytest.param("(3 apples * 4 = 12", 12, 12, id="open-bracket"),
        pytest.param("30 - (total) 5 = 25", 25, 25, id="remark-without-number"),
        pytest.param("48 / 2 ≈ 24", 24, 24, id="about"),
        pytest.param("7 + 5 = 12 *", 12, 12, id="trailing-operator"),
        pytest.param("12 of them + 2 = 13", 14, 13, id="of-without-share"),
        pytest.param("so (3 + 4) * 2 = 14", 14, 14, id="bracket-first"),
        pytest.param("3 (2 * 2 = 4", 4, 4, id="remark-with-a-sum"),
    ],
)
def test_reads_what_is_written(text: str, left: float, right: float) -> None:
    (found,) = equations(text).found
    assert (found.left, found.right) == (left, right)


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        pytest.param("no sums here", 0, id="none"),
        pytest.param("Total = 5", 0, id="named"),
        pytest.param("5 = 5 and 4 = 4", 0, id="bare"),
        pytest.param("x + 4x = 100", 1, id="algebra"),
        pytest.param("(1/15)x = 6", 1, id="glued-to-bracket"),
        pytest.param("sum - 3 = 5", 1, id="operator-after-word"),
        pytest.param("3 of the many green apples = 7", 0, id="too-many-words"),
        pytest.param("10 / 0 = 4", 0, id="no-value"),
        pytest.param("3 cats) - 2 = 5", 1, id="closing-bracket-alone"),
        pytest.param("4>> = 5, % = 3", 0, id="mark-and-percent-alone"),
        pytest.param("3 4 + (5 (2) = 9", 1, id="numbers-side-by-side"),
    ],
)
def test_makes_no_equation_of_what_has_no_value(text: str, unread: int) -> None:
    read = equations(text)
    assert read.found == ()
    assert read.unread == unread


def test_a_chain_is_compared_link_by_link() -> None:
    read = equations("2 * 6 = 12 / 1 = 13")
    assert [(each.left, each.right) for each in read.found] == [(12, 12), (12, 13)]
    assert [each.error() for each in read.found] == [0, 1]
    assert read.found[0].operands == (2, 6)
    assert read.found[0].operators == "*"


def test_the_same_equation_in_text_and_mark_counts_once() -> None:
    assert len(equations("4 * 12 = <<4*12=48>>48").found) == 1


def test_what_an_incomplete_text_ends_in_may_go_on() -> None:
    text = "4 * 12 = 4"
    assert equations(text).found[0].error() == 44
    assert equations(text, complete=False).found == ()


def test_percent_holds_as_share_and_as_hundredth() -> None:
    (found,) = equations("(6 / 12) x 100 = 50%").found
    assert found.percent
    assert found.error() == 0


@pytest.mark.parametrize(
    ("left", "right", "rounded"),
    [(3.333, 3.33, False), (3.3333, 3.3, True), (9.6, 10, True), (9, 10, False), (1000, 1003, True), (4, 4, False)],
)
def test_rounding_is_told_from_error(left: float, right: float, rounded: bool) -> None:
    assert Equation(left, right, (left,), "", False).rounded() is rounded


@pytest.mark.parametrize(
    ("terms", "value"),
    [
        ([2.0, "+", 3.0, "*", 4.0], 14.0),
        ([2.0, "*", "-", 3.0], -6.0),
        (["+", 3.0], 3.0),
        ([2.0, "(", 3.0, ")"], 6.0),
        ([50.0, "%", "*", 4.0], 2.0),
        ([2.0, "^", 3.0, "^", 2.0], 512.0),
        (["(", "-", 8.0, ")", "^", 0.5], None),
        ([10.0, "^", 400.0], None),
        ([1e9, "*", 1e9], None),
        ([1.0, "/", 0.0], None),
        ([1.0, ")"], None),
        (["(", 1.0, 2.0], None),
        (["*", 2.0], None),
        ([2.0, "+"], None),
        ([1.0, *["+", 1.0] * 30], None),
    ],
)
def test_evaluates_what_has_a_value(terms: list[float | str], value: float | None) -> None:
    assert evaluate(terms) == value


@given(st.text(alphabet="0123456789+-*/^=()<>%$x of.,\n≈"))
def test_reads_any_text(text: str) -> None:
    for complete in (True, False):
        for each in equations(text, complete=complete).found:
            assert abs(each.left) < 1e15
            assert each.error() >= 0


@given(st.integers(0, 999), st.sampled_from("+-*"), st.integers(0, 999), st.integers(0, 3))
def test_finds_exactly_the_sums_that_do_not_hold(left: int, operator: str, right: int, slip: int) -> None:
    result = {"+": left + right, "-": left - right, "*": left * right}[operator]
    (found,) = equations(f"There are {left} {operator} {right} = {result + slip} of them.").found
    assert (found.error() > 0) is (slip > 0)
