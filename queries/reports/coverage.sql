-- How much of the month the archives cover, by service: see the view coverage_summary for what counts.
SELECT
    resource_id, source_kind, days, covered_days, gap_days, gaps, seams, overlaps, silent_days, unexplained_days, partial, whole
FROM month.coverage_summary
WHERE month = $month
ORDER BY resource_id, source_kind
