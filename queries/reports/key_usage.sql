-- Use of every key in the month.
SELECT ouid, operations, uses, failed, actors, client_ips, first_seen, last_seen
FROM month.key_usage
ORDER BY operations DESC, ouid
