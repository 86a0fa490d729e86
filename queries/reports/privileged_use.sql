-- What the partition security officer (role PO, in any letter case) did in the month.
SELECT
    partition_id, actor_id, action, status,
    count(*) AS operations,
    count(DISTINCT client_ip) AS client_ips,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM month.hsm_events
WHERE role ILIKE 'po'
GROUP BY partition_id, actor_id, action, status
ORDER BY partition_id, actor_id, action, status
