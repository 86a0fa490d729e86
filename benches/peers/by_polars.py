"""Polars: streaming queries over batches of archives that fit into memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from members import archives_of, inflated, on_all_cores

# Bounds the memory of a batch: inflated it is six to nine times as much.
_BATCH_ARCHIVE_BYTES = 32 << 20

_TEXTS = {
    name: pl.String
    for name in ("time", "source", "resourceID", "actorID", "tenantID", "action", "status", "traceID", "meta")
}
_META = pl.Struct({name: pl.String for name in ("clientip", "hsmid", "ouid", "partid", "role")})


def version() -> str:
    return pl.__version__


def from_lists(archives: Path, out: Path, work: Path, threads: int) -> None:
    """Each member read as a list by one thread, side by side; one streaming query a batch shapes and writes them."""

    def frame(path: Path) -> pl.DataFrame:
        texts = [pl.read_json(text, schema=_TEXTS) for text in inflated(path)]
        return pl.concat(texts).with_columns(archive=pl.lit(path.name))

    for number, batch in enumerate(_batches(archives_of(archives))):
        _sink(pl.concat(on_all_cores(frame, batch, threads)).lazy(), out, number)


def from_lines(archives: Path, out: Path, work: Path, threads: int) -> None:
    """Lists cut into lines in memory, at a place known of these archives; Polars reads lines in parallel pieces."""

    def lines(path: Path) -> list[tuple[str, io.BytesIO]]:
        return [(path.name, io.BytesIO(_as_lines(text))) for text in inflated(path)]

    for number, batch in enumerate(_batches(archives_of(archives))):
        sources = [source for member in on_all_cores(lines, batch, threads) for source in member]
        frames = [pl.scan_ndjson(text, schema=_TEXTS).with_columns(archive=pl.lit(name)) for name, text in sources]
        _sink(pl.concat(frames), out, number)


def _as_lines(text: bytes) -> bytes:
    return text.strip()[1:-1].replace(b'},{"time":', b'}\n{"time":')


def _batches(paths: list[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for path in paths:
        length = path.stat().st_size
        if batch and size + length > _BATCH_ARCHIVE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += length
    if batch:
        yield batch


def _sink(frame: pl.LazyFrame, out: Path, batch: int) -> None:
    digits = pl.col("time").str.strip_suffix(" UTC").str
    moment = digits.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", time_zone="UTC")
    meta = pl.col("m").struct
    shaped = frame.with_columns(m=pl.col("meta").str.json_decode(_META)).select(
        moment.alias("time"),
        "source",
        resource_id="resourceID",
        actor_id="actorID",
        tenant_id="tenantID",
        action="action",
        status="status",
        trace_id="traceID",
        client_ip=meta.field("clientip"),
        hsm_id=meta.field("hsmid"),
        partition_id=meta.field("partid"),
        role=meta.field("role"),
        ouid=pl.when(meta.field("ouid") != "").then(meta.field("ouid")),
        archive="archive",
        month=pl.col("time").str.head(7),
    )

    def name(file: pl.io.partition.FileProviderArgs) -> str:
        # Batches write into the same folders.
        return f"month={file.partition_keys.item(0, 0)}/batch-{batch}-{file.index_in_partition}.parquet"

    target = pl.PartitionBy(out, key="month", include_key=False, file_path_provider=name)
    shaped.sink_parquet(target, compression="zstd", mkdir=True, maintain_order=False, engine="streaming")
