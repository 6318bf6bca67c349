"""Kernels for a processor other than this one: ARM's code, which cannot run here, is compiled and read."""

import os
import re
import subprocess
import sys

import pytest

from headwise.jit import numba_available

COMPILE = """
import re
from llvmlite import binding
from numba import njit, types
from headwise.attention.compiled.processor import PROCESSOR
from headwise.attention.compiled.simd import block_product
from headwise.attention.compiled.vector_ops import powers

assert (PROCESSOR.name, PROCESSOR.vector_bytes, PROCESSOR.registers) == ("NEON", 16, 32)
real, array, n = types.float32, types.CPointer(types.float32), types.intp
block = block_product(6, 4)

def product(c, c0, cr, a, a0, ar, ac, b, b0, br, depth, add):
    block(c, c0, cr, a, a0, ar, ac, b, b0, br, depth, add)

def exponentials(a, b, x, y, unit, rows, width):
    powers(a, b, x, y, unit, rows, width)

binding.initialize_all_targets()
binding.initialize_all_asmprinters()
machine = binding.Target.from_triple("aarch64-linux-gnu").create_target_machine(features="+neon", opt=3)
for function, arguments in (
    (product, (array, n, n, array, n, n, n, array, n, n, n, types.boolean)),
    (exponentials, (array, array, array, array, real, n, n)),
):
    (code,) = njit(types.void(*arguments), error_model="numpy")(function).inspect_llvm().values()
    code = re.sub('target triple = ".*"', 'target triple = "aarch64-linux-gnu"', code)
    code = re.sub('target datalayout = ".*"', f'target datalayout = "{machine.target_data}"', code)
    code = re.sub('"target-(cpu|features)"="[^"]*"', "", code)
    print(machine.emit_assembly(binding.parse_assembly(code)), "=" * 9)
"""


@pytest.mark.skipif(not numba_available(), reason="needs numba")
def test_products_and_exponentials_use_the_vectors_of_arm():
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+neon"}
    run = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert not run.returncode, run.stderr
    product, exponentials, _ = run.stdout.split("=" * 9)
    loops = [body for body in re.split(r"\n\.\w+:", product) if "fmla" in body]
    assert any(len(re.findall(r"fmla\s+v\d+\.4s", body)) == 24 and "sp" not in body for body in loops)  # in registers
    assert len(re.findall(r"fmla\s+v\d+\.4s|fmls\s+v\d+\.4s", exponentials)) >= 7
    for code in (product, exponentials):
        assert not re.findall(r"\b(?:fmadd|fmul|fadd)\s+s\d+", code)  # nothing is computed number by number
