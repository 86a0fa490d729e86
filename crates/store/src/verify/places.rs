//! Places of rows: every row of `events` is a record of an archive in the ledger, no place is taken twice, and each archive has the
//! rows that its ledger says.
//!
//! Memory: a bit or two for each row (more where they are strewn), some hundred bytes for each archive, and the names of members that have rows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array as _, AsArray as _, DictionaryArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use keytrail_model::ledger::LedgerRow;
use keytrail_model::places::MemberPlaces;
use keytrail_model::schema::{ARCHIVE, MEMBER, ORDINAL, TIME};
use keytrail_model::time::format_service;

/// What is expected of the rows of each archive, and what was found.
#[derive(Default)]
pub(super) struct Places {
    numbers: HashMap<String, usize>,
    books: Vec<Mutex<Book>>,
    /// Rows whose archive is in no ledger, with one of their archives.
    strangers: Mutex<Option<(String, u64)>>,
}

/// One archive.
#[derive(Default)]
struct Book {
    archive: String,
    /// Rows that it stored, by its latest ledger row, and that have been forgotten since.
    stored: u64,
    forgotten: u64,
    /// Records read and members, the most of all its ledger rows: an archive may have been tried again under other limits.
    read: u64,
    members: u64,
    /// Earliest and latest time of its records, over all its ledger rows.
    span: Option<(i64, i64)>,
    ledger_rows: u64,
    /// Run of its latest ledger row.
    run: String,
    rows: u64,
    /// Places that are taken, by the name of the member.
    taken: MemberPlaces,
    repeats: u64,
    /// The first place that was taken twice, by member and ordinal: the same one whatever file was read first.
    repeated: Option<(String, u64)>,
    /// A row that the ledger rules out: what it is, and what the ledger says.
    outside: Option<(String, String)>,
}

/// Consecutive rows of one member whose ordinals are consecutive, too.
struct Stretch<'a> {
    archive: &'a str,
    member: &'a str,
    first: i64,
    rows: u64,
    times: Option<(i64, i64)>,
}

impl Places {
    /// Adds a row of the ledger; rows of one archive in the order of their runs.
    pub(super) fn expect(&mut self, row: &LedgerRow) {
        let number = *self.numbers.entry(row.archive.clone()).or_insert(self.books.len());
        if number == self.books.len() {
            self.books.push(Mutex::new(Book { archive: row.archive.clone(), ..Book::default() }));
        }
        let Some(book) = self.books.get_mut(number) else {
            return;
        };
        let book = book.get_mut().unwrap_or_else(PoisonError::into_inner);
        book.stored = row.records.stored;
        book.read = book.read.max(row.records.read);
        book.members = book.members.max(row.members);
        book.span = match (book.span, row.first_time.zip(row.last_time)) {
            (Some((from, to)), Some((first, last))) => Some((from.min(first), to.max(last))),
            (span, other) => span.or(other),
        };
        book.ledger_rows += 1;
        book.run.clone_from(&row.run);
    }

    /// Rows of an archive were removed by a commit that says so.
    pub(super) fn forget(&mut self, archive: &str, rows: u64) {
        if let Some(book) = self.numbers.get(archive).and_then(|&number| self.books.get_mut(number)) {
            let book = book.get_mut().unwrap_or_else(PoisonError::into_inner);
            book.forgotten = book.forgotten.saturating_add(rows);
        }
    }

    /// Takes the places of rows of `events`: a batch with `archive`, `member` (dictionaries), `ordinal` and `time`. Nothing where
    /// the batch has other columns. May be called from any thread.
    pub(super) fn take_rows(&self, batch: &RecordBatch) -> Option<()> {
        self.each_stretch(batch, |book, stretch| match book {
            Some(book) => book.take(&stretch),
            None => self.stranger(stretch.archive, stretch.rows),
        })
    }

    /// Takes the places of rejects of a run: the same columns but `time`, plain texts.
    pub(super) fn take_rejects(&self, batch: &RecordBatch, run: &str) -> Option<()> {
        // Of an archive that was tried again, the later try has the word, and may see a record where the earlier one saw a reject.
        self.each_stretch(batch, |book, stretch| {
            if let Some(book) = book.filter(|book| book.ledger_rows == 1 && book.run == run) {
                book.take_places(&stretch);
            }
        })
    }

