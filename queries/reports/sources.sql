-- Records of the month by kind: CipherTrust records are kept in the store, and counted here and nowhere else in the report.
SELECT
    CASE WHEN source = 'cdsp' THEN 'ciphertrust' ELSE 'hsm' END AS kind,
    count(*) AS records,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM month.events
GROUP BY kind
ORDER BY kind
