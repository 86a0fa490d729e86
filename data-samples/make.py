#!/usr/bin/env python3
"""Makes the sample archives of this folder again, byte for byte, with nothing but Python's standard library.

All ids are invented, but for the one record of the vendor's announcement. README.md says what each file is for.
"""

import gzip
import io
import json
import random
import struct
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
TENANT = "0b1c0000-0000-4000-8000-0000000000f1"
DATE = (2026, 2, 1, 0, 0, 0)


def actor(number):
    return f"0b1c0000-0000-4000-8000-0000000000a{number}"


def ouid(number):
    return f"{number:02x}000005000001{0x21A1AB0800:010x}"


def record(time, action, status="OK", partition=1, client=1, role="CU", key=None, trace=None, meta_as=str, **more):
    meta = {"clientip": f"192.0.2.{10 + client}", "hsmid": "500001"}
    if key is not None:
        meta["ouid"] = ouid(key) if isinstance(key, int) else key
    meta["partid"] = f"130000000000{partition}"
    meta["role"] = role
    made = {
        "time": time,
        "source": f"thales/cloudhsm/130000000000{partition}",
        "resourceID": f"0b1c0000-0000-4000-8000-00000000000{partition}",
        "actorID": actor(client),
        "tenantID": TENANT,
        "action": f"LUNA_{action}",
        "status": f"LUNA_RET_{status}",
    }
    if trace is not None:
        made["traceID"] = f"{trace:043d}"
    made["meta"] = dump(meta) if meta_as is str else meta
    return made | more


def ciphertrust(time, action, status="success", meta="{}"):
    return {
        "time": time, "source": "cdsp", "resourceID": "0b1c0000-0000-4000-8000-0000000000c1",
        "actorID": "local|0b1c0000-0000-4000-8000-0000000000c2", "tenantID": TENANT, "action": action, "status": status,
        "meta": meta,
    }


def dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def as_list(records):
    return ("[" + ",\n".join(dump(r) for r in records) + "]\n").encode()


def as_lines(records, end="\n"):
    return "".join(dump(r) + end for r in records).encode()


class Unseekable(io.RawIOBase):
    """Makes zipfile write data descriptors."""

    def __init__(self):
        self.bytes = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.bytes += data
        return len(data)


def as_zip(members, method=zipfile.ZIP_DEFLATED, descriptors=False, zip64=False):
    out = Unseekable() if descriptors else io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in members:
            info = zipfile.ZipInfo(name, DATE)
            info.compress_type = method
            info.create_system = 3
            if name.endswith("/"):
                file.writestr(info, b"")
            else:
                with file.open(info, "w", force_zip64=zip64) as member:
                    member.write(content)
    return bytes(out.bytes) if descriptors else out.getvalue()


def as_gzip(content, name=""):
    out = io.BytesIO()
    with gzip.GzipFile(filename=name, mode="wb", fileobj=out, mtime=0) as file:
        file.write(content)
    return out.getvalue()


