-- Use of every key, one row per HSM partition and OUID (in lower case): a clone or replica may keep the OUID of its original.
--
-- Columns as in key_usage, with the partition before them.
WITH by_text AS (
    SELECT
        partition_id,
        ouid,
        actor_id,
        client_ip,
        count(*) AS operations,
        count(*) FILTER (WHERE status = 'LUNA_RET_OK' AND action IN (
            'LUNA_SIGN_SINGLEPART', 'LUNA_SIGN_END',
            'LUNA_VERIFY_SINGLEPART', 'LUNA_VERIFY_END',
            'LUNA_ENCRYPT_SINGLEPART', 'LUNA_ENCRYPT_END',
            'LUNA_DECRYPT_SINGLEPART', 'LUNA_DECRYPT_END'
        )) AS uses,
        count(*) FILTER (WHERE status IS DISTINCT FROM 'LUNA_RET_OK') AS failed,
        min(time) AS first_seen,
        max(time) AS last_seen
    FROM hsm_events
    WHERE ouid IS NOT NULL
    GROUP BY partition_id, ouid, actor_id, client_ip
),
by_key AS (
    SELECT
        partition_id, unnest(key_ids(ouid)) AS key_id, actor_id, client_ip, operations, uses, failed, first_seen, last_seen
    FROM by_text
)
SELECT
    partition_id,
    key_id AS ouid,
    sum(operations) AS operations,
    sum(uses) AS uses,
    sum(failed) AS failed,
    count(DISTINCT actor_id) AS actors,
    count(DISTINCT client_ip) AS client_ips,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen
FROM by_key
GROUP BY partition_id, key_id
ORDER BY operations DESC, ouid, partition_id
