-- Figures of the month over all keys seen, one row.
SELECT count(*) AS keys, coalesce(sum(uses), 0) AS uses
FROM month.key_usage