def month_of_a_small_service():
    """January 2026: two partitions, three clients, eight keys, and one of each event that a report must show."""
    dice = random.Random(20260101)
    made = []

    def add(day, second, *args, **named):
        clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        made.append(record(f"2026-01-{day:02d} {clock} UTC", *args, trace=len(made), **named))

    add(1, 30000, "PARTITION_INIT", role="PO", client=3)
    add(1, 30010, "LOGIN", role="PO", client=3)
    add(1, 30020, "INIT_PIN", role="PO", client=3)
    add(1, 30100, "LOGIN", role="CO", client=3)
    for key in range(1, 9):
        add(1, 30200 + key, "GENERATE_KEY_PAIR" if key % 2 else "GENERATE_KEY", role="CO", client=3, key=key,
            partition=1 if key < 6 else 2)
    for day in (d for d in range(2, 32) if d not in (11, 18)):
        for _ in range(dice.randint(6, 12)):
            second = dice.randint(28800, 64000)
            key = min(dice.randint(1, 8), dice.randint(1, 8))
            where = dict(client=1 + key % 2, key=key, partition=1 if key < 6 else 2)
            what = dice.choice(("SIGN", "SIGN", "DECRYPT", "ENCRYPT", "VERIFY"))
            if dice.random() < 0.2:
                add(day, second, f"{what}_INIT", **where)
                add(day, second + 1, what, **(where | {"key": None}))
                add(day, second + 2, f"{what}_END", **where)
            else:
                failed = "SIGNATURE_INVALID" if what == "VERIFY" else "KEY_HANDLE_INVALID"
                add(day, second, f"{what}_SINGLEPART", failed if dice.random() < 0.06 else "OK", **where)
        add(day, 28000, "LOGIN", client=1)
    for attempt in range(4):
        add(9, 40000 + attempt * 7, "LOGIN", "UM_PIN_INCORRECT", client=2, role="CO")
    add(9, 40100, "LOGIN", "UM_PIN_INCORRECT_CONTAINER_LOCKED", client=2, role="CO")
    add(9, 40160, "LOGIN", "CONTAINER_LOCKED", client=2, role="CO")
    add(9, 41000, "LOGIN", "USER_PIN_NOT_INITIALIZED", client=1, role="CU")
    add(12, 50000, "WRAP_KEY", "KEY_UNEXTRACTABLE", role="CO", client=3, key=3)
    add(14, 50000, "CREATE_OBJECT", role="CO", client=3, key=9)
    add(15, 50000, "CLONE_AS_SOURCE", role="CO", client=3, key=4)
    add(20, 50000, "DESTROY_OBJECT", role="CO", client=3, key=5)
    add(27, 60000, "PARTITION_ZEROIZE", "INVALID_ACCESS_LEVEL", role="CO", client=3, partition=2)
    add(28, 60000, "LOGIN", "UM_PIN_INCORRECT_CONTAINER_ZEROIZED", role="PO", client=2, partition=2)
    add(29, 60000, "PARTITION_INIT", role="PO", client=3, partition=2)
    add(31, 86399, "PARTITION_ZEROIZE", role="PO", client=3, partition=2)
    return sorted(made, key=lambda r: r["time"])


ANNOUNCED = {
    "time": "2022-03-10 15:29:01 UTC", "source": "thales/cloudhsm/1269045733704",
    "resourceID": "ff87a16d-5b1b-4dc7-bda7-1c503997c54b", "actorID": "8ea31349-d987-4791-8dd7-3863cad26567",
    "tenantID": "bb81cf52-457d-4679-88a4-47cd44b88ad1", "action": "LUNA_LOGIN", "status": "LUNA_RET_OK",
    "meta": '{"clientip":"34.232.134.91","hsmid":"545048","partid":"1269045733704","role":"CO"}',
}


def signs(day, seconds, **named):
    return [record(f"2026-02-{day:02d} 09:00:{second:02d} UTC", "SIGN_SINGLEPART", key=1, **named) for second in seconds]


