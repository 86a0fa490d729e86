-- Records of the HSM partitions: all of events but those of CipherTrust (source cdsp), whose fields mean other things.
SELECT *
FROM events
WHERE source IS DISTINCT FROM 'cdsp'
