#!/usr/bin/env python3
"""Does a keytrail store hold exactly the records of these archives?

A model of its own, for anybody who does not want to take keytrail's word: it shares no code with it and needs nothing but Python.

    keytrail export -o export.ndjson
    keytrail archives --format json -o ledger.json          # optional
    python3 check.py ARCHIVE-OR-FOLDER... --export export.ndjson [--ledger ledger.json]

The rule: a record counts as often as it stands in the one archive that holds it most often. Records are equal when their fields are:
key order, blanks, escapes, the form of a fraction (`1.50`, `15e-1`), and whether `meta` is an object or a text that holds one, do not matter; null and absent are the same for
the members that the log is known to have; times are equal when the moment is. A member whose container is damaged gives no record. With the ledger, counts of each archive
(read, rejected) are compared, too, and that every archive is in it.

Exit code 0: equal. 1: differences, the first of them on stdout. 2: an archive that this model cannot judge (a JSON list that is
broken inside: where its next record starts is a matter of rules that are keytrail's own).
"""

import argparse
import collections
import datetime
import gzip
import hashlib
import io
import json
import re
import sys
import zipfile
import zlib
from pathlib import Path

TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?( UTC|[Zz]|[+-]\d\d:\d\d)", re.ASCII)
# What keytrail calls usable ends there.
LAST = datetime.datetime(9999, 12, 30, 21, 59, 59, tzinfo=datetime.timezone.utc)
ENVELOPE = ("time", "source", "resourceID", "actorID", "tenantID", "action", "status", "traceID", "meta")
META = ("clientip", "hsmid", "ouid", "partid", "role")
BLANKS = b" \t\r\n"
SHOWN = 10


class CannotJudge(Exception):
    """The model has no rule for this archive."""


class Damaged(Exception):
    """The container is damaged."""


def moment(text):
    """The moment as text, in UTC, with all its digits; None where there is no usable time."""
    found = TIME.fullmatch(text) if isinstance(text, str) else None
    if not found:
        return None
    day, clock, digits, zone = found.groups()
    zone = zone if zone[0] in "+-" else "+00:00"
    try:
        whole = datetime.datetime.fromisoformat(f"{day}T{clock}{zone}").astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError):
        return None
    digits = (digits or "").rstrip("0")
    return whole.strftime("%Y-%m-%d %H:%M:%S") + ("." + digits if digits else "") if whole <= LAST else None


def parse(text):
    """A JSON value all of whose texts are texts: see `encodable`."""
    return encodable(parse_any(text))


def parse_any(text):
    """A JSON value. Numbers with a point or an exponent keep their value, as texts, and so does -0; NaN and Infinity are no JSON."""
    number = "number {}".format
    whole = lambda digits: number(digits) if digits == "-0" else int(digits)
    fraction = lambda digits: number(one_form(digits))
    return json.loads(text, parse_float=fraction, parse_int=whole, parse_constant=refuse, object_pairs_hook=last_of_each_name)


def one_form(number):
    """One text for all ways to write a number with a point or an exponent: `1.50`, `15e-1` and `1.5` are equal. One that a double does not
    hold to the last digit stays as it is written."""
    double = float(number)
    if double in (float("inf"), float("-inf")):
        return number
    if double == 0:
        mantissa = re.split("[eE]", number)[0]
        return number if re.search("[1-9]", mantissa) else repr(double)
    return repr(double) if decimal(repr(double)) == decimal(number) else number


def decimal(number):
    """Sign, digits without zeros at either end, and the power of ten of a number that is not zero."""
    mantissa, exponent = (re.split("[eE]", number) + ["0"])[:2]
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    power = int(exponent) - len(fraction) + len(digits) - len(digits.rstrip("0"))
    return number.startswith("-"), digits.rstrip("0"), power


def last_of_each_name(pairs):
    """An object. Where a member that gives way has half a surrogate pair, the object has it, too."""
    try:
        return dict(encodable(pairs))
    except UnicodeEncodeError:
        return dict(pairs, **{"\ud800": None})


def encodable(value):
    """The same, of which every text can be written as UTF-8: half a surrogate pair is JSON, but no text."""
    json.dumps(value, ensure_ascii=False).encode()
    return value


def refuse(name):
    raise ValueError(f"{name} is no JSON")


def members(value, names):
    """A JSON object without the known members that say nothing, and with the known names in their usual case."""
    known = {name.lower() for name in names}
    found = {name: member for name, member in value.items() if member is not None or name.lower() not in known}
    for name in names:
        variant = next((other for other in found if other.lower() == name.lower()), name)
        if name not in found and variant in found:
            found[name] = found.pop(variant)
    return found