def good():
    month = month_of_a_small_service()
    yield "announcement.json", as_list([ANNOUNCED])
    yield "small-service-2026-01.zip", as_zip([("audit-2026-01.json", as_list(month))])
    yield "small-service-2026-01-lines.gz", as_gzip(as_lines(month), "audit-2026-01.ndjson")
    yield "ciphertrust-mixed.zip", as_zip([("mixed.json", as_list([
        ciphertrust("2026-02-01 08:00:04.5 UTC", "Create Key"),
        record("2026-02-01 08:00:05 UTC", "SIGN_SINGLEPART", key=1),
        ciphertrust("2026-02-01 08:00:06 UTC", "Delete Key Version", meta='{"keyName":"kek","version":3}'),
        ciphertrust("2026-02-01 08:00:07 UTC", "Login", status="failure"),
        record("2026-02-01 08:00:08 UTC", "LOGIN", "UM_PIN_INCORRECT", role="public"),
    ]))])
    times = ["08:00:01 UTC", "08:00:01.250 UTC", "08:00:02.000417 UTC", "08:00:03.5 UTC", "08:00:04.123456789 UTC"]
    yield "time-precisions.json", as_list(
        [record(f"2026-02-02 {t}", "GEN_KCV", key=1) for t in times]
        + [record(t, "GEN_KCV", key=2) for t in ("2026-02-02T08:00:01Z", "2026-02-02T09:00:01.000250+01:00")])
    yield "meta-forms.json", as_list([
        record("2026-02-03 08:00:01 UTC", "LOGIN"),
        record("2026-02-03 08:00:02 UTC", "LOGIN", meta_as=dict),
        record("2026-02-03 08:00:03 UTC", "LOGIN") | {"meta": None},
        record("2026-02-03 08:00:04 UTC", "LOGIN") | {"meta": ""},
        record("2026-02-03 08:00:05 UTC", "LOGIN") | {"meta": "{}"},
        record("2026-02-03 08:00:06 UTC", "LOGIN") | {"meta": "no JSON"},
        {k: v for k, v in record("2026-02-03 08:00:07 UTC", "LOGIN").items() if k != "meta"},
        record("2026-02-03 08:00:08 UTC", "SIGN_SINGLEPART", key="", meta_as=dict),
        record("2026-02-03 08:00:09 UTC", "GENERATE_KEY_PAIR", key=[ouid(1), ouid(2)], meta_as=dict),
        record("2026-02-03 08:00:10 UTC", "SIGN_SINGLEPART", key=ouid(1).upper()),
    ])
    odd = [
        record("2026-02-04 08:00:01 UTC", "BRAND_NEW_ACTION", "BRAND_NEW_STATUS", colour="blue", retries=3),
        dict(reversed(record("2026-02-04 08:00:02 UTC", "LOGIN").items())),
        {(k.lower() if k.endswith("ID") else k): v for k, v in record("2026-02-04 08:00:03 UTC", "LOGIN").items()},
        {"time": "2026-02-04 08:00:04 UTC", "action": None},
    ]
    escaped = json.dumps(record("2026-02-04 08:00:05 UTC", "LOGIN", note="é \u2028 \"quoted\"")).replace("LUNA", "\\u004cUNA")
    yield "odd-but-legal.ndjson", b"\xef\xbb\xbf" + as_lines(odd, "\r\n") + b"\r\n \r\n" + escaped.encode()
    yield "two-members.zip", as_zip([("a.json", as_list(signs(5, range(3)))), ("b.ndjson", as_lines(signs(5, range(3, 5))))])
    yield "folders-and-macosx.zip", as_zip([
        ("logs/", b""), ("logs/a.json", as_list(signs(6, range(2)))), ("__MACOSX/logs/._a.json", b"\0\5\x16\7")])
    yield "same-name-members.zip", as_zip([("a.json", as_list(signs(7, range(2)))), ("a.json", as_list(signs(7, range(2, 5))))])
    yield "stored.zip", as_zip([("a.json", as_list(signs(8, range(2))))], method=zipfile.ZIP_STORED)
    yield "data-descriptor.zip", as_zip([("a.json", as_list(signs(9, range(2))))], descriptors=True)
    yield "zip64.zip", as_zip([("a.json", as_list(signs(10, range(2))))], zip64=True)
    yield "gzip-members.gz", as_gzip(as_lines(signs(11, range(2)))) + as_gzip(as_lines(signs(11, range(2, 5))))
    yield "empty-list.json", b"[]"
    yield "no-members.zip", as_zip([])
    # Rule of duplicates: second 1 stands twice in a and once in b, second 2 once in a and three times in b.
    yield "overlap-a.zip", as_zip([("a.json", as_list(signs(12, (0, 1, 1, 2))))])
    yield "overlap-b.zip", as_zip([("b.ndjson", as_lines(signs(12, (1, 2, 2, 2, 3), meta_as=dict)))])


def asked(day_from, day_to, **more):
    """A side file in its usual form: the body that was posted and the job's answer."""
    answer = {"jobId": f"0b1c0000-0000-4000-8000-00000000{day_from[5:7]}{day_from[8:10]}", "startedAt": "2026-06-01T00:10:00Z",
              "endedAt": "2026-06-01T00:10:07Z", "state": "SUCCEEDED",
              "location": "https://exports.example.org/audit.zip?X-Amz-Signature=0000"}
    body = {"from": day_from, "to": day_to} | more.pop("filters", {})
    return (json.dumps({"request": body, "response": answer | more}, indent=2) + "\n").encode()