    fn each_stretch(&self, batch: &RecordBatch, mut each: impl FnMut(Option<&mut Book>, Stretch<'_>)) -> Option<()> {
        let archives = Texts::of(batch, ARCHIVE)?;
        let members = Texts::of(batch, MEMBER)?;
        let ordinals = batch.column_by_name(ORDINAL)?.as_primitive_opt::<Int64Type>()?.values();
        let times = batch.column_by_name(TIME).and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        let (mut from, rows) = (0, batch.num_rows());
        while from < rows {
            let (archive, member, first) = (archives.id(from), members.id(from), *ordinals.get(from)?);
            let follows = |row: usize| {
                let expected = first.checked_add(i64::try_from(row - from).ok()?)?;
                (ordinals.get(row) == Some(&expected) && archives.id(row) == archive && members.id(row) == member)
                    .then_some(())
            };
            let end = (from + 1..rows).find(|&row| follows(row).is_none()).unwrap_or(rows);
            let times = times.and_then(|times| {
                let times = times.values().get(from..end)?;
                times.iter().copied().min().zip(times.iter().copied().max())
            });
            let (archive, member) = (archives.text(from).unwrap_or_default(), members.text(from).unwrap_or_default());
            let stretch = Stretch { archive, member, first, rows: (end - from) as u64, times };
            let book = self.numbers.get(archive).and_then(|&number| self.books.get(number));
            each(book.map(|book| book.lock().unwrap_or_else(PoisonError::into_inner)).as_deref_mut(), stretch);
            from = end;
        }
        Some(())
    }

    fn stranger(&self, archive: &str, rows: u64) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, count) = strangers.get_or_insert_with(|| (archive.to_owned(), 0));
        *count += rows;
    }

    /// What is wrong, as pairs of expected and found. Counts are compared where `all_read`: no row was left out.
    pub(super) fn settle(self, all_read: bool) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for book in self.books {
            book.into_inner().unwrap_or_else(PoisonError::into_inner).settle(all_read, &mut wrong);
        }
        if let Some((archive, rows)) = self.strangers.into_inner().unwrap_or_else(PoisonError::into_inner) {
            wrong.push(("archives of the ledger".into(), format!("{rows} rows of others, such as {archive:?}")));
        }
        wrong
    }
}

impl Book {
    fn take(&mut self, stretch: &Stretch<'_>) {
        self.rows += stretch.rows;
        if let Some((first, last)) = stretch.times
            && !self.span.is_some_and(|(from, to)| from <= first && last <= to)
        {
            let ledger = self.span.map(|(from, to)| format!("{} to {}", format_service(from), format_service(to)));
            let expected =
                format!("times of archive {} as in the ledger: {}", self.archive, ledger.unwrap_or("none".into()));
            let found = format!("{} to {}", format_service(first), format_service(last));
            self.outside.get_or_insert((expected, found));
        }
        self.take_places(stretch);
    }

    fn take_places(&mut self, stretch: &Stretch<'_>) {
        let Stretch { member, first, rows, .. } = *stretch;
        let first = u64::try_from(first).ok().filter(|first| first.saturating_add(rows) <= self.read);
        let Some(first) = first else {
            let expected = format!("ordinals below {}, the records read of archive {}", self.read, self.archive);
            let found = format!("ordinal {} and {rows} rows of member {member:?}", stretch.first);
            self.outside.get_or_insert((expected, found));
            return;
        };
        let (again, least) = self.taken.take(member, first, rows);
        self.repeats += again;
        if let Some(ordinal) = least
            && self.repeated.as_ref().is_none_or(|(name, known)| (member, ordinal) < (name, *known))
        {
            self.repeated = Some((member.to_owned(), ordinal));
        }
    }

    fn settle(self, all_read: bool, wrong: &mut Vec<(String, String)>) {
        let Self { archive, stored, forgotten, rows, members, .. } = self;
        let expected = stored.saturating_sub(forgotten);
        if all_read && rows != expected {
            let less = if forgotten > 0 { format!(", {forgotten} of {stored} forgotten") } else { String::new() };
            wrong.push((format!("{expected} rows of archive {archive}, as its ledger says{less}"), format!("{rows}")));
        }
        wrong.extend(self.outside);
        let names = self.taken.members() as u64;
        if names > members {
            wrong.push((format!("at most {members} members of archive {archive}"), format!("rows of {names}")));
        }
        // Members of one name share their places: then a place may be taken as often as there are such members.
        if let Some((member, ordinal)) = self.repeated.filter(|_| names >= members) {
            let found =
                format!("{} rows at places of others, first member {member:?}, ordinal {ordinal}", self.repeats);
            wrong.push((format!("each record of archive {archive} once"), found));
        }
    }
}

/// Texts of a column, compared by number where they are a dictionary's.
enum Texts<'a> {
    Dictionary(&'a DictionaryArray<Int32Type>, &'a arrow::array::StringArray),
    Plain(&'a arrow::array::StringArray),
}

/// What tells one text of a batch from another.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Id<'a> {
    Number(Option<usize>),
    Text(&'a str),
}

impl<'a> Texts<'a> {
    fn of(batch: &'a RecordBatch, name: &str) -> Option<Self> {
        let column = batch.column_by_name(name)?;
        match column.as_dictionary_opt::<Int32Type>() {
            Some(dictionary) => Some(Self::Dictionary(dictionary, dictionary.values().as_string_opt()?)),
            None => column.as_string_opt().map(Self::Plain),
        }
    }

    fn id(&self, row: usize) -> Id<'a> {
        match self {
            Self::Dictionary(dictionary, _) => Id::Number(dictionary.key(row)),
            Self::Plain(texts) => Id::Text(texts.value(row)),
        }
    }

    fn text(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Dictionary(dictionary, texts) => dictionary.key(row).map(|key| texts.value(key)),
            Self::Plain(texts) => texts.is_valid(row).then(|| texts.value(row)),
        }
    }
}
