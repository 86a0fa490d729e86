"""Converts a folder of ZIPs with one engine in one form; a process of its own, so that it can be measured.

    convert.py FORM ARCHIVES OUT WORK THREADS      FORM as in FORMS; `convert.py --version ENGINE` tells a version
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

FORMS: dict[str, tuple[str, str]] = {
    "duckdb unzipped": ("by_duckdb", "from_unzipped"),
    "duckdb gzip": ("by_duckdb", "from_gzip"),
    "chdb unzipped": ("by_chdb", "from_unzipped"),
    "chdb gzip": ("by_chdb", "from_gzip"),
    "polars lists": ("by_polars", "from_lists"),
    "polars lines": ("by_polars", "from_lines"),
}


def main(arguments: list[str]) -> int:
    match arguments:
        case ["--version", engine]:
            print(importlib.import_module(f"by_{engine}").version())
        case [form, archives, out, work, threads]:
            module, function = FORMS[form]
            # Read when Polars is loaded.
            os.environ["POLARS_MAX_THREADS"] = threads
            getattr(importlib.import_module(module), function)(Path(archives), Path(out), Path(work), int(threads))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
