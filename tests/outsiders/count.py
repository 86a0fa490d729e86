"""Counts the rows of a store with readers that know nothing of keytrail, and prints the counts as JSON.

    count.py STORE  ->  {"reader": {"rows": N, "months": {...}, "actions": {...}, "first": "...", "last": "...",
                                           "traces": [N, "...", "..."]}, ...}
"""

import json
import sys
from pathlib import Path

import duckdb
import polars as pl
from deltalake import DeltaTable, QueryBuilder

TRACES = "count(DISTINCT trace_id) AS n, min(trace_id) AS a, max(trace_id) AS b"


def by_duckdb(events):
    table = f"read_parquet('{events}/month=*/*.parquet', hive_partitioning=true)"
    ask = duckdb.connect().execute
    first, last = ask(f"SELECT epoch_us(min(time)), epoch_us(max(time)) FROM {table}").fetchone()
    return {
        "rows": ask(f"SELECT count(*) FROM {table}").fetchone()[0],
        "months": dict(ask(f"SELECT month::VARCHAR, count(*) FROM {table} GROUP BY 1").fetchall()),
        "actions": dict(ask(f"SELECT coalesce(action, ''), count(*) FROM {table} GROUP BY 1").fetchall()),
        "first": first,
        "last": last,
        "traces": ask(f"SELECT {TRACES} FROM {table}").fetchone(),
    }


def by_polars(frame):
    counts = lambda name: dict(frame.group_by(pl.col(name).fill_null("")).agg(pl.len()).collect().rows())
    first, last = frame.select(pl.col("time").min().alias("a").dt.epoch("us"), pl.col("time").max().alias("b").dt.epoch("us")).collect().row(0)
    return {"rows": frame.select(pl.len()).collect().item(), "months": counts("month"), "actions": counts("action"),
            "first": first, "last": last,
            "traces": frame.select(pl.col("trace_id").drop_nulls().n_unique().alias("n"), pl.col("trace_id").min().alias("a"),
                                   pl.col("trace_id").max().alias("b")).collect().row(0)}


def by_deltalake(events):
    table = DeltaTable(str(events))
    builder = QueryBuilder().register("events", table)
    ask = lambda sql: [tuple(row.values()) for batch in pl_batches(builder.execute(sql)) for row in batch]
    first, last = ask("SELECT min(time) AS a, max(time) AS b FROM events")[0]
    return {
        "rows": ask("SELECT count(*) AS n FROM events")[0][0],
        "months": dict(ask("SELECT month, count(*) AS n FROM events GROUP BY month")),
        "actions": dict(ask("SELECT coalesce(action, '') AS a, count(*) AS n FROM events GROUP BY action")),
        "first": micros(first),
        "last": micros(last),
        "traces": ask(f"SELECT {TRACES} FROM events")[0],
    }


def pl_batches(reader):
    yield pl.DataFrame(reader.read_all()).to_dicts()


def micros(moment):
    return round(moment.timestamp() * 1_000_000)


def main():
    events = Path(sys.argv[1]) / "events"
    print(json.dumps({
        "duckdb, glob": by_duckdb(events),
        "polars, glob": by_polars(pl.scan_parquet(f"{events}/month=*/*.parquet", hive_partitioning=True)),
        "polars, delta": by_polars(pl.scan_delta(str(events))),
        "deltalake": by_deltalake(events),
    }))


if __name__ == "__main__":
    main()