def coverage():
    """Archives of two services in May 2026 with the side files of their requests."""
    def of(*days, partition=1, **named):
        return [record(f"2026-05-{day:02d} 09:00:00 UTC", "SIGN_SINGLEPART", partition=partition, key=1, **named) for day in days]

    def with_request(name, content, request):
        yield name, content
        yield f"{name}.request.json", request

    yield from with_request("two-weeks.zip", as_zip([("a.json", as_list(of(1, 2, 5, 14) + of(3, partition=2)))]),
                            asked("2026-05-01T00:00:00Z", "2026-05-15T00:00:00Z"))
    flat = {"FROM": "2026-05-15T00:00:00Z", "to": "2026-05-19T23:59:59Z", "resourceid": "0b1c0000-0000-4000-8000-000000000001"}
    yield from with_request("one-service.gz", as_gzip(as_lines(of(15, 16))), (json.dumps(flat) + "\n").encode())
    yield from with_request("next-day.json", as_list(of(20)), asked(
        "2026-05-20T00:00:00Z", "2026-05-21T00:00:00Z", filters={"resourceId": "0b1c0000-0000-4000-8000-000000000001"}))
    yield from with_request("quiet-day.json", b"[]", asked("2026-05-22T00:00:00Z", "2026-05-23T00:00:00Z"))
    yield from with_request("only-logins.json", as_list([record("2026-05-24 09:00:00 UTC", "LOGIN")]), asked(
        "2026-05-24T00:00:00Z", "2026-05-25T00:00:00Z", filters={"action": "LUNA_LOGIN"}))
    yield from with_request("shifted-window.json", as_list(of(26)), asked("2026-05-26T10:00:00Z", "2026-05-27T10:00:00Z"))
    yield from with_request("broken-request.json", as_list(of(28)), b'{"request": {"from": "2026-05-28"\n')
    yield "no-request.json", as_list(of(29, 31) + of(29, 30, partition=2))


def patched(data, find, offset, replace):
    """Replaces bytes at an offset behind every place where a signature stands."""
    data, at = bytearray(data), data.find(find)
    while at >= 0:
        data[at + offset:at + offset + len(replace)] = replace
        at = data.find(find, at + 1)
    return bytes(data)


