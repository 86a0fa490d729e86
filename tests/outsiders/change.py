"""Commits to the table of a store as a program does that knows nothing of keytrail.

    change.py STORE append      three rows of it again
    change.py STORE optimize    its files merged
    change.py STORE checkpoint  a checkpoint, and no commit
"""

import sys
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, write_deltalake


def main(store, what):
    events = str(Path(store) / "events")
    table = DeltaTable(events)
    if what == "append":
        write_deltalake(events, pl.scan_delta(events).head(3).collect(), mode="append")
    elif what == "optimize":
        assert table.optimize.compact()["numFilesRemoved"] > 1
    elif what == "checkpoint":
        table.create_checkpoint()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
