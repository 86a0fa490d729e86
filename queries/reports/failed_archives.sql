-- Archives of the store that could not be read: whether they hold records of the month is unknown.
SELECT path, archive, bytes, reason
FROM archives
WHERE status = 'failed'
ORDER BY path, archive