def bad():
    lines = as_lines(signs(20, range(5))).splitlines(keepends=True)
    listed = as_list(signs(20, range(5)))
    plain_zip = as_zip([("a.json", as_list(month_of_a_small_service()))])
    yield "truncated.zip", plain_zip[: len(plain_zip) * 2 // 3]
    crc = struct.pack("<I", 0xDEADBEEF)
    yield "bad-crc.zip", patched(patched(as_zip([("a.json", listed)]), b"PK\1\2", 16, crc), b"PK\3\4", 14, crc)
    yield "encrypted.zip", patched(patched(as_zip([("a.json", listed)]), b"PK\1\2", 8, b"\1"), b"PK\3\4", 6, b"\1")
    two = as_zip([("good.json", as_list(signs(21, range(3)))), ("bad.json", as_list(signs(21, range(3, 6))))])
    second = two.find(b"PK\1\2", two.find(b"PK\1\2") + 1)
    yield "one-bad-member.zip", two[: second + 16] + crc + two[second + 20:]
    first, second = as_zip([("a.json", as_list(signs(16, range(3))))]), as_zip([("b.json", as_list(signs(16, range(3, 5))))])
    yield "two-zips-joined.zip", first + second
    both = as_zip([("a.json", as_list(signs(17, range(3)))), ("b.json", as_list(signs(17, range(3, 5))))])
    end, start = both.rfind(b"PK\5\6"), both.find(b"PK\1\2")
    second_entry = both.find(b"PK\1\2", start + 1)
    yield "count-too-low.zip", both[: end + 8] + b"\1\0\1\0" + both[end + 12:]
    size, offset = struct.pack("<I", end - second_entry), both[end + 16: end + 20]
    yield "member-not-in-directory.zip", (
        both[:start] + both[second_entry:end] + both[end:end + 8] + b"\1\0\1\0" + size + offset + both[end + 20:])
    # The data of the first member is said to go on over the second one, which the directory does not name.
    covered = struct.pack("<I", start - 30 - len("a.json"))
    named = both[:18] + covered + both[22:start] + both[start:start + 20] + covered + both[start + 24:second_entry]
    yield "member-behind-data.zip", named + both[end:end + 8] + b"\1\0\1\0" + struct.pack("<I", second_entry - start) + both[end + 16:]
    yield "second-zip-cut.zip", first + both[:-30]
    entry, name = both[start:second_entry], len("a.json")
    broken = entry[:24] + b"\xff" * 4 + entry[28:30] + b"\6\0" + entry[32:46 + name] + b"\1\0\2\0\0\0" + entry[46 + name:]
    yield "broken-entry.zip", (
        both[:start] + broken + both[second_entry:end + 12] + struct.pack("<I", end - start + 6) + both[end + 16:])
    one = as_zip([("a.json", as_list(signs(19, range(3))))])
    end, start = one.rfind(b"PK\5\6"), one.find(b"PK\1\2")
    entries = one[start:end] * 2
    size = struct.pack("<I", len(entries))
    yield "member-named-twice.zip", one[:start] + entries + one[end:end + 8] + b"\2\0\2\0" + size + one[end + 16:]
    yield "bytes-after-end.zip", as_zip([("a.json", as_list(signs(18, range(3))))]) + b"x" * 100
    yield "headers-before.zip", b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\n\r\n" + as_zip([("a.json", as_list(signs(13, range(3))))])
    twice = as_zip([("a.json", as_list(signs(14, range(3))))])
    start = twice.find(b"PK\1\2")
    again = twice[start:]
    end = again.find(b"PK\5\6")
    yield "second-directory.zip", twice + again[:end + 16] + struct.pack("<I", len(twice)) + again[end + 20:] + b"x" * 10
    commented = io.BytesIO()
    with zipfile.ZipFile(commented, "w") as file:
        file.writestr(zipfile.ZipInfo("a.json", DATE), as_list(signs(10, range(2, 4))), compress_type=zipfile.ZIP_DEFLATED)
        file.comment = b"made by hand"
    yield "zip-comment.zip", commented.getvalue()
    other_method = io.BytesIO()
    with zipfile.ZipFile(other_method, "w") as file:
        file.writestr(zipfile.ZipInfo("a.json", DATE), listed, compress_type=zipfile.ZIP_BZIP2)
    yield "bzip2-member.zip", other_method.getvalue()
    yield "truncated.gz", as_gzip(b"".join(lines))[:-20]
    yield "zeros-after.gz", as_gzip(as_lines(signs(15, range(3)))) + bytes(512)
    yield "trailing-bytes.gz", as_gzip(as_lines(signs(22, range(3)))) + b"not gzip"
    records = [dump(r) for r in signs(23, range(5))]
    yield "broken-in-the-middle.json", ("[" + ",".join(records[:2] + [records[2].replace('"action":', '"action:')] + records[3:]) + "]").encode()
    yield "trailing-comma.json", ("[" + ",".join(dump(r) for r in signs(24, range(3))) + ",]").encode()
    yield "cut-list.json", as_list(signs(25, range(3)))[:-100]
    broken = as_lines(signs(26, range(5))).splitlines(keepends=True)
    yield "broken-lines.ndjson", broken[0] + b"oops\n" + broken[1][:-9] + b"\n" + broken[2] + b"[1]\n" + broken[3] + b'{"a":01}\n' + broken[4]
    yield "no-usable-time.json", as_list([
        signs(27, [0])[0], signs(27, [1])[0] | {"time": "yesterday"}, signs(27, [2])[0] | {"time": None},
        signs(27, [3])[0] | {"time": 1772182803}, {k: v for k, v in signs(27, [4])[0].items() if k != "time"}, signs(27, [5])[0]])
    yield "not-objects.json", b'[1,"two",null,[4],' + dump(signs(28, [0])[0]).encode() + b"]"
    yield "html-error-page.zip", b"<!DOCTYPE html>\n<html><body><h1>403 Forbidden</h1></body></html>\n"
    yield "json-error-body.json", b'{"error":"unauthorized","status":401}\n'
    yield "empty.json", b""
    yield "blank.json", b" \r\n\t\n"


def main():
    for folder, samples in (("good", good()), ("bad", bad()), ("coverage", coverage())):
        (HERE / folder).mkdir(exist_ok=True)
        for name, content in samples:
            (HERE / folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
