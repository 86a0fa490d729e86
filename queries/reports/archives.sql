-- Archives with records of the month: those whose span, first to last record, touches it.
SELECT path, status, first_time, last_time, read, stored, duplicates, rejected, reason
FROM archives
WHERE first_time < $until AND last_time >= $from
ORDER BY first_time, last_time, archive
