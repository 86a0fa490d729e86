-- Destruction of partitions in the month, one row. Counted over all records: the table of a report may be cut.
--
-- initialised   all LUNA_PARTITION_INIT that succeeded; those that no row of zeroize_events stands for met a partition of which no use is known
-- forgotten     records up to the month's end that were removed from the store: a use of a partition may have been among them
WITH kinds AS (
    SELECT
        count(*) FILTER (WHERE kind = 'zeroize') AS zeroized,
        count(*) FILTER (WHERE kind = 'zeroize_attempt') AS attempts,
        count(*) FILTER (WHERE kind = 'reinitialised') AS reinitialised,
        count(*) FILTER (WHERE kind = 'wiped_by_login_failures') AS wiped
    FROM zeroize_events
    WHERE time >= $from AND time < $until
),
initialisations AS (
    SELECT count(*) AS initialised
    FROM month.hsm_events
    WHERE action = 'LUNA_PARTITION_INIT' AND status = 'LUNA_RET_OK'
),
removed AS (
    SELECT coalesce(sum(f.rows), 0) AS forgotten
    FROM forgotten AS f
    WHERE f.month <= $month
)
SELECT zeroized, attempts, reinitialised, wiped, initialised, forgotten
FROM kinds CROSS JOIN initialisations CROSS JOIN removed
