-- What every actor (HSM client) did, one row per actor.
--
-- failures      records with a status other than LUNA_RET_OK; a record without a status counts
-- logins        successful LUNA_LOGIN records
-- keys          different keys named, by OUID in lower case
-- days_active   days (UTC) with at least one record
WITH by_day AS (
    SELECT
        actor_id,
        client_ip,
        CAST(time AS DATE) AS day,
        count(*) AS operations,
        count(*) FILTER (WHERE status IS DISTINCT FROM 'LUNA_RET_OK') AS failures,
        count(*) FILTER (WHERE action = 'LUNA_LOGIN' AND status = 'LUNA_RET_OK') AS logins,
        min(time) AS first_seen,
        max(time) AS last_seen
    FROM hsm_events
    GROUP BY actor_id, client_ip, CAST(time AS DATE)
),
by_actor AS (
    SELECT
        actor_id,
        sum(operations) AS operations,
        sum(failures) AS failures,
        sum(logins) AS logins,
        count(DISTINCT client_ip) AS client_ips,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        count(DISTINCT day) AS days_active
    FROM by_day
    GROUP BY actor_id
),
texts AS (
    SELECT DISTINCT actor_id, ouid FROM hsm_events WHERE ouid IS NOT NULL
),
named AS (
    SELECT actor_id, unnest(key_ids(ouid)) AS key_id FROM texts
),
keys AS (
    SELECT actor_id, count(DISTINCT key_id) AS keys FROM named GROUP BY actor_id
)
SELECT
    by_actor.actor_id, operations, failures, logins, coalesce(keys, 0) AS keys, client_ips, first_seen, last_seen, days_active
FROM by_actor
LEFT JOIN keys ON by_actor.actor_id IS NOT DISTINCT FROM keys.actor_id
ORDER BY operations DESC, actor_id
