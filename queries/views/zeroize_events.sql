-- Destruction of all keys of a partition, and attempts at it, one row per record.
--
-- zeroize                   LUNA_PARTITION_ZEROIZE that succeeded
-- zeroize_attempt           LUNA_PARTITION_ZEROIZE that did not
-- reinitialised             LUNA_PARTITION_INIT that succeeded on a partition that had been in use: the store holds an earlier record of
--                           it with any other action
-- wiped_by_login_failures   any other record whose status counts as zeroize
WITH suspects AS (
    SELECT
        time,
        CASE
            WHEN action = 'LUNA_PARTITION_ZEROIZE' AND status = 'LUNA_RET_OK' THEN 'zeroize'
            WHEN action = 'LUNA_PARTITION_ZEROIZE' THEN 'zeroize_attempt'
            WHEN action = 'LUNA_PARTITION_INIT' AND status = 'LUNA_RET_OK' THEN 'reinitialised'
            ELSE 'wiped_by_login_failures'
        END AS kind,
        partition_id, resource_id, actor_id, client_ip, role, action, status, archive, member, ordinal
    FROM hsm_events
    WHERE action = 'LUNA_PARTITION_ZEROIZE'
        OR (action = 'LUNA_PARTITION_INIT' AND status = 'LUNA_RET_OK')
        OR status_has_class(status, 'zeroize')
),
-- One row per partition, whatever the number of records. Only what came before the last initialisation matters: where there was none,
-- or long ago, nearly nothing is left to group. (Without its parentheses IS DISTINCT FROM would take the AND for its right side.)
first_uses AS (
    SELECT partition_id, min(time) AS first_use
    FROM hsm_events
    WHERE (action IS DISTINCT FROM 'LUNA_PARTITION_INIT')
        AND time < (SELECT max(time) FROM hsm_events WHERE action = 'LUNA_PARTITION_INIT' AND status = 'LUNA_RET_OK')
    GROUP BY partition_id
)
SELECT
    time, kind, suspects.partition_id, resource_id, actor_id, client_ip, role, action, status, archive, member, ordinal
FROM suspects
LEFT JOIN first_uses ON suspects.partition_id = first_uses.partition_id
WHERE kind <> 'reinitialised' OR first_use < time
ORDER BY time, archive, member, ordinal
