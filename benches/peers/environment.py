"""What a run needs and where it takes place: the peers' virtual environment, our programs, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


class Missing(Exception):
    """Something that has to be there is not."""


def python_of_peers() -> Path:
    """The interpreter of an environment with the pinned peers, made where it is missing or has other versions."""
    venv = Path(os.environ.get("KEYTRAIL_PEERS_VENV", Path.home() / ".cache" / "keytrail-peers-venv"))
    wanted = HERE / "requirements.txt"
    installed = venv / "installed.txt"
    python = venv / "bin" / "python"
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        _must([sys.executable, "-m", "venv", str(venv)])
        _must([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(wanted)])
        installed.write_bytes(wanted.read_bytes())
    return python


def keytrail(given: str | None) -> Path:
    """Our program: the one that was named, or the release build."""
    path = Path(given) if given else _target() / "release" / "keytrail"
    if not os.access(path, os.X_OK):
        raise Missing(f"{path} is not there; build it with `cargo build --release`, or name one with --keytrail")
    return path.resolve()


def inflate_only() -> Path:
    """The floor, built where it is not up to date."""
    _must(["cargo", "build", "--release", "--locked", "--quiet", "-p", "keytrail-baseline"], folder=REPOSITORY)
    return _target() / "release" / "inflate-only"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def machine() -> str:
    """Cores, processor, memory and system in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores()} cores of {_processor()}, {memory:.0f} GiB of memory, {platform.system()} {platform.release()}"


def commit() -> str:
    """The commit of this repository, marked where files differ from it."""
    asked = subprocess.run(
        ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True, text=True, check=False,
    )
    return asked.stdout.strip() or "unknown"


def _target() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _must(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"{' '.join(command)}: {done.stderr.strip()[-600:]}")
