-- Records of the month about the life of keys, one row per record and key.
SELECT time, ouid, category, action, status, partition_id, actor_id, client_ip, role, archive, member, ordinal
FROM month.key_lifecycle
ORDER BY time, archive, member, ordinal, ouid
