-- How much of each month the archives cover of each service, one row per month and service: see coverage for what counts.
--
-- days            days of the month
-- covered_days    days without a gap; gap_days those that a gap touches (a seam is none)
-- share           covered time as a part of the month, 0 to 1, cut to six digits
-- requested_share the same by spans that rest on request windows alone
-- silent_days     days within covered time without a record; unexplained_days those of them that no request window covers: a quiet day or a
--                 missing export, the archives cannot tell
-- partial         archives that cover a part of the month's time only in part
-- whole           whether there is no gap
WITH rows AS (
    SELECT
        *,
        CAST(arrow_cast(CAST(from_time AS DATE), 'Int32') AS BIGINT) AS first_day,
        CAST(arrow_cast(CAST(arrow_cast(CAST(to_time AS BIGINT) - 1, 'Timestamp(Microsecond, None)') AS DATE), 'Int32') AS BIGINT) AS last_day
    FROM coverage
),
marked AS (
    -- Gaps are apart and in order: only the day on which one ends and the next begins is counted twice.
    SELECT
        *,
        lag(last_day) OVER (PARTITION BY month, resource_id, source_kind, kind ORDER BY from_time) AS day_before
    FROM rows
),
counted AS (
    SELECT
        month, resource_id, source_kind,
        count(*) FILTER (WHERE kind = 'gap') AS gaps,
        coalesce(sum(last_day - greatest(first_day, coalesce(day_before + 1, first_day)) + 1) FILTER (WHERE kind = 'gap'), 0) AS gap_days,
        count(*) FILTER (WHERE kind = 'seam') AS seams,
        count(*) FILTER (WHERE kind = 'overlap') AS overlaps,
        count(*) FILTER (WHERE kind = 'silent_day') AS silent_days,
        count(*) FILTER (WHERE kind = 'silent_day' AND basis = 'records') AS unexplained_days,
        count(DISTINCT archive) FILTER (WHERE kind = 'partial') AS partial,
        coalesce(sum(CAST(to_time AS BIGINT) - CAST(from_time AS BIGINT)) FILTER (WHERE kind = 'covered'), 0) AS covered_us,
        coalesce(sum(CAST(to_time AS BIGINT) - CAST(from_time AS BIGINT)) FILTER (WHERE kind = 'covered' AND basis = 'request'), 0)
            AS requested_us
    FROM marked
    GROUP BY month, resource_id, source_kind
),
month_days AS (
    -- From whole numbers: date_trunc counts in nanoseconds, and fails the view at one record of 1582 or 2562. Rounded up, since no time is later
    -- than 22:00 of 9999-12-30.
    SELECT month, (CAST(max(to_time) AS BIGINT) - CAST(min(from_time) AS BIGINT) + 86400000000 - 1) / 86400000000 AS days
    FROM service_months
    GROUP BY month
),
sized AS (
    SELECT counted.*, days
    FROM counted
    JOIN month_days ON counted.month = month_days.month
)
SELECT
    month, resource_id, source_kind, days,
    days - gap_days AS covered_days,
    gap_days,
    CAST(covered_us * 10 / (days * 864000) AS DOUBLE) / 1000000 AS share,
    CAST(requested_us * 10 / (days * 864000) AS DOUBLE) / 1000000 AS requested_share,
    gaps, seams, overlaps, silent_days, unexplained_days, partial,
    gaps = 0 AS whole
FROM sized
ORDER BY month, resource_id, source_kind
