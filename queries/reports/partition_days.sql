-- Records of the month by HSM partition and day (UTC), from which the gaps of each partition follow.
SELECT
    partition_id,
    resource_id,
    CAST(time AS DATE) AS date,
    count(*) AS operations,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM month.hsm_events
GROUP BY partition_id, resource_id, CAST(time AS DATE)
ORDER BY partition_id, resource_id, date
