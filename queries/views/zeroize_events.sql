-- Destruction of all keys of a partition, and attempts at it, one row per record.
--
-- zeroize                   LUNA_PARTITION_ZEROIZE that succeeded
-- zeroize_attempt           LUNA_PARTITION_ZEROIZE that did not, and whose status does not count as zeroize
-- reinitialised             LUNA_PARTITION_INIT that succeeded on a partition that had been in use: the store holds an earlier record of
--                           it with any other action (removed records are not known: see the table forgotten)
-- wiped_by_login_failures   any other record whose status counts as zeroize, whatever its action
--
-- A record without partid, or with an empty one, is one of the partition that its source names, thales/cloudhsm/<partition>; partition_id stays
-- as it came.
WITH suspects AS (
    SELECT
        time,
        CASE
            WHEN action = 'LUNA_PARTITION_ZEROIZE' AND status = 'LUNA_RET_OK' THEN 'zeroize'
            WHEN action = 'LUNA_PARTITION_INIT' AND status = 'LUNA_RET_OK' THEN 'reinitialised'
            WHEN status_has_class(status, 'zeroize') THEN 'wiped_by_login_failures'
            ELSE 'zeroize_attempt'
        END AS kind,
        coalesce(nullif(partition_id, ''), CASE WHEN source LIKE 'thales/cloudhsm/_%' THEN substr(source, 17) END) AS known_as,
        partition_id, resource_id, actor_id, client_ip, role, action, status, archive, member, ordinal
    FROM hsm_events
    WHERE action = 'LUNA_PARTITION_ZEROIZE'
        OR (action = 'LUNA_PARTITION_INIT' AND status = 'LUNA_RET_OK')
        OR status_has_class(status, 'zeroize')
),
-- One row per partition, whatever the number of records. Only what came before the last initialisation matters: where there was none, or long
-- ago, nearly nothing is left to group. (Without its parentheses IS DISTINCT FROM would take the AND for its right side.) Records without partid
-- are grouped apart: most often there are none, and then nothing is read for them.
last_initialisation AS (
    SELECT max(time) AS last FROM hsm_events WHERE action = 'LUNA_PARTITION_INIT' AND status = 'LUNA_RET_OK'
),
uses AS (
    SELECT nullif(partition_id, '') AS known_as, min(time) AS first_use
    FROM hsm_events
    WHERE (action IS DISTINCT FROM 'LUNA_PARTITION_INIT') AND time < (SELECT last FROM last_initialisation)
    GROUP BY partition_id
    UNION ALL
    SELECT CASE WHEN source LIKE 'thales/cloudhsm/_%' THEN substr(source, 17) END AS known_as, min(time) AS first_use
    FROM hsm_events
    WHERE (partition_id IS NULL OR partition_id = '') AND (action IS DISTINCT FROM 'LUNA_PARTITION_INIT') AND time < (SELECT last FROM last_initialisation)
    GROUP BY source
),
first_uses AS (
    SELECT known_as, min(first_use) AS first_use
    FROM uses
    GROUP BY known_as
)
SELECT
    time, kind, partition_id, resource_id, actor_id, client_ip, role, action, status, archive, member, ordinal
FROM suspects
LEFT JOIN first_uses ON suspects.known_as = first_uses.known_as
WHERE kind <> 'reinitialised' OR first_use < time
ORDER BY time, archive, member, ordinal
