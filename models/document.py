"""A YAML file as plain data that remembers the line of every key, and the problems found in it.

Knows nothing of what the data means. Never raises on bad input: whatever is wrong with the file is a problem, so that
it can be reported together with everything else. Keys are always text; a key given twice is a problem.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

Location: TypeAlias = tuple[str | int, ...]
"""Where in the data: keys and list positions from the top."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is and what to do about it."""

    location: Location
    message: str
    source: str = ""
    """Where it was written down, when that is not the file."""
    meant: Location = ()
    """The place that was probably meant; that nothing stands there is no second mistake."""


@dataclass(slots=True)
class Document:
    """A file read once: its data (None when unreadable), the line of each location, and what was wrong so far."""

    path: Path
    data: object = None
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, *problems: Problem) -> None:
        """Note problems found by whoever understands the data."""
        self.problems.extend(problems)

    def at(self, location: Location) -> object:
        """The data at a location, None when there is none."""
        data = self.data
        for part in location:
            try:
                data = data[part]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                return None
        return data

    def report(self) -> list[str]:
        """Every problem once, as `file:line: key: message`, in the order of the file."""
        unique = dict.fromkeys(self.problems)
        return [self._sentence(problem) for problem in sorted(unique, key=lambda p: self._line(p.location))]

    def _sentence(self, problem: Problem) -> str:
        file = f"{self.path}:{self._line(problem.location)}" if self.lines else f"{self.path}"
        parts = (problem.source or file, dotted(problem.location), problem.message)
        return ": ".join(part for part in parts if part)

    def _line(self, location: Location) -> int:
        """The line of a location, or of the nearest thing around it that is written down."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def dotted(location: Sequence[str | int]) -> str:
    """`("models", 1, "engine")` as people write it: `models[1].engine`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def read_document(path: Path) -> Document:
    """Read a YAML file whose top level is a mapping."""
    document = Document(path)
    try:
        _read_into(document)
    except OSError as error:
        document.add(Problem((), f"cannot be read: {error.strerror}"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.lines[()] = mark.line + 1 if mark else 1
        document.add(Problem((), f"not valid YAML: {error.problem or error.context}"))
    except yaml.YAMLError as error:
        document.add(Problem((), f"not valid YAML: {str(error).splitlines()[0]}"))
    return document


def _read_into(document: Document) -> None:
    loader = _Loader(document.path.read_bytes())
    try:
        root = loader.get_single_node()
        if root is None:
            document.add(Problem((), "the file is empty"))
        elif not isinstance(root, yaml.MappingNode):
            document.add(Problem((), "the top level must be a mapping of keys to values"))
        else:
            document.data = _Walk(loader, document).value(root, ())
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Safe YAML in which `1e-6` is a number too, as it is everywhere but in YAML 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+][0-9]+$"), list("-+0123456789")
)


class _Walk:
    """Turns nodes into data, noting lines and keys given twice."""

    def __init__(self, loader: _Loader, document: Document) -> None:
        self._loader = loader
        self._document = document
        self._open: list[yaml.Node] = []
        self._flattened: list[yaml.Node] = []

    def value(self, node: yaml.Node, at: Location) -> object:
        self._document.lines.setdefault(at, node.start_mark.line + 1)
        if any(node is outer for outer in self._open):
            self._document.add(Problem(at, "an alias may not contain itself"))
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, at)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*at, i)) for i, item in enumerate(node.value)]
            return self._loader.construct_object(node)
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.MappingNode, at: Location) -> dict[str, object]:
        if not any(node is done for done in self._flattened):
            self._note_twice(node, at)
            self._loader.flatten_mapping(node)
            self._flattened.append(node)
        found: dict[str, object] = {}
        for key, value in node.value:
            name = str(key.value)
            self._document.lines[(*at, name)] = key.start_mark.line + 1
            found[name] = self.value(value, (*at, name))
        return found

    def _note_twice(self, node: yaml.MappingNode, at: Location) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                self._document.add(Problem((*at, name), f"given twice, first in line {seen[name]}"))
            seen.setdefault(name, line)
