-- Time of the month that lies between windows that were asked for, by service. (Between exports whose windows are unknown nothing can be told.)
SELECT resource_id, source_kind, kind, from_time, to_time
FROM month.coverage
WHERE month = $month AND kind IN ('gap', 'seam') AND basis = 'request'
ORDER BY resource_id, source_kind, from_time
