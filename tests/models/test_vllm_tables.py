"""What `models` knows of vLLM by heart, held against vLLM itself."""

import json
import subprocess
import sys

import pytest

from models.quantizations import ANYWHERE, DEPRECATED, GPU_ONLY, PLUGINS, QUANTIZATIONS
from models.reserved_options import RESERVED_OPTIONS
from models.vllm_options import ONE_WAY_SWITCHES, OPTIONS, SWITCHES, VALUED

PRINT_TABLES = """
import json
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.model_executor.layers import quantization
from vllm.utils.argparse_utils import FlexibleArgumentParser
tables = {"BooleanOptionalAction": [], "_StoreTrueAction": [], "valued": []}
for action in make_arg_parser(FlexibleArgumentParser())._actions:
    names = [name[2:] for name in action.option_strings if name.startswith("--") and not name.startswith("--no-")]
    tables.get(type(action).__name__, tables["valued"]).extend(name for name in names if name != "help")
tables["methods"] = quantization.QUANTIZATION_METHODS
tables["deprecated"] = quantization.DEPRECATED_QUANTIZATION_METHODS
print("TABLES", json.dumps(tables))
"""


def test_a_quantization_either_needs_a_gpu_or_does_not() -> None:
    assert not ANYWHERE & GPU_ONLY.keys()
    assert PLUGINS.keys() <= GPU_ONLY.keys()


def test_an_option_is_of_one_kind() -> None:
    assert len(OPTIONS) == len(SWITCHES) + len(ONE_WAY_SWITCHES) + len(VALUED)


def test_every_reserved_option_exists() -> None:
    assert RESERVED_OPTIONS.keys() <= OPTIONS


@pytest.mark.slow
def test_the_tables_say_what_vllm_says() -> None:
    pytest.importorskip("vllm")
    # A process of its own: vLLM warns while it is imported, and warnings are errors here.
    run = subprocess.run([sys.executable, "-c", PRINT_TABLES], capture_output=True, text=True, check=True)
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("TABLES ")]
    tables = {name: set(values) for name, values in json.loads(line.removeprefix("TABLES ")).items()}

    assert tables["BooleanOptionalAction"] == SWITCHES
    assert tables["_StoreTrueAction"] == ONE_WAY_SWITCHES
    assert tables["valued"] == VALUED
    assert tables["methods"] == QUANTIZATIONS - PLUGINS.keys()
    assert tables["deprecated"] == DEPRECATED
