-- Use of every key, one row per OUID (in lower case).
--
-- operations   all records that name the key
-- uses         finished cryptographic operations: successful SINGLEPART and END records; INIT and data records are parts of them
-- failed       records with a status other than LUNA_RET_OK; a record without a status counts as failed
-- actors, client_ips   how many different ones
--
-- A text that holds several ids counts for each of them. Records are counted by (text, actor, address) first: far fewer rows are then
-- split into ids and told apart.
WITH by_text AS (
    SELECT
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
    GROUP BY ouid, actor_id, client_ip
),
by_key AS (
    SELECT unnest(key_ids(ouid)) AS key_id, actor_id, client_ip, operations, uses, failed, first_seen, last_seen
    FROM by_text
)
SELECT
    key_id AS ouid,
    sum(operations) AS operations,
    sum(uses) AS uses,
    sum(failed) AS failed,
    count(DISTINCT actor_id) AS actors,
    count(DISTINCT client_ip) AS client_ips,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen
FROM by_key
GROUP BY key_id
ORDER BY operations DESC, ouid
