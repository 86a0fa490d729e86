-- Which time of each service the archives cover, one row per month, service and span: covered, gap, seam, overlap, silent_day, partial.
--
-- resource_id   the service; source_kind tells HSM records from those of CipherTrust (ciphertrust), which count as a service of their own;
--               unknown is a service that exports were asked for, of which no record was ever seen
-- kind          covered      time that at least one archive covers wholly, joined where archives touch
--               gap          time of the month that none covers
--               seam         the same where it is no longer than a second, as between windows that end at 23:59:59
--               overlap      time that two archives or more cover, also where all records of one were duplicates of the other
--               silent_day   a day (UTC) within covered time, seams aside, without a record of the service; not told of forgotten months
--               partial      time that an archive covers only in part, one row per archive; detail says why
-- basis         request      by the windows that exports were asked for
--               records      by first and last record of the service in an archive whose window is unknown: a guess. A gap with this basis
--                            has such an edge, or none, and may be nothing but a quiet time between two exports
--               mixed        covered time that needs both
-- from_time, to_time   the first moment and the first one behind the span; for records one microsecond behind the last one
-- archives      how many archives make up a covered span; archive names the one of a partial row
--
-- What a single archive covers stands in archive_coverage, cut into months, with the reason (shortfall) where that is not all. A window counts
-- where from is before to, it is no longer than 366 days, its job did not start before it, and no record of its archive lies outside of it (a
-- second past its end is allowed: whether the end belongs to it is unknown); it ends when its job started. Without a filter it covers all services
-- of the tenants whose records the archive holds, and of those that were met together with them in some archive; one without records counts
-- where all tenants of the store were. Filters by resourceId,
-- source and tenantId narrow it to the services all of whose records pass; any other filter makes it partial, as do a state other than SUCCEEDED
-- and an archive that was salvaged. A failed archive covers nothing. An export can be narrowed by the permissions of who asked for it without
-- a trace in the file: no view can know that.
--
-- First and last record are taken before duplicates are dropped (archive_services), so what an archive shows does not depend on which came
-- first; archives of which that is not known (basis stored there) are told by their rows in events. Records more than 366 days apart in one
-- archive are partial. service_months lists a service from the first month in which an archive shows it or was asked for it, to the last
-- month of all; not the years before a stray date. keytrail coverage adds the months that it is asked for: there each service that was met by
-- then is listed, and all of them before the first month of all.
WITH pieces AS (
    SELECT
        archive, resource_id, source_kind, month, basis = 'request' AS is_request, shortfall,
        CAST(from_time AS BIGINT) AS from_us, CAST(to_time AS BIGINT) AS until_us
    FROM archive_coverage
),
months AS (
    SELECT resource_id, source_kind, month, CAST(from_time AS BIGINT) AS from_us, CAST(to_time AS BIGINT) AS until_us
    FROM service_months
),
reached AS (
    -- How far the pieces before reach; the lowest bit says that it is a window that reaches so far.
    SELECT
        *,
        max(until_us * 2 + CASE WHEN is_request THEN 1 ELSE 0 END) OVER (
            PARTITION BY resource_id, source_kind, month
            ORDER BY from_us, is_request DESC, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reach,
        max(CASE WHEN is_request THEN until_us END) OVER (
            PARTITION BY resource_id, source_kind, month
            ORDER BY from_us, is_request DESC, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS windows_reach
    FROM pieces
    WHERE shortfall IS NULL
),
islands AS (
    SELECT
        *,
        sum(CASE WHEN reach IS NULL OR from_us > (reach >> 1) THEN 1 ELSE 0 END) OVER (
            PARTITION BY resource_id, source_kind, month
            ORDER BY from_us, is_request DESC, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island
    FROM reached
),
covered AS (
    SELECT
        resource_id, source_kind, month, min(from_us) AS from_us, max(until_us) AS until_us,
        CASE
            WHEN NOT bool_or(is_request) THEN 'records'
            -- The windows alone reach from end to end without a break.
            WHEN min(from_us) FILTER (WHERE is_request) = min(from_us)
                AND max(until_us) FILTER (WHERE is_request) = max(until_us)
                AND count(*) FILTER (WHERE is_request AND (windows_reach IS NULL OR from_us > windows_reach)) <= 1
                THEN 'request'
            ELSE 'mixed'
        END AS basis,
        count(DISTINCT archive) AS archives
    FROM islands
    GROUP BY resource_id, source_kind, month, island
),
edges AS (
    -- Where the covered time of a month begins and ends; the lowest bit says by what.
    SELECT
        resource_id, source_kind, month,
        min(from_us * 2 + CASE WHEN is_request THEN 0 ELSE 1 END) AS head,
        max(until_us * 2 + CASE WHEN is_request THEN 1 ELSE 0 END) AS tail
    FROM pieces
    WHERE shortfall IS NULL
    GROUP BY resource_id, source_kind, month
),
ends AS (
    -- A record may have no resource_id, and all keys have to be compared in one way for the engine to hash them.
    SELECT months.resource_id, months.source_kind, months.month, from_us, until_us, head, tail
    FROM months
    LEFT JOIN edges
        ON (months.resource_id IS NOT DISTINCT FROM edges.resource_id)
        AND (months.source_kind IS NOT DISTINCT FROM edges.source_kind)
        AND (months.month IS NOT DISTINCT FROM edges.month)
),
holes AS (
    SELECT
        resource_id, source_kind, month, reach >> 1 AS from_us, from_us AS until_us, is_request AND reach % 2 <> 0 AS is_between_windows
    FROM reached
    WHERE from_us > (reach >> 1)
    UNION ALL
    SELECT
        resource_id, source_kind, month,
        CASE WHEN side = 'head' THEN from_us ELSE tail >> 1 END AS from_us,
        CASE WHEN side = 'head' THEN coalesce(head >> 1, until_us) ELSE until_us END AS until_us,
        CASE WHEN side = 'head' THEN coalesce(head % 2 = 0, false) ELSE tail % 2 <> 0 END AS is_between_windows
    FROM ends
    CROSS JOIN (VALUES ('head'), ('tail')) AS sides (side)
),
shared AS (
    -- A piece and what reaches over its beginning share time; together that is all the time that is covered twice.
    SELECT archive, resource_id, source_kind, month, from_us, least(until_us, reach >> 1) AS until_us
    FROM reached
    WHERE (reach >> 1) > from_us
),
doubled AS (
    SELECT
        *,
        max(until_us) OVER (
            PARTITION BY resource_id, source_kind, month
            ORDER BY from_us, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS shared_until
    FROM shared
),
doubled_islands AS (
    SELECT
        *,
        sum(CASE WHEN shared_until IS NULL OR from_us > shared_until THEN 1 ELSE 0 END) OVER (
            PARTITION BY resource_id, source_kind, month
            ORDER BY from_us, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island
    FROM doubled
),
overlaps AS (
    SELECT resource_id, source_kind, month, min(from_us) AS from_us, max(until_us) AS until_us
    FROM doubled_islands
    GROUP BY resource_id, source_kind, month, island
),
leveled AS (
    -- Twice: all that covers, and the windows alone, by which a silent day is told to be no missing export.
    SELECT pieces.*, level
    FROM pieces
    CROSS JOIN (VALUES ('all'), ('request')) AS levels (level)
    WHERE shortfall IS NULL AND (is_request OR level = 'all')
),
leveled_reach AS (
    SELECT
        *,
        max(until_us) OVER (
            PARTITION BY level, resource_id, source_kind, month
            ORDER BY from_us, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reach
    FROM leveled
),
leveled_runs AS (
    -- Spans that are apart by more than a second.
    SELECT
        *,
        sum(CASE WHEN reach IS NULL OR from_us > reach + 1000000 THEN 1 ELSE 0 END) OVER (
            PARTITION BY level, resource_id, source_kind, month
            ORDER BY from_us, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS run
    FROM leveled_reach
),
runs AS (
    -- Whole days of them, a second at either end aside, as numbers since 1970.
    SELECT
        level, resource_id, source_kind, month,
        -- Shifted by 5000 years (1826250 days): whole numbers are cut towards zero.
        (min(from_us) + (1826250 * 86400000000 + 86400000000 - 1 - 1000000)) / 86400000000 - 1826250 AS first_day,
        (max(until_us) + (1826250 * 86400000000 + 1000000)) / 86400000000 - 1826250 AS day_after
    FROM leveled_runs
    GROUP BY level, resource_id, source_kind, month, run
),
whole_days AS (
    SELECT resource_id, source_kind, month, level, unnest(range(first_day, day_after)) AS day
    FROM runs
    WHERE first_day < day_after
),
told_days AS (
    SELECT resource_id, source_kind, month, day, bool_or(level = 'request') AS is_request
    FROM whole_days
    GROUP BY resource_id, source_kind, month, day
),
days_with_records AS (
    SELECT
        resource_id,
        CASE WHEN source = 'cdsp' THEN 'ciphertrust' ELSE 'hsm' END AS source_kind,
        CAST(arrow_cast(CAST(time AS DATE), 'Int32') AS BIGINT) AS day
    FROM events
    GROUP BY resource_id, CASE WHEN source = 'cdsp' THEN 'ciphertrust' ELSE 'hsm' END, CAST(time AS DATE)
),
silent_days AS (
    SELECT told_days.resource_id, told_days.source_kind, told_days.month, told_days.day, is_request
    FROM told_days
    LEFT JOIN days_with_records
        ON (told_days.resource_id IS NOT DISTINCT FROM days_with_records.resource_id)
        AND (told_days.source_kind IS NOT DISTINCT FROM days_with_records.source_kind)
        AND (told_days.day IS NOT DISTINCT FROM days_with_records.day)
    WHERE days_with_records.day IS NULL AND told_days.month NOT IN (SELECT month FROM forgotten)
),
all_rows AS (
    SELECT
        resource_id, source_kind, month, 'covered' AS kind, basis, from_us, until_us, archives,
        CAST(NULL AS VARCHAR) AS archive, CAST(NULL AS VARCHAR) AS detail
    FROM covered
    UNION ALL
    SELECT
        resource_id, source_kind, month, CASE WHEN until_us - from_us <= 1000000 THEN 'seam' ELSE 'gap' END AS kind,
        CASE WHEN is_between_windows THEN 'request' ELSE 'records' END AS basis, from_us, until_us,
        CAST(NULL AS BIGINT) AS archives, CAST(NULL AS VARCHAR) AS archive, CAST(NULL AS VARCHAR) AS detail
    FROM holes
    WHERE until_us > from_us
    UNION ALL
    SELECT
        resource_id, source_kind, month, 'overlap' AS kind, CAST(NULL AS VARCHAR) AS basis, from_us, until_us,
        CAST(NULL AS BIGINT) AS archives, CAST(NULL AS VARCHAR) AS archive, CAST(NULL AS VARCHAR) AS detail
    FROM overlaps
    UNION ALL
    SELECT
        resource_id, source_kind, month, 'silent_day' AS kind, CASE WHEN is_request THEN 'request' ELSE 'records' END AS basis,
        day * 86400000000 AS from_us, (day + 1) * 86400000000 AS until_us,
        CAST(NULL AS BIGINT) AS archives, CAST(NULL AS VARCHAR) AS archive, CAST(NULL AS VARCHAR) AS detail
    FROM silent_days
    UNION ALL
    SELECT
        resource_id, source_kind, month, 'partial' AS kind, CASE WHEN is_request THEN 'request' ELSE 'records' END AS basis, from_us, until_us,
        CAST(NULL AS BIGINT) AS archives, archive, shortfall AS detail
    FROM pieces
    WHERE shortfall IS NOT NULL
)
SELECT
    month,
    resource_id,
    source_kind,
    kind,
    basis,
    arrow_cast(from_us, 'Timestamp(Microsecond, Some("UTC"))') AS from_time,
    arrow_cast(until_us, 'Timestamp(Microsecond, Some("UTC"))') AS to_time,
    CAST(until_us - from_us AS DOUBLE) / 1000000 AS seconds,
    archives,
    archive,
    detail
FROM all_rows
ORDER BY month, resource_id, source_kind, from_time, kind, to_time, archive