def canonical(record):
    """A text that is the same for equal records; None where the record cannot be used."""
    if not isinstance(record, dict):
        return None
    record = members(record, ENVELOPE)
    time = moment(record.get("time"))
    if time is None:
        return None
    record["time"] = time
    meta = record.pop("meta", None)
    if isinstance(meta, str):
        try:
            parsed = parse(meta) if meta else {}
        except ValueError:
            parsed = None
        meta = parsed if isinstance(parsed, dict) else meta
    if isinstance(meta, dict):
        meta = members(meta, META)
        if meta.get("ouid") == "":
            del meta["ouid"]
    if meta:
        record["meta"] = meta
    return json.dumps(record, sort_keys=True, ensure_ascii=True)


def members_of(raw):
    """Texts of the members of an archive; in place of a damaged one, None."""
    if raw[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        try:
            with zipfile.ZipFile(io.BytesIO(raw)) as container:
                for info in container.infolist():
                    if info.is_dir():
                        continue
                    try:
                        yield container.read(info)
                    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError):
                        yield None
        except zipfile.BadZipFile:
            yield None
    elif raw[:2] == b"\x1f\x8b":
        try:
            yield gzip.decompress(raw)
        except (OSError, EOFError, zlib.error):
            yield None
    else:
        yield raw


def records_of(text):
    """Records of a member, as parsed values; None for one that is no JSON."""
    text = text.removeprefix(b"\xef\xbb\xbf")
    start = text.lstrip(BLANKS)[:1]
    if start == b"[":
        try:
            records = parse_any(text.decode())
        except ValueError as error:
            raise CannotJudge(f"a broken list: {error}") from error
        return [record_of(lambda: encodable(record)) for record in records]
    if start != b"{":
        raise Damaged("no records")
    return [record_of(lambda: parse(line.decode())) for line in text.split(b"\n") if line.strip(BLANKS)]


def record_of(read):
    try:
        return read()
    except ValueError:
        return None


def read(raw):
    """Counted records of an archive, and how many were rejected."""
    found, rejected = collections.Counter(), 0
    for member in members_of(raw):
        if member is None:
            continue
        try:
            records = records_of(member)
        except Damaged:
            continue
        for record in records:
            text = canonical(record)
            if text is None:
                rejected += 1
            else:
                found[text] += 1
    return found, rejected


def files_of(paths):
    """Files under the given paths, sorted; side files of an export request are no archives."""
    for path in paths:
        below = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in below if file.is_file() and not file.name.endswith(".request.json"))


def main():
    sys.set_int_max_str_digits(0)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archives", nargs="+", type=Path)
    parser.add_argument("--export", required=True, type=Path)
    parser.add_argument("--ledger", type=Path)
    arguments = parser.parse_args()

    expected, archives = collections.Counter(), {}
    for path in files_of(arguments.archives):
        raw = path.read_bytes()
        digest = hashlib.sha256(raw).hexdigest()
        if digest in archives:
            continue
        try:
            found, rejected = read(raw)
        except CannotJudge as reason:
            print(f"{path}: {reason}")
            return 2
        archives[digest] = (path, sum(found.values()) + rejected, rejected)
        expected |= found  # the larger count of each

    stored = collections.Counter()
    with arguments.export.open(encoding="utf-8") as lines:
        stored.update(canonical(parse(line)) for line in lines)

    differences = [
        f"{stored[record]} instead of {expected[record]} times: {record}"
        for record in sorted(expected.keys() | stored.keys(), key=str)
        if stored[record] != expected[record]
    ]
    if arguments.ledger:
        ledger = {row["archive"]: row for row in json.loads(arguments.ledger.read_text(encoding="utf-8"))}
        for digest, (path, total, rejected) in archives.items():
            row = ledger.pop(digest, None)
            if row is None:
                differences.append(f"{path}: not in the ledger: {digest}")
            elif (row["read"], row["rejected"]) != (total, rejected):
                differences.append(f"{path}: read {row['read']}, rejected {row['rejected']} instead of {total}, {rejected}")
        differences += [f"in the ledger and not here: {row['path']}" for row in ledger.values()]

    if differences:
        print(f"{len(differences)} differences, among them")
        print("\n".join(differences[:SHOWN]))
        return 1
    print(f"equal: {sum(expected.values())} records of {len(archives)} archives")
    return 0


if __name__ == "__main__":
    sys.exit(main())
