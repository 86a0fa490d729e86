"""DuckDB: one COPY over all files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import duckdb

from members import archives_of, fresh_folder, on_all_cores, rewrap, unzip

_META = '{"clientip":"VARCHAR","hsmid":"VARCHAR","ouid":"VARCHAR","partid":"VARCHAR","role":"VARCHAR"}'

_COPY = """
COPY (
    SELECT time::TIMESTAMP AS time, source, resourceID AS resource_id, actorID AS actor_id, tenantID AS tenant_id,
        action, status, traceID AS trace_id, m.clientip AS client_ip, m.hsmid AS hsm_id, m.partid AS partition_id,
        m.role AS role, nullif(m.ouid, '') AS ouid, parse_filename(filename) AS archive, left(time, 7) AS month
    FROM (
        SELECT *, json_transform(meta, '{meta}') AS m
        FROM read_json($files, format = 'array', filename = true, columns = {{
            time: 'VARCHAR', source: 'VARCHAR', resourceID: 'VARCHAR', actorID: 'VARCHAR', tenantID: 'VARCHAR',
            action: 'VARCHAR', status: 'VARCHAR', traceID: 'VARCHAR', meta: 'VARCHAR'
        }})
    )
) TO $out (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2, PARTITION_BY (month))
"""


def version() -> str:
    return duckdb.__version__


def from_unzipped(archives: Path, out: Path, work: Path, threads: int) -> None:
    """Inflated to disk first; DuckDB reads lists."""
    texts = fresh_folder(work / "unzipped")
    on_all_cores(partial(unzip, folder=texts), archives_of(archives), threads)
    _copy(texts / "*.json", out, threads)


def from_gzip(archives: Path, out: Path, work: Path, threads: int) -> None:
    """Deflated bytes in gzip frames; DuckDB inflates and reads lists."""
    frames = fresh_folder(work / "gzip")
    on_all_cores(partial(rewrap, folder=frames), archives_of(archives), threads)
    _copy(frames / "*.json.gz", out, threads)


def _copy(files: Path, out: Path, threads: int) -> None:
    with duckdb.connect(config={"threads": threads}) as connection:
        # Order costs, and nobody asked for one.
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(_COPY.format(meta=_META), {"files": str(files), "out": str(out)})
