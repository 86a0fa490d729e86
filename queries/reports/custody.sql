-- Which bytes the figures of the month come from: the archives that touch it, by their SHA-256.
SELECT archive, path, container, bytes, json_bytes, members, stored, run
FROM archives
WHERE first_time < $until AND last_time >= $from
ORDER BY archive
