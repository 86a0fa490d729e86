"""ClickHouse, as the embedded engine chdb: one INSERT over all files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import chdb
from chdb import session

from members import archives_of, fresh_folder, on_all_cores, rewrap, unzip

_COLUMNS = ", ".join(
    ["time DateTime64(6, ''UTC'')"]
    + [f"{name} String" for name in ("source", "resourceID", "actorID", "tenantID", "action", "status")]
    + ["traceID Nullable(String)", "meta String"]
)
_META = ", ".join(f"{name} Nullable(String)" for name in ("clientip", "hsmid", "ouid", "partid", "role"))

_INSERT = """
INSERT INTO FUNCTION file('{out}/month={{_partition_id}}/events.parquet', 'Parquet') PARTITION BY month
SELECT time, source, resourceID AS resource_id, actorID AS actor_id, tenantID AS tenant_id, action, status,
    traceID AS trace_id, m.clientip AS client_ip, m.hsmid AS hsm_id, m.partid AS partition_id, m.role AS role,
    nullIf(m.ouid, '') AS ouid, _file AS archive, formatDateTime(time, '%Y-%m') AS month
FROM (
    SELECT *, _file, JSONExtract(meta, 'Tuple({meta})') AS m
    FROM file('{files}', 'JSONEachRow', '{columns}')
)
SETTINGS max_threads = {threads}, max_insert_threads = {threads}, date_time_input_format = 'best_effort',
    input_format_skip_unknown_fields = 1, output_format_parquet_compression_method = 'zstd',
    output_format_parquet_write_bloom_filter = 0
"""


def version() -> str:
    clickhouse = chdb.query("SELECT version()").bytes().decode().strip().strip('"')
    return f"{chdb.__version__} (ClickHouse {clickhouse})"


def from_unzipped(archives: Path, out: Path, work: Path, threads: int) -> None:
    """Inflated to disk first; ClickHouse reads lists in parallel pieces."""
    texts = fresh_folder(work / "unzipped")
    on_all_cores(partial(unzip, folder=texts), archives_of(archives), threads)
    _insert(texts / "*.json", out, work, threads)


def from_gzip(archives: Path, out: Path, work: Path, threads: int) -> None:
    """Deflated bytes in gzip frames; ClickHouse inflates and reads lists."""
    frames = fresh_folder(work / "gzip")
    on_all_cores(partial(rewrap, folder=frames), archives_of(archives), threads)
    _insert(frames / "*.json.gz", out, work, threads)


def _insert(files: Path, out: Path, work: Path, threads: int) -> None:
    out.mkdir(parents=True)
    statement = _INSERT.format(out=_quoted(out), files=_quoted(files), columns=_COLUMNS, meta=_META, threads=threads)
    engine = session.Session(str(work / "chdb"))
    try:
        engine.query(statement)
    finally:
        engine.close()


def _quoted(path: Path) -> str:
    """A path for use between single quotes; `file` takes patterns and names from the text alone."""
    return str(path).replace("\\", "\\\\").replace("'", "\\'")
