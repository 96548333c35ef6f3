"""`models` and `routing` can be imported without Ray, torch or vLLM."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TORCH_MODULES = {f"models.abacus.{name}" for name in ("answering", "batches", "export", "network", "train", "trainer")}
"""What trains and runs the embedded models; nothing else imports them."""

IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sorted({"ray", "torch", "vllm"} & set(sys.modules)))
"""


def modules(package: str) -> list[str]:
    files = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return [name for name in names if name not in TORCH_MODULES]


@pytest.mark.parametrize("package", ["models", "routing"])
def test_importing_it_imports_no_ray_torch_or_vllm(package: str) -> None:
    names = modules(package)
    assert len(names) > 3

    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *names], capture_output=True, text=True, cwd=ROOT, check=False
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == ""
