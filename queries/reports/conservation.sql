-- Where every record read went, over the whole store and over the archives that touch the month.
--
-- conserved        read = stored + duplicates + rejected; for the store also: what the archives stored stands in events, or was forgotten
-- salvaged         archives that are damaged and stored in part
-- forgotten        rows that were removed on purpose, of whatever month; null for the month
-- rows_in_events   rows of events; null for the month, whose archives also hold records of other months
WITH whole AS (
    SELECT
        count(*) AS archives,
        count(*) FILTER (WHERE status = 'salvaged') AS salvaged,
        coalesce(sum(read), 0) AS read,
        coalesce(sum(stored), 0) AS stored,
        coalesce(sum(duplicates), 0) AS duplicates,
        coalesce(sum(rejected), 0) AS rejected
    FROM archives
),
touching AS (
    SELECT
        count(*) AS archives,
        count(*) FILTER (WHERE status = 'salvaged') AS salvaged,
        coalesce(sum(read), 0) AS read,
        coalesce(sum(stored), 0) AS stored,
        coalesce(sum(duplicates), 0) AS duplicates,
        coalesce(sum(rejected), 0) AS rejected
    FROM archives
    WHERE first_time < $until AND last_time >= $from
),
rows AS (
    SELECT count(*) AS rows_in_events FROM events
),
removed AS (
    SELECT coalesce(sum(f.rows), 0) AS forgotten FROM forgotten AS f
)
SELECT
    'store' AS scope, archives, salvaged, read, stored, duplicates, rejected, forgotten, rows_in_events,
    read = stored + duplicates + rejected AND stored = rows_in_events + forgotten AS conserved
FROM whole CROSS JOIN rows CROSS JOIN removed
UNION ALL
SELECT
    'archives of the month' AS scope, archives, salvaged, read, stored, duplicates, rejected, CAST(NULL AS BIGINT) AS forgotten,
    CAST(NULL AS BIGINT) AS rows_in_events,
    read = stored + duplicates + rejected AS conserved
FROM touching
ORDER BY scope
