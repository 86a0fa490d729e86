//! The report as a workbook for spreadsheets: a sheet `summary` with figures, findings, sheets and limits, a sheet `days`, and a sheet for
//! each table, named by its key.
//!
//! Counts are numbers, yes and no are logical values, everything else is text as in the other forms: a text is never a formula, whatever it
//! begins with. Hidden characters are spelt out. What a spreadsheet cannot hold is cut, and the summary says so. Nothing depends on the
//! clock: the workbook says that it was made at the month's beginning.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

use super::RenderError;
use super::model::{MonthlyReport, TABLE_ROWS_MAX, Table, Value};
use super::text;

/// UTF-16 units that a cell of a spreadsheet holds.
const CELL_UNITS_MAX: usize = 32_767;
/// Rows that a sheet holds, the one with the names of columns included.
const SHEET_ROWS_MAX: usize = 1_048_576;
const _: () = assert!(TABLE_ROWS_MAX < SHEET_ROWS_MAX, "no sheet is cut that is a table");
/// Beyond it digits of a number would be lost.
const EXACT_MAX: i64 = 1 << 53;
/// Widths of columns, in characters.
const WIDTHS: (usize, usize) = (8, 60);
/// Rows that decide about the width of a column.
const ROWS_FOR_WIDTH: usize = 1_000;
/// Behind a text that was cut.
const CUT: &str = "... (cut)";

pub(super) fn render(report: &MonthlyReport) -> Result<Vec<u8>, RenderError> {
    let mut tables: Vec<Sheet> = vec![days(report)?];
    for table in report.sections.iter().flat_map(|section| &section.tables) {
        tables.push(Sheet::of(table)?);
    }
    let texts_cut = tables.iter().map(|sheet| sheet.texts_cut).sum();
    let mut workbook = Workbook::new();
    workbook.set_properties(&properties(report)?);
    workbook.push_worksheet(summary(report, texts_cut)?.sheet);
    for sheet in tables {
        workbook.push_worksheet(sheet.sheet);
    }
    Ok(workbook.save_to_buffer()?)
}

fn properties(report: &MonthlyReport) -> Result<DocProperties, XlsxError> {
    let begin = Timestamp::from_microsecond(report.from).unwrap_or_default().to_zoned(TimeZone::UTC);
    // Dates of spreadsheets begin in 1900.
    let year = u16::try_from(begin.year()).unwrap_or_default().max(1900);
    let made = ExcelDateTime::from_ymd(year, begin.month().unsigned_abs(), 1)?;
    let title = format!("HSM audit report {}", report.month);
    Ok(DocProperties::new().set_title(title).set_creation_datetime(&made))
}

/// A sheet that is written row by row.
struct Sheet {
    sheet: Worksheet,
    row: u32,
    widths: Vec<usize>,
    texts_cut: usize,
}

impl Sheet {
    fn new(name: &str) -> Result<Self, XlsxError> {
        let mut sheet = Worksheet::new();
        sheet.set_name(name)?;
        Ok(Self { sheet, row: 0, widths: Vec::new(), texts_cut: 0 })
    }

    /// The sheet of a table.
    fn of(table: &Table) -> Result<Self, XlsxError> {
        let names: Vec<&str> = table.columns.iter().map(String::as_str).collect();
        Self::filled(table.key, &names, table.rows.iter().map(Vec::as_slice))
    }

    /// A sheet of rows under the names of their columns, which stay in sight and can be filtered by.
    fn filled<'a>(name: &str, columns: &[&str], rows: impl Iterator<Item = &'a [Value]>) -> Result<Self, XlsxError> {
        let mut sheet = Self::new(name)?;
        sheet.head(columns)?;
        for row in rows {
            sheet.values(row)?;
        }
        sheet.sheet.set_freeze_panes(1, 0)?;
        let last_column = u16::try_from(columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
        sheet.sheet.autofilter(0, 0, sheet.row.saturating_sub(1), last_column)?;
        sheet.set_widths()?;
        Ok(sheet)
    }

    /// A row in bold.
    fn head(&mut self, names: &[&str]) -> Result<(), XlsxError> {
        let bold = Format::new().set_bold();
        for (column, name) in (0..).zip(names) {
            self.sheet.write_string_with_format(self.row, column, *name, &bold)?;
            // Room for the button of the filter.
            self.widen(column, name.chars().count() + 3);
        }
        self.row += 1;
        Ok(())
    }

    fn values(&mut self, values: &[Value]) -> Result<(), XlsxError> {
        for (column, value) in (0..).zip(values) {
            let (at, width) = (self.row, self.value(column, value)?);
            if (at as usize) < ROWS_FOR_WIDTH {
                self.widen(column, width);
            }
        }
        self.row += 1;
        Ok(())
    }

    /// Writes a value and gives its width.
    fn value(&mut self, column: u16, value: &Value) -> Result<usize, XlsxError> {
        let shown = text::visible(&value.to_text());
        let width = shown.chars().count();
        match value {
            Value::Null => {}
            Value::Count(count) if count.abs() <= EXACT_MAX => {
                self.sheet.write_number(self.row, column, *count as f64)?;
            }
            Value::Bool(yes) => {
                self.sheet.write_boolean(self.row, column, *yes)?;
            }
            Value::Count(_) | Value::Text(_) | Value::Time(_) | Value::Date(_) => {
                let text = self.fitting(shown);
                self.sheet.write_string(self.row, column, text)?;
            }
        }
        Ok(width)
    }

    /// The text, or as much of it as a cell holds.
    fn fitting(&mut self, text: String) -> String {
        if text.len() <= CELL_UNITS_MAX || text.encode_utf16().count() <= CELL_UNITS_MAX {
            return text;
        }
        self.texts_cut += 1;
        let mut room = CELL_UNITS_MAX - CUT.len();
        let fits = |character: &char| {
            let left = room.checked_sub(character.len_utf16());
            room = left.unwrap_or(0);
            left.is_some()
        };
        text.chars().take_while(fits).chain(CUT.chars()).collect()
    }

    /// A text over the whole width, in lines.
    fn note(&mut self, text: &str) -> Result<(), XlsxError> {
        let text = self.fitting(text::visible(text));
        self.sheet.write_string(self.row, 0, text)?;
        self.row += 1;
        Ok(())
    }

    fn widen(&mut self, column: u16, width: usize) {
        let column = usize::from(column);
        if self.widths.len() <= column {
            self.widths.resize(column + 1, 0);
        }
        if let Some(known) = self.widths.get_mut(column) {
            *known = width.max(*known);
        }
    }

    fn set_widths(&mut self) -> Result<(), XlsxError> {
        for (column, width) in (0..).zip(&self.widths) {
            self.sheet.set_column_width(column, (*width).clamp(WIDTHS.0, WIDTHS.1) as f64)?;
        }
        Ok(())
    }
}

