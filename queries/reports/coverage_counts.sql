-- Coverage of the month over all services, one row. Counted over all of them: the tables of a report may be cut.
SELECT
    count(*) FILTER (WHERE kind = 'gap' AND basis = 'request') AS gaps,
    count(*) FILTER (WHERE kind = 'silent_day' AND basis = 'records') AS unexplained_days
FROM month.coverage
WHERE month = $month
