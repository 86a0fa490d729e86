-- Operations that did not succeed, one row per action and status.
--
-- failures   records with a status other than LUNA_RET_OK; a record without a status counts
-- class      first class of the status; verify_negative (a signature that does not fit) and some others are results, not faults
WITH by_actor AS (
    SELECT action, status, actor_id, count(*) AS failures, min(time) AS first_seen, max(time) AS last_seen
    FROM hsm_events
    WHERE status IS DISTINCT FROM 'LUNA_RET_OK'
    GROUP BY action, status, actor_id
)
SELECT
    by_actor.action,
    coalesce(category, 'unknown') AS category,
    status,
    status_class(status) AS class,
    sum(failures) AS failures,
    count(DISTINCT actor_id) AS actors,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen
FROM by_actor
LEFT JOIN actions ON by_actor.action = actions.action
GROUP BY by_actor.action, category, status
ORDER BY failures DESC, action, status
