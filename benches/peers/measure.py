"""One command as a child process: time, processor time, memory, what it said.

Knows nothing of engines. The parent must stay small: Linux counts the memory of the parent at the moment of the fork
towards the child's peak.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_LAST_WORDS = 600


@dataclass(frozen=True)
class Run:
    """How a command went; seconds, bytes."""

    wall: float
    cpu: float
    peak_memory: int
    stdout: str
    fault: str | None = None


def run(command: Sequence[str | Path], timeout: float) -> Run:
    """Runs a command to its end, or to its timeout; a command that fails is a Run with a fault."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        start = time.perf_counter()
        words = [str(part) for part in command]
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        killer = threading.Timer(timeout, child.kill)
        killer.start()
        try:
            # Usage includes that of the child's own children, as far as it waited for them.
            _, status, usage = os.wait4(child.pid, 0)
        finally:
            killer.cancel()
        wall = time.perf_counter() - start
        code = os.waitstatus_to_exitcode(status)
        # Popen must not wait for it once more.
        child.returncode = code
        said = _text(stdout)
        fault = None
        if code != 0:
            end = f"exit code {code}" if code > 0 else f"signal {-code}"
            if wall >= timeout:
                end = f"stopped after {timeout:.0f} s"
            fault = f"{end}: {_text(stderr).strip()[-_LAST_WORDS:]}"
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, said, fault)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def size_of(folder: Path, pattern: str = "**/*") -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())
