-- What is odd about the archives that touch the month, and about their side files: a row for each note of the ledger.
WITH notes AS (
    SELECT path, archive, unnest(json_items(notes)) AS note
    FROM archives
    WHERE first_time < $until AND last_time >= $from
)
SELECT
    path,
    json_text(note, 'kind') AS kind,
    CAST(json_text(note, 'offset') AS BIGINT) AS "offset",
    CAST(json_text(note, 'bytes') AS BIGINT) AS bytes,
    json_text(note, 'text') AS note,
    json_text(note, 'sha256') AS sha256,
    archive
FROM notes
ORDER BY path, archive, "offset", kind, note
