-- The life of keys, one row per record and key: made, imported, derived, exported, cloned, replicated, modified, destroyed.
--
-- category   what happened, as in the table actions: key_create, key_import, key_derive, key_export, key_clone, key_replicate,
--            key_modify, key_destroy
-- class      first class of the status; 'ok' where it happened, else it was tried
--
-- A record that names several keys has a row for each; one that names none keeps its row, with a null ouid. When a partition is wiped
-- its keys go without a record of their own: see zeroize_events.
WITH records AS (
    SELECT
        time, ouid, category, hsm_events.action, status, partition_id, resource_id, actor_id, client_ip, role,
        archive, member, ordinal
    FROM hsm_events
    JOIN actions ON hsm_events.action = actions.action
    WHERE category IN (
        'key_create', 'key_import', 'key_derive', 'key_export', 'key_clone', 'key_replicate', 'key_modify', 'key_destroy'
    )
)
SELECT
    time,
    unnest(coalesce(key_ids(ouid), [NULL])) AS ouid,
    category, action, status, status_class(status) AS class,
    partition_id, resource_id, actor_id, client_ip, role, archive, member, ordinal
FROM records
ORDER BY time, archive, member, ordinal, ouid
