"""Counts what a converted folder holds, with DuckDB, and prints it as JSON.

    check.py FOLDER      FOLDER holds month=YYYY-MM/*.parquet

`digest` adds up a hash over all values of every row: folders with equal digests hold equal rows in whatever order.
"""

from __future__ import annotations

import json
import sys

import duckdb

VALUES = (
    "epoch_us(time)",
    *(
        f"{name}::VARCHAR"
        for name in (
            "source", "resource_id", "actor_id", "tenant_id", "action", "status", "trace_id",
            "client_ip", "hsm_id", "partition_id", "role", "ouid",
        )
    ),
)


def main(folder: str) -> None:
    connection = duckdb.connect()
    # A view takes no parameters.
    files = f"{folder}/month=*/*.parquet".replace("'", "''")
    connection.execute(f"CREATE VIEW events AS FROM read_parquet('{files}', hive_partitioning = true)")

    def rows(query: str) -> list[tuple[object, ...]]:
        return connection.execute(query).fetchall()

    digest = f"sum(hash({', '.join(VALUES)})::HUGEINT)"
    total, ouids, digest = rows(f"SELECT count(*), count(DISTINCT lower(ouid::VARCHAR)), {digest} FROM events")[0]
    json.dump(
        {
            "rows": total,
            "ouids": ouids,
            "months": dict(rows("SELECT month::VARCHAR, count(*) FROM events GROUP BY 1 ORDER BY 1")),
            "codes": dict(rows("SELECT action || ' ' || status, count(*) FROM events GROUP BY 1 ORDER BY 1")),
            "digest": str(digest),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(sys.argv[1])
