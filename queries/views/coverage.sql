-- Which time of each service the archives cover, one row per month, service and span: covered, gap, seam, overlap, silent_day, partial.
--
-- resource_id   the service; source_kind tells HSM records from those of CipherTrust (ciphertrust), which count as a service of their own;
--               unknown is a service that exports were asked for, of which no record was ever seen
-- kind          covered      time that at least one archive covers wholly, joined where archives touch
--               gap          time of the month that none covers
--               seam         the same where it is no longer than a second, as between windows that end at 23:59:59
--               overlap      time that two archives or more cover, also where all records of one were duplicates of the other
--               silent_day   a day (UTC) within covered time, seams aside, without a record of the service
--               partial      time that an archive covers only in part, one row per archive; detail says why
-- basis         request      by the windows that exports were asked for
--               records      by first and last record of the service in an archive whose window is unknown: a guess. A gap with this basis
--                            has such an edge, or none, and may be nothing but a quiet time between two exports
--               mixed        covered time of both kinds
-- from_time, to_time   the first moment and the first one behind the span; for records one microsecond behind the last one
-- archives      how many archives make up a covered span; archive names the one of a partial row
--
-- A window counts where from is before to, it is no longer than 366 days, its job did not start before it, and no record of its archive lies
-- outside of it (a second past its end is allowed: whether the end belongs to it is unknown); it ends when its job started. Without
-- a filter it covers all services of the tenants whose records the archive holds; an archive without records counts where the store knows
-- one tenant only. Filters by resourceId, source and tenantId narrow it to the services all of whose records pass; any other filter makes it
-- partial, as do a state other than SUCCEEDED and an archive that was salvaged. A failed archive covers nothing. An export can be narrowed
-- by the permissions of who asked for it without a trace in the file: no view can know that.
--
-- First and last record are taken before duplicates are dropped (archive_services), so what an archive shows does not depend on which came
-- first; archives of which that is not known (basis stored there) are told by their rows in events. A service is listed from the first month
-- in which an archive shows it or was asked for it, to the last month of all.
WITH facets AS (
    -- What is known of each service: where its records come from, and whose they are.
    SELECT DISTINCT
        coalesce(resource_id, '') AS rid,
        CASE WHEN source = 'cdsp' THEN 'ciphertrust' ELSE 'hsm' END AS source_kind,
        source,
        lower(tenant_id) AS tenant
    FROM archive_services
),
tenants AS (
    SELECT count(DISTINCT tenant) AS in_store FROM facets
),
tenants_of_archives AS (
    SELECT DISTINCT archive, lower(tenant_id) AS tenant FROM archive_services WHERE tenant_id IS NOT NULL
),
requests AS (
    SELECT
        export_requests.archive,
        CAST(export_requests.window_from AS BIGINT) AS from_us,
        least(CAST(export_requests.window_to AS BIGINT), CAST(coalesce(job_started_at, export_requests.window_to) AS BIGINT)) AS until_us,
        lower(json_text(export_requests.filters, 'resourceId')) AS by_resource,
        json_text(export_requests.filters, 'source') AS by_source,
        lower(json_text(export_requests.filters, 'tenantId')) AS by_tenant,
        CASE
            WHEN archives.status = 'salvaged' THEN 'salvaged'
            WHEN upper(export_requests.job_state) <> 'SUCCEEDED' THEN concat('job state ', export_requests.job_state)
            WHEN array_length(array_except(json_names(export_requests.filters), ['resourceId', 'source', 'tenantId'])) > 0
                THEN concat('filtered by ', array_to_string(
                    array_except(json_names(export_requests.filters), ['resourceId', 'source', 'tenantId']), ', '))
        END AS shortfall,
        coalesce(
            export_requests.window_from < export_requests.window_to
            AND CAST(export_requests.window_to AS BIGINT) - CAST(export_requests.window_from AS BIGINT) <= 366 * 86400000000
            AND (job_started_at IS NULL OR job_started_at > export_requests.window_from)
            AND (first_time IS NULL OR (
                first_time >= export_requests.window_from
                AND CAST(last_time AS BIGINT) < CAST(export_requests.window_to AS BIGINT) + 1000000
            )),
            false
        ) AS counts
    FROM export_requests
    JOIN archives ON export_requests.archive = archives.archive
    WHERE archives.status <> 'failed'
),
unseen AS (
    -- Services that are known from requests only.
    SELECT DISTINCT
        by_resource AS rid,
        CASE WHEN by_source = 'cdsp' THEN 'ciphertrust' WHEN by_source IS NULL THEN 'unknown' ELSE 'hsm' END AS source_kind,
        by_source AS source,
        by_tenant AS tenant
    FROM requests
    WHERE counts AND by_resource IS NOT NULL AND by_resource NOT IN (SELECT lower(rid) FROM facets)
),
services AS (
    SELECT rid, source_kind, source, tenant FROM facets
    UNION ALL
    SELECT rid, source_kind, source, tenant FROM unseen
),
holders AS (
    SELECT archive, count(*) AS tenants FROM tenants_of_archives GROUP BY archive
),
judged AS (
    -- Whether the records of a service pass a request: 2 yes, 1 unknown, 0 no.
    SELECT
        requests.archive, from_us, until_us, shortfall, rid, source_kind,
        CASE
            WHEN by_resource <> lower(rid) THEN 0
            WHEN by_source <> source THEN 0
            WHEN by_source IS NOT NULL AND source IS NULL THEN 1
            WHEN by_tenant <> services.tenant THEN 0
            WHEN by_tenant IS NOT NULL OR by_resource IS NOT NULL THEN 2
            WHEN in_store <= 1 THEN 2
            WHEN holders.tenants IS NULL OR services.tenant IS NULL THEN 1
            WHEN tenants_of_archives.archive IS NULL THEN 0
            ELSE 2
        END AS passes
    FROM requests
    CROSS JOIN services
    CROSS JOIN tenants
    LEFT JOIN holders ON requests.archive = holders.archive
    LEFT JOIN tenants_of_archives
        ON requests.archive = tenants_of_archives.archive AND services.tenant = tenants_of_archives.tenant
    WHERE counts
),
windows AS (
    SELECT
        archive, rid, source_kind, from_us, until_us, true AS is_request,
        CASE
            WHEN shortfall IS NOT NULL THEN shortfall
            WHEN min(passes) < 2 THEN 'whether the request covers all of the service is not known'
        END AS shortfall
    FROM judged
    GROUP BY archive, rid, source_kind, from_us, until_us, shortfall
    HAVING max(passes) > 0
),
by_records AS (
    SELECT
        archive_services.archive,
        coalesce(resource_id, '') AS rid,
        CASE WHEN source = 'cdsp' THEN 'ciphertrust' ELSE 'hsm' END AS source_kind,
        CAST(min(archive_services.first_time) AS BIGINT) AS from_us,
        CAST(max(archive_services.last_time) AS BIGINT) + 1 AS until_us
    FROM archive_services
    GROUP BY archive_services.archive, coalesce(resource_id, ''), CASE WHEN source = 'cdsp' THEN 'ciphertrust' ELSE 'hsm' END
),
told AS (
    -- What is known of the requests of an archive as a whole.
    SELECT archive, bool_or(counts) AS has_window, max(shortfall) AS shortfall FROM requests GROUP BY archive
),
spans AS (
    SELECT archive, rid, source_kind, from_us, until_us, is_request, shortfall FROM windows
    UNION ALL
    SELECT
        by_records.archive, rid, source_kind, from_us, until_us, false AS is_request,
        CASE WHEN archives.status = 'salvaged' THEN 'salvaged' ELSE told.shortfall END AS shortfall
    FROM by_records
    JOIN archives ON by_records.archive = archives.archive
    LEFT JOIN told ON by_records.archive = told.archive
    WHERE archives.status <> 'failed' AND NOT coalesce(told.has_window, false)
),
numbered AS (
    -- Months as numbers, for spans that reach over several.
    SELECT
        *,
        CAST(date_part('year', arrow_cast(from_us, 'Timestamp(Microsecond, None)')) AS BIGINT) * 12
            + CAST(date_part('month', arrow_cast(from_us, 'Timestamp(Microsecond, None)')) AS BIGINT) - 1 AS first_month,
        CAST(date_part('year', arrow_cast(until_us - 1, 'Timestamp(Microsecond, None)')) AS BIGINT) * 12
            + CAST(date_part('month', arrow_cast(until_us - 1, 'Timestamp(Microsecond, None)')) AS BIGINT) - 1 AS last_month
    FROM spans
),
split AS (
    SELECT *, unnest(range(first_month, last_month + 1)) AS month_number FROM numbered
),
calendar AS (
    -- The months of each service.
    SELECT rid, source_kind, unnest(range(min(first_month), max_month + 1)) AS month_number
    FROM numbered
    CROSS JOIN (SELECT max(last_month) AS max_month FROM numbered) AS latest
    GROUP BY rid, source_kind, max_month
),
months AS (
    SELECT
        rid, source_kind, month_number,
        CAST(arrow_cast(make_date(month_number / 12, month_number % 12 + 1, 1), 'Int32') AS BIGINT) AS first_day,
        CAST(arrow_cast(make_date((month_number + 1) / 12, (month_number + 1) % 12 + 1, 1), 'Int32') AS BIGINT) AS next_day
    FROM calendar
),
pieces AS (
    SELECT
        archive, split.rid, split.source_kind, split.month_number, is_request, shortfall,
        greatest(from_us, first_day * 86400000000) AS from_us,
        least(until_us, next_day * 86400000000) AS until_us
    FROM split
    JOIN months
        ON split.rid = months.rid AND split.source_kind = months.source_kind AND split.month_number = months.month_number
),
leveled AS (
    -- Twice: all that covers, and the windows alone, by which a silent day is told to be no missing export.
    SELECT 'all' AS level, * FROM pieces WHERE shortfall IS NULL
    UNION ALL
    SELECT 'request' AS level, * FROM pieces WHERE shortfall IS NULL AND is_request
),
reached AS (
    -- How far the pieces before reach; the lowest bit says that it is a window that reaches so far.
    SELECT
        *,
        max(until_us * 2 + CASE WHEN is_request THEN 1 ELSE 0 END) OVER (
            PARTITION BY level, rid, source_kind, month_number
            ORDER BY from_us, is_request DESC, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reach
    FROM leveled
),
flagged AS (
    SELECT
        *,
        reach >> 1 AS before_us,
        CASE WHEN reach IS NULL OR from_us > (reach >> 1) THEN 1 ELSE 0 END AS is_new,
        CASE WHEN reach IS NULL OR from_us > (reach >> 1) + 1000000 THEN 1 ELSE 0 END AS is_apart
    FROM reached
),
islands AS (
    SELECT
        *,
        sum(is_new) OVER (
            PARTITION BY level, rid, source_kind, month_number
            ORDER BY from_us, is_request DESC, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island,
        sum(is_apart) OVER (
            PARTITION BY level, rid, source_kind, month_number
            ORDER BY from_us, is_request DESC, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS run
    FROM flagged
),
covered AS (
    SELECT
        rid, source_kind, month_number, min(from_us) AS from_us, max(until_us) AS until_us,
        CASE WHEN bool_and(is_request) THEN 'request' WHEN bool_or(is_request) THEN 'mixed' ELSE 'records' END AS basis,
        count(DISTINCT archive) AS archives
    FROM islands
    WHERE level = 'all'
    GROUP BY rid, source_kind, month_number, island
),
edges AS (
    -- Where the covered time of a month begins and ends; the lowest bit says by what.
    SELECT
        rid, source_kind, month_number,
        min(from_us * 2 + CASE WHEN is_request THEN 0 ELSE 1 END) AS head,
        max(until_us * 2 + CASE WHEN is_request THEN 1 ELSE 0 END) AS tail
    FROM pieces
    WHERE shortfall IS NULL
    GROUP BY rid, source_kind, month_number
),
holes AS (
    SELECT
        rid, source_kind, month_number, before_us AS from_us, from_us AS until_us, is_request AND reach % 2 <> 0 AS is_between_windows
    FROM flagged
    WHERE level = 'all' AND reach IS NOT NULL AND is_new = 1
    UNION ALL
    SELECT
        months.rid, months.source_kind, months.month_number, first_day * 86400000000 AS from_us,
        coalesce(head >> 1, next_day * 86400000000) AS until_us,
        coalesce(head % 2 = 0, false) AS is_between_windows
    FROM months
    LEFT JOIN edges
        ON months.rid = edges.rid AND months.source_kind = edges.source_kind AND months.month_number = edges.month_number
    UNION ALL
    SELECT
        months.rid, months.source_kind, months.month_number, tail >> 1 AS from_us, next_day * 86400000000 AS until_us,
        tail % 2 <> 0 AS is_between_windows
    FROM months
    JOIN edges
        ON months.rid = edges.rid AND months.source_kind = edges.source_kind AND months.month_number = edges.month_number
),
doubled AS (
    -- A piece and what reaches over its beginning share time; together that is all the time that is covered twice.
    SELECT
        archive, rid, source_kind, month_number, is_request, from_us, least(until_us, before_us) AS until_us,
        max(least(until_us, before_us)) OVER (
            PARTITION BY rid, source_kind, month_number
            ORDER BY from_us, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reach
    FROM flagged
    WHERE level = 'all' AND before_us > from_us
),
doubled_islands AS (
    SELECT
        *,
        sum(CASE WHEN reach IS NULL OR from_us > reach THEN 1 ELSE 0 END) OVER (
            PARTITION BY rid, source_kind, month_number
            ORDER BY from_us, until_us, archive
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island
    FROM doubled
),
overlaps AS (
    SELECT
        rid, source_kind, month_number, min(from_us) AS from_us, max(until_us) AS until_us
    FROM doubled_islands
    GROUP BY rid, source_kind, month_number, island
),
runs AS (
    SELECT level, rid, source_kind, month_number, min(from_us) AS from_us, max(until_us) AS until_us
    FROM islands
    GROUP BY level, rid, source_kind, month_number, run
),
days AS (
    SELECT rid, source_kind, month_number, unnest(range(first_day, next_day)) AS day FROM months
),
days_with_records AS (
    SELECT DISTINCT rid, source_kind, day
    FROM (
        SELECT
            coalesce(resource_id, '') AS rid,
            CASE WHEN source = 'cdsp' THEN 'ciphertrust' ELSE 'hsm' END AS source_kind,
            CAST(arrow_cast(CAST(time AS DATE), 'Int32') AS BIGINT) AS day
        FROM events
    ) AS of_records
),
silent_days AS (
    SELECT
        days.rid, days.source_kind, days.month_number, days.day,
        CASE WHEN bool_or(level = 'request') THEN 'request' ELSE 'records' END AS basis
    FROM days
    JOIN runs
        ON days.rid = runs.rid AND days.source_kind = runs.source_kind AND days.month_number = runs.month_number
        AND runs.from_us <= days.day * 86400000000 + 1000000 AND runs.until_us >= (days.day + 1) * 86400000000 - 1000000
    LEFT JOIN days_with_records
        ON days.rid = days_with_records.rid AND days.source_kind = days_with_records.source_kind
        AND days.day = days_with_records.day
    WHERE days_with_records.day IS NULL
    GROUP BY days.rid, days.source_kind, days.month_number, days.day
),
all_rows AS (
    SELECT
        rid, source_kind, month_number, 'covered' AS kind, basis, from_us, until_us, archives,
        CAST(NULL AS VARCHAR) AS archive, CAST(NULL AS VARCHAR) AS detail
    FROM covered
    UNION ALL
    SELECT
        rid, source_kind, month_number, CASE WHEN until_us - from_us <= 1000000 THEN 'seam' ELSE 'gap' END AS kind,
        CASE WHEN is_between_windows THEN 'request' ELSE 'records' END AS basis, from_us, until_us,
        CAST(NULL AS BIGINT) AS archives, CAST(NULL AS VARCHAR) AS archive, CAST(NULL AS VARCHAR) AS detail
    FROM holes
    WHERE until_us > from_us
    UNION ALL
    SELECT
        rid, source_kind, month_number, 'overlap' AS kind, CAST(NULL AS VARCHAR) AS basis, from_us, until_us,
        CAST(NULL AS BIGINT) AS archives, CAST(NULL AS VARCHAR) AS archive, CAST(NULL AS VARCHAR) AS detail
    FROM overlaps
    UNION ALL
    SELECT
        rid, source_kind, month_number, 'silent_day' AS kind, basis, day * 86400000000 AS from_us, (day + 1) * 86400000000 AS until_us,
        CAST(NULL AS BIGINT) AS archives, CAST(NULL AS VARCHAR) AS archive, CAST(NULL AS VARCHAR) AS detail
    FROM silent_days
    UNION ALL
    SELECT
        rid, source_kind, month_number, 'partial' AS kind, CASE WHEN is_request THEN 'request' ELSE 'records' END AS basis, from_us, until_us,
        CAST(NULL AS BIGINT) AS archives, archive, shortfall AS detail
    FROM pieces
    WHERE shortfall IS NOT NULL
)
SELECT
    concat(lpad(CAST(month_number / 12 AS VARCHAR), 4, '0'), '-', lpad(CAST(month_number % 12 + 1 AS VARCHAR), 2, '0')) AS month,
    nullif(rid, '') AS resource_id,
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
