-- Destruction of partitions in the month. Asked over the whole store: whether a partition had been in use is known from all of it.
SELECT time, kind, partition_id, resource_id, actor_id, client_ip, role, action, status, archive, member, ordinal
FROM zeroize_events
WHERE time >= $from AND time < $until
ORDER BY time, archive, member, ordinal
