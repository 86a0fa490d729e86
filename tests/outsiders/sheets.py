"""Reads a workbook (XLSX) with nothing but Python's own ZIP and XML, and prints the cells of its sheets as JSON.

    sheets.py FILE  ->  {"sheet": {"rows": [[cell, ...], ...], "frozen": N, "filter": "A1:D9" or null, "bold": [row, ...]}, ...}

Cells are numbers, texts, true or false, or null; a formula is {"formula": "..."}. Rows and columns without cells are filled with null.
"""

import json
import re
import sys
import zipfile
from xml.etree import ElementTree

NAMES = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def text(element):
    whole = "".join(part.text or "" for part in element.iter("{%s}t" % NAMES["m"]))
    return re.sub("_x([0-9A-Fa-f]{4})_", lambda code: chr(int(code[1], 16)), whole)


def column(reference):
    number = 0
    for letter in re.match("[A-Z]+", reference)[0]:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def cell(element, texts):
    formula, value, kind = element.find("m:f", NAMES), element.find("m:v", NAMES), element.get("t", "n")
    if formula is not None:
        return {"formula": formula.text}
    if kind == "inlineStr":
        return text(element)
    if value is None:
        return None
    if kind == "n":
        number = float(value.text)
        return int(number) if number.is_integer() else number
    return {"s": lambda: texts[int(value.text)], "b": lambda: value.text == "1"}[kind]()


def sheet(root, texts, bold_styles):
    rows, bold = [], []
    for row in root.iterfind("m:sheetData/m:row", NAMES):
        cells = {}
        for element in row.iterfind("m:c", NAMES):
            cells[column(element.get("r"))] = cell(element, texts)
            if int(element.get("s", 0)) in bold_styles and int(row.get("r")) not in bold:
                bold.append(int(row.get("r")))
        rows += [[] for _ in range(int(row.get("r")) - 1 - len(rows))]
        rows.append([cells.get(at) for at in range(max(cells, default=-1) + 1)])
    pane, filtered = root.find("m:sheetViews/m:sheetView/m:pane", NAMES), root.find("m:autoFilter", NAMES)
    frozen = int(pane.get("ySplit")) if pane is not None and pane.get("state") == "frozen" else 0
    return {"rows": rows, "frozen": frozen, "filter": None if filtered is None else filtered.get("ref"), "bold": bold}


def main(path):
    archive = zipfile.ZipFile(path)
    assert archive.testzip() is None
    read = lambda name: ElementTree.fromstring(archive.read(name))
    # Every part is XML that can be read.
    parts = {name: read(name) for name in archive.namelist() if name.endswith((".xml", ".rels"))}
    texts = [text(item) for item in parts["xl/sharedStrings.xml"].iterfind("m:si", NAMES)]
    styles = parts["xl/styles.xml"]
    fonts = [font.find("m:b", NAMES) is not None for font in styles.iterfind("m:fonts/m:font", NAMES)]
    bold = {at for at, style in enumerate(styles.iterfind("m:cellXfs/m:xf", NAMES)) if fonts[int(style.get("fontId"))]}
    targets = {relation.get("Id"): relation.get("Target") for relation in parts["xl/_rels/workbook.xml.rels"]}
    found = parts["xl/workbook.xml"].iterfind("m:sheets/m:sheet", NAMES)
    print(json.dumps({entry.get("name"): sheet(parts["xl/" + targets[entry.get(ID)]], texts, bold) for entry in found}))


main(sys.argv[1])
