-- What was removed of the month on purpose: a row for each removal, with the rows of the month that went.
SELECT forgotten_at, before, count(*) AS archives, sum(f.rows) AS rows, reason
FROM forgotten AS f
WHERE month = $month
GROUP BY forgotten_at, before, reason
ORDER BY forgotten_at, before
