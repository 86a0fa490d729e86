-- Records of the month by day (UTC). Days without records are not in it.
--
-- The parentheses matter: the parser takes all that follows IS DISTINCT FROM, an AND too, for its right side.
SELECT
    CAST(time AS DATE) AS date,
    count(*) FILTER (WHERE source IS DISTINCT FROM 'cdsp') AS operations,
    count(*) FILTER (WHERE (source IS DISTINCT FROM 'cdsp') AND (status IS DISTINCT FROM 'LUNA_RET_OK')) AS failures,
    count(*) FILTER (WHERE source = 'cdsp') AS ciphertrust
FROM month.events
GROUP BY CAST(time AS DATE)
ORDER BY date
