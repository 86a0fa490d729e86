-- Refused logins of the month by actor.
SELECT actor_id, failures, lockouts, attempts, client_ips, first_failure, last_failure
FROM month.login_failures
ORDER BY failures DESC, actor_id
