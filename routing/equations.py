"""Equations in running text, of any notation: `12 girls / 3 = 4 girls`, `(6 / 12) x 100 = 50%`, `<<48/2=24>>`.

Text in, equations with the value of both sides out; nothing is judged here. One pass over the text. Units between
numbers are read over; a side with an unknown in it (`3x + 4`) has no value and makes no equation.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<number>\d+(?:,\d{3})+(?:\.\d+)?|\d*\.?\d+)"
    r"|(?P<power>(?<=[\d)])\*\*(?=[\d(]))"
    r"|(?P<skip>\*\*|[$€£\\]|\([^()\d]*\))"
    r"|(?P<equals>=+|≈)"
    r"|(?P<operator>[-+*/^\u00d7÷\u2212·])"
    r"|(?P<bracket>[()])"
    r"|(?P<percent>%)"
    r"|(?P<mark><<|>>)"
    r"|(?P<word>[^\W\d_]+)"
    r"|(?P<stop>\n\s*(?:[-*•]\s+)?|[^\s])"
)
_SAME = {"\u00d7": "*", "÷": "/", "\u2212": "-", "·": "*", "**": "^"}
_SPOKEN = {"times": "*", "plus": "+", "minus": "-", "divided": "/", "multiplied": "*", "of": "*", "x": "*", "X": "*"}
_LINKS = frozenset({"by", "div", "cdot"})
_LONGEST = 48
"""Terms of one side; a longer one has no value."""
_UNIT_WORDS = 4
"""Read over between a number and what goes on from it."""
_CLOSE = 0.02
MOST = 1e15
"""No number is taken to be larger, and no sum of this size has a value."""

Term = float | str


@dataclass(frozen=True, slots=True)
class Equation:
    """`left` = `right`, as the text claims."""

    left: float
    right: float
    operands: tuple[float, ...]
    """The numbers of the left side."""
    operators: str
    """And its operators, one character each."""
    percent: bool
    """Does either side say %?"""

    def error(self) -> float:
        """How far the sides are apart: 0 when they agree to 0.02, as percent or not."""
        gap = abs(self.left - self.right)
        if self.percent:
            gap = min(gap, abs(self.left - 100 * self.right), abs(100 * self.left - self.right))
        return gap if gap > _CLOSE else 0.0

    def rounded(self) -> bool:
        """Is the error no more than rounding?"""
        gap = self.error()
        return 0.0 < gap <= 0.006 * max(abs(self.left), abs(self.right)) or (
            0.0 < gap <= 0.51 and self.left != int(self.left)
        )


@dataclass(frozen=True, slots=True)
class Equations:
    """Those of a text in its order, each once."""

    found: tuple[Equation, ...]
    unread: int
    """Equals signs whose sides differ as far as they can be read, but have more in them: algebra, words."""


_NONE = Equations((), 0)


def equations(text: str, *, complete: bool = True) -> Equations:
    """The equations of `text`. What an incomplete text ends in is left out: its number may go on."""
    if "=" not in text and "≈" not in text and "equals" not in text:
        return _NONE
    text = f"\n{text}"
    scan = _Scan(text)
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind != "skip":
            getattr(scan, f"_{kind}")(match.group(), match.start(), match.end())
    if complete:
        scan.flush()
    return Equations(tuple(dict.fromkeys(scan.found)), scan.unread)


class _Scan:
    """The side that is being read, and the one before the last equals sign."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.found: list[Equation] = []
        self.unread = 0
        self._outer: list[tuple[list[Term], list[Term], float | None, bool, bool]] = []
        self._side: list[Term] = []
        self._before: list[Term] = []
        self._before_unknown = False
        self._value: float | None = None
        self._words = 0
        self._unknown = False
        """Is there something in or before this side that has no value?"""

    def flush(self) -> None:
        """The chain ends here."""
        self._close()

    def _close(self, *, equals: bool = False) -> None:
        """This side ends: compare it with the one before its equals sign, if there is one."""
        side = self._side
        while side and type(side[-1]) is str and side[-1] in "+-*/^(":
            side.pop()
        value = evaluate(side) if side else None
        if self._value is not None and value is not None:
            self._compare(self._value, value)
        self._before, self._value, self._before_unknown = side, value, self._unknown
        self._side, self._words, self._unknown = [], 0, False
        if not equals:
            self._value = None

    def _compare(self, left: float, right: float) -> None:
        operators = "".join(term for term in self._before if type(term) is str and term not in "()")
        numbers = tuple(term for term in self._before if type(term) is float)
        equation = Equation(left, right, numbers, operators, "%" in self._side or "%" in operators)
        known = not (self._unknown or self._before_unknown)
        if known and (operators or any(type(term) is str and term in "+-*/^" for term in self._side)):
            self.found.append(equation)
        elif equation.error():
            self.unread += 1

    def _ends_in_operand(self) -> bool:
        return bool(self._side) and (type(self._side[-1]) is float or self._side[-1] in (")", "%"))

    def _number(self, token: str, start: int, end: int) -> None:
        if self._ends_in_operand():
            self.flush()
        if not self._side:
            self._unknown = False  # what came before was only words
        self._side.append(min(MOST, float(token.replace(",", ""))))

    def _operator(self, token: str, start: int, end: int) -> None:
        self._side.append(_SAME.get(token, token))
        self._words = 0

    _power = _operator

    def _bracket(self, token: str, start: int, end: int) -> None:
        side = self._side
        if token == "(":
            if self._ends_in_operand() and self._text[start - 1] == " ":
                self.flush()  # a remark
            if not self._side:
                self._unknown = False
            self._side.append("(")
        elif side.count("(") > side.count(")"):
            side.append(")")
            self._words = 0
        else:
            self.flush()
            self._unknown = True

    def _percent(self, token: str, start: int, end: int) -> None:
        if self._ends_in_operand():
            self._side.append("%")

    def _equals(self, token: str, start: int, end: int) -> None:
        self._close(equals=True)

    def _mark(self, token: str, start: int, end: int) -> None:
        if token == "<<":
            self._outer.append((self._side, self._before, self._value, self._unknown, self._before_unknown))
            self._side, self._before, self._value, self._unknown = [], [], None, False
            return
        self.flush()
        if self._outer:
            self._side, self._before, self._value, self._unknown, self._before_unknown = self._outer.pop()

    def _word(self, token: str, start: int, end: int) -> None:
        if token == "equals":
            self._close(equals=True)
        elif self._ends_in_operand():
            self._word_after_operand(token, start, end)
        elif token in _LINKS:
            return
        elif len(self._side) > 1 and self._side[-1] == "/":  # eggs/day
            self._side.pop()
            self._words += 1
        else:
            self.flush()
            self._unknown = True

    def _word_after_operand(self, token: str, start: int, end: int) -> None:
        glued = start > 0 and not self._text[start - 1].isspace() and self._text[start - 1] not in "\\-"
        operator = _SPOKEN.get(token)
        if token == "of" and not self._is_share():
            operator = None
        if operator and (not glued or self._text[end : end + 1].isdigit()):
            self._side.append(operator)
            self._words = 0
        elif glued and self._text[start - 1] in "0123456789)":
            self._unknown = True  # 3x
        else:
            self._words += 1
            if self._words > _UNIT_WORDS:
                self.flush()
                self._unknown = True

    def _is_share(self) -> bool:
        """Is it 50 % or 1/3 that is taken "of" something?"""
        return not self._words and (self._side[-1] == "%" or "/" in self._side[-2:-1])

    def _stop(self, token: str, start: int, end: int) -> None:
        self.flush()


