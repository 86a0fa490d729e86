-- Figures of the month over all HSM records, one row.
WITH grouped AS (
    SELECT actor_id, partition_id, action, status, role ILIKE 'po' AS privileged, count(*) AS records
    FROM month.hsm_events
    GROUP BY actor_id, partition_id, action, status, role ILIKE 'po'
),
judged AS (
    SELECT
        *,
        action = 'LUNA_LOGIN' AND (status_has_class(status, 'auth_failure') OR status_has_class(status, 'lockout')) AS login_failure,
        action = 'LUNA_LOGIN' AND status_has_class(status, 'lockout') AS lockout
    FROM grouped
)
SELECT
    coalesce(sum(records), 0) AS operations,
    coalesce(sum(records) FILTER (WHERE status IS DISTINCT FROM 'LUNA_RET_OK'), 0) AS failures,
    coalesce(sum(records) FILTER (WHERE login_failure), 0) AS login_failures,
    coalesce(sum(records) FILTER (WHERE lockout), 0) AS lockouts,
    coalesce(sum(records) FILTER (WHERE privileged), 0) AS privileged_operations,
    count(DISTINCT actor_id) AS actors,
    count(DISTINCT partition_id) AS partitions
FROM judged
