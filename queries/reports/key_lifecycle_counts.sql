-- Records of the month about the life of keys, counted by action. A record that names several keys counts for each.
SELECT
    category,
    action,
    count(*) FILTER (WHERE status = 'LUNA_RET_OK') AS succeeded,
    count(*) FILTER (WHERE status IS DISTINCT FROM 'LUNA_RET_OK') AS failed,
    count(DISTINCT ouid) AS keys,
    count(DISTINCT actor_id) AS actors
FROM month.key_lifecycle
GROUP BY category, action
ORDER BY category, action