fn days(report: &MonthlyReport) -> Result<Sheet, XlsxError> {
    let rows: Vec<[Value; 4]> = report
        .days
        .iter()
        .map(|day| {
            let [operations, failures, ciphertrust] = [day.operations, day.failures, day.ciphertrust].map(Value::Count);
            [Value::Date(day.date.clone()), operations, failures, ciphertrust]
        })
        .collect();
    let columns = ["date", "operations", "failures", "ciphertrust"];
    Sheet::filled("days", &columns, rows.iter().map(<[Value; 4]>::as_slice))
}

/// What the report is about, its figures and findings, what is on which sheet, and what the log cannot show.
fn summary(report: &MonthlyReport, texts_cut: usize) -> Result<Sheet, XlsxError> {
    let text = |text: &str| Value::Text(text.into());
    let mut sheet = Sheet::new("summary")?;
    sheet.head(&["report", "monthly"])?;
    for (name, value) in [
        ("month", text(&report.month)),
        ("from", Value::Time(report.from)),
        ("until", Value::Time(report.until)),
        ("keytrail_version", text(report.keytrail_version)),
        ("store_version", Value::Count(i64::try_from(report.store.version).unwrap_or(i64::MAX))),
        ("store_head", text(&report.store.head)),
        ("empty", Value::Bool(report.empty)),
    ] {
        sheet.values(&[text(name), value])?;
    }
    sheet.row += 1;
    sheet.head(&["figure", "count", "label"])?;
    for figure in &report.summary {
        sheet.values(&[text(figure.key), Value::Count(figure.count), text(figure.label)])?;
    }
    sheet.row += 1;
    sheet.head(&["finding", "count", "severity", "text"])?;
    for finding in &report.findings {
        let severity = text(finding.severity.as_str());
        sheet.values(&[text(finding.key), Value::Count(finding.count), severity, text(&finding.text)])?;
    }
    sheet.row += 1;
    sheets(report, &mut sheet)?;
    // What follows is longer than a column should be wide.
    sheet.set_widths()?;
    sheet.row += 1;
    sheet.head(&["notes"])?;
    for section in &report.sections {
        sheet.note(&format!("{}: {}", section.title, section.text))?;
    }
    sheet.note(&format!(
        "A sheet holds up to {TABLE_ROWS_MAX} rows of a table, a cell up to {CELL_UNITS_MAX} characters. Texts cut: {texts_cut}."
    ))?;
    sheet.row += 1;
    sheet.head(&["limits"])?;
    for limit in &report.limits {
        sheet.note(limit)?;
    }
    sheet.sheet.set_freeze_panes(1, 0)?;
    Ok(sheet)
}

/// The sheets, with how many of the rows of their tables they hold.
fn sheets(report: &MonthlyReport, sheet: &mut Sheet) -> Result<(), XlsxError> {
    let text = |text: &str| Value::Text(text.into());
    let count = |count: u64| Value::Count(i64::try_from(count).unwrap_or(i64::MAX));
    sheet.head(&["sheet", "rows", "rows_total", "title"])?;
    for (section, table) in
        report.sections.iter().flat_map(|section| section.tables.iter().map(move |table| (section, table)))
    {
        let title = format!("{}: {}", section.title, table.title);
        sheet.values(&[text(table.key), count(table.rows.len() as u64), count(table.rows_total), text(&title)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fill_a_cell_and_no_more() {
        let mut sheet = Sheet::new("s").unwrap();
        for text in ["=1+1".to_owned(), "x".repeat(CELL_UNITS_MAX), "é".repeat(CELL_UNITS_MAX)] {
            assert_eq!(sheet.fitting(text.clone()), text);
        }
        assert_eq!(sheet.texts_cut, 0);
        for text in ["x".repeat(CELL_UNITS_MAX + 1), "\u{1f511}".repeat(CELL_UNITS_MAX / 2 + 1)] {
            let cut = sheet.fitting(text.clone());
            let kept = cut.strip_suffix(CUT).unwrap();
            assert!(text.starts_with(kept));
            let units = cut.encode_utf16().count();
            assert!((CELL_UNITS_MAX - 1..=CELL_UNITS_MAX).contains(&units), "{units}");
        }
        assert_eq!(sheet.texts_cut, 2);
    }
}
