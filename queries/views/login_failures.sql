-- Refused logins, one row per actor that had any.
--
-- failures     LUNA_LOGIN records whose status counts as auth_failure or lockout
-- lockouts     those that count as lockout (a wrong credential that locked the role counts as both)
-- attempts     all LUNA_LOGIN records of the actor
-- client_ips   different addresses of all its LUNA_LOGIN records
--
-- Logins that failed for another reason (an expired credential, a login that exists already, a fault) are attempts, not failures.
WITH by_status AS (
    SELECT actor_id, status, client_ip, count(*) AS attempts, min(time) AS first_seen, max(time) AS last_seen
    FROM hsm_events
    WHERE action = 'LUNA_LOGIN'
    GROUP BY actor_id, status, client_ip
),
judged AS (
    SELECT
        *,
        status_has_class(status, 'auth_failure') OR status_has_class(status, 'lockout') AS is_failure,
        status_has_class(status, 'lockout') AS is_lockout
    FROM by_status
)
SELECT
    actor_id,
    sum(attempts) FILTER (WHERE is_failure) AS failures,
    coalesce(sum(attempts) FILTER (WHERE is_lockout), 0) AS lockouts,
    sum(attempts) AS attempts,
    count(DISTINCT client_ip) AS client_ips,
    min(first_seen) FILTER (WHERE is_failure) AS first_failure,
    max(last_seen) FILTER (WHERE is_failure) AS last_failure
FROM judged
GROUP BY actor_id
HAVING bool_or(is_failure)
ORDER BY failures DESC, actor_id