def evaluate(terms: Sequence[Term]) -> float | None:
    """The value of numbers, `+-*/^`, postfix `%` and brackets; None for what has none."""
    if len(terms) > _LONGEST:
        return None
    reader = _Reader([*terms, ")"] if terms.count("(") > terms.count(")") else list(terms))
    try:
        value = reader.sum()
    except (ValueError, ZeroDivisionError, OverflowError, IndexError):
        return None
    return value if reader.done() and abs(value) < MOST else None


class _Reader:
    """Recursive descent; raises `ValueError` or `IndexError` for what is no expression."""

    def __init__(self, terms: list[Term]) -> None:
        self._terms = terms
        self._at = 0

    def done(self) -> bool:
        return self._at == len(self._terms)

    def _next_in(self, operators: str) -> str:
        """The next term, taken, if it is one of `operators`; else nothing."""
        if self._at < len(self._terms):
            term = self._terms[self._at]
            if type(term) is str and term in operators:
                self._at += 1
                return term
        return ""

    def sum(self) -> float:
        value = self._product()
        while operator := self._next_in("+-"):
            other = self._product()
            value = value + other if operator == "+" else value - other
        return value

    def _product(self) -> float:
        value = self._power()
        while operator := self._next_in("*/("):
            if operator == "(":
                self._at -= 1
            other = self._power()
            value = value / other if operator == "/" else value * other
        return value

    def _power(self) -> float:
        value = self._atom()
        if not self._next_in("^"):
            return value
        exponent = self._power()
        if value < 0 and exponent != int(exponent):
            raise ValueError("no real power")
        return float(value**exponent)

    def _atom(self) -> float:
        if sign := self._next_in("+-"):
            value = self._atom()
            return -value if sign == "-" else value
        if self._next_in("("):
            value = self.sum()
            if not self._next_in(")"):
                raise ValueError("a bracket is open")
        else:
            term = self._terms[self._at]
            if type(term) is not float:
                raise ValueError(f"{term!r} is no number")
            value = term
            self._at += 1
        while self._next_in("%"):
            value /= 100
        return value
