"""``make audit`` does not take silence for safety."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

PIP_AUDIT = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
[ -n "$ANSWER" ] || { echo "ERROR: connection refused" >&2; exit 1; }
echo "$ANSWER" > "$2"
"""
SAFE = '{"name": "a", "version": "1", "vulns": []}'
UNKNOWN = '{"name": "b", "skip_reason": "not found"}'
VULNERABLE = '{"name": "c", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}'


@pytest.mark.process
@pytest.mark.parametrize(
    ("packages", "status", "words"),
    [
        (None, 3, "cannot be reached (ERROR: connection refused)"),
        ([UNKNOWN], 3, "nothing was checked"),
        ([SAFE, UNKNOWN], 0, "does not know them: b\n0 known vulnerabilities in 1 packages"),
        ([SAFE, VULNERABLE], 1, "c 1: CVE-1, fixed in 2"),
    ],
)
def test_its_status_says_what_is_known(packages: list[str] | None, status: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "pip-audit").write_text(PIP_AUDIT)
    (tmp_path / "pip-audit").chmod(0o755)
    answer = "" if packages is None else f'{{"dependencies": [{", ".join(packages)}]}}'
    done = subprocess.run(
        [tmp_path / "python", "-I", ROOT / ".ci" / "audit"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ANSWER": answer},
    )
    assert (done.returncode, done.stderr) == (status, "")
    assert words in done.stdout
