-- Operations of the month that did not succeed, by action and status.
SELECT action, category, status, class, failures, actors, first_seen, last_seen
FROM month.failed_operations
ORDER BY failures DESC, action, status
