"""How a process uses its machine."""

import os
import platform
import subprocess
import sys

import pytest

from asid.process import KEEP_MEMORY

FAULTS = """
import resource
import numpy as np
from asid.process import keep_freed_memory

keep_freed_memory()
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    a, b = np.ones(3_000_000), np.ones(3_000_000)  # 24 MB each
    del a, b
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.process
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
@pytest.mark.parametrize(("value", "kept"), [(None, True), ("1", True), ("0", False)])
def test_freed_memory_is_kept_unless_the_environment_says_otherwise(value: str | None, kept: bool) -> None:
    environment = {name: text for name, text in os.environ.items() if name != KEEP_MEMORY}
    environment |= {KEEP_MEMORY: value} if value else {}
    faults = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True)
    assert (int(faults.stdout) < 100) == kept
