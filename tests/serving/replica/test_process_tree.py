"""Processes below one, on this very machine."""

import os
import subprocess
import sys

import pytest

from serving.replica.process_tree import descendants

CHILD_WITH_CHILD = (
    "import subprocess, sys;"
    "c = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=sys.stdin);"
    "print(c.pid, flush=True); c.wait()"
)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no /proc on this system")
def test_finds_children_and_their_children() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD_WITH_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert descendants(child.pid) == (grandchild,)
        assert {child.pid, grandchild} <= set(descendants(os.getpid()))
        child.communicate("\n")
    assert grandchild not in descendants(os.getpid())


def test_an_unknown_process_has_none() -> None:
    assert descendants(2**22 + 1) == ()
