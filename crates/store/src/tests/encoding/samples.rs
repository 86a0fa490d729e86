//! Rows to encode: of many kinds, and handed in as awkwardly as Arrow allows.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use proptest::prelude::*;

use super::super::*;
use crate::{ColumnEncoder, EncodedColumn};

pub(super) type Text = Option<String>;

/// Rows of a text column, described by what they have in common.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    /// One text, or none, over and over.
    Run(Text, usize),
    /// Texts drawn from a few, some null.
    Drawn { from: Vec<Text>, seed: u64, rows: usize },
    /// Texts that never repeat, each of so many bytes.
    Unique { seed: u64, bytes: usize, rows: usize },
}

pub(super) fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(String::new())),
        6 => "[a-e]{1,3}".prop_map(Some),
        2 => "\\PC{0,20}".prop_map(Some),
        1 => "[a-z]{60,70}".prop_map(Some),
        1 => "[αβ漢🦀]{100,3000}".prop_map(Some),
    ]
}

pub(super) fn rows() -> impl Strategy<Value = Rows> {
    let few = || prop_oneof![Just(1_usize), 1..40_usize, 60..70_usize, 900..1100_usize];
    prop_oneof![
        3 => (text(), prop_oneof![9 => few(), 1 => Just(70_000)]).prop_map(|(text, rows)| Rows::Run(text, rows)),
        4 => (prop::collection::vec(text(), 1..40), any::<u64>(), prop_oneof![9 => few(), 1 => Just(80_000)])
            .prop_map(|(from, seed, rows)| Rows::Drawn { from, seed, rows }),
        1 => (any::<u64>(), 8..40_usize, prop_oneof![9 => few(), 1 => Just(20_000)])
            .prop_map(|(seed, bytes, rows)| Rows::Unique { seed, bytes, rows }),
        1 => (any::<u64>(), 300..5000_usize, 1..400_usize)
            .prop_map(|(seed, bytes, rows)| Rows::Unique { seed, bytes, rows }),
    ]
}

/// Numbers that look random, the same for the same seed.
pub(super) fn draw(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

pub(super) fn texts_of(parts: &[Rows]) -> Vec<Text> {
    let mut texts = Vec::new();
    for part in parts {
        match part {
            Rows::Run(text, rows) => texts.extend(std::iter::repeat_n(text.clone(), *rows)),
            Rows::Drawn { from, seed, rows } => {
                let mut draw = draw(*seed);
                texts.extend((0..*rows).map(|_| from[(draw() >> 32) as usize % from.len()].clone()));
            }
            Rows::Unique { seed, bytes, rows } => {
                let mut draw = draw(*seed);
                texts.extend((0..*rows).map(|_| Some(format!("{:0bytes$x}", draw()))));
            }
        }
    }
    texts
}

/// Cuts rows into pieces: `cuts` are positions in them, more or less.
pub(super) fn pieces(rows: usize, cuts: &[usize]) -> Vec<Range<usize>> {
    let cuts: BTreeSet<_> = cuts.iter().map(|cut| cut % (rows + 1)).chain([0, rows]).collect();
    cuts.iter().zip(cuts.iter().skip(1)).map(|(&from, &until)| from..until).collect()
}

/// The rows as a dictionary array that has entries nobody uses, entries twice, and nulls of both kinds.
pub(super) fn awkward_dictionary(texts: &[Text]) -> DictionaryArray<Int32Type> {
    let distinct: BTreeSet<_> = texts.iter().flatten().map(String::as_str).collect();
    let mut values: Vec<Option<&str>> = vec![Some("nobody uses this"), None];
    values.extend(distinct.iter().map(|text| Some(*text)));
    values.extend(distinct.iter().rev().map(|text| Some(*text)));
    let key = |row: usize, text: &str| {
        let at = distinct.range(..text).count();
        Some((if row.is_multiple_of(2) { 2 + at } else { values.len() - 1 - at }) as i32)
    };
    let positions: HashMap<_, _> = distinct.iter().enumerate().map(|(at, text)| (*text, at)).collect();
    let keys = texts.iter().enumerate().map(|(row, text)| match text {
        Some(text) if distinct.len() < 100 => key(row, text),
        Some(text) => Some(2 + positions[text.as_str()] as i32),
        None if row.is_multiple_of(3) => Some(1),
        None => None,
    });
    DictionaryArray::new(keys.collect(), Arc::new(StringArray::from(values)))
}

pub(super) fn array_of(column: &str, texts: &[Text]) -> ArrayRef {
    match schema::is_dictionary(column) {
        true => Arc::new(awkward_dictionary(texts)),
        false => Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>()),
    }
}

pub(super) fn encode(column: &str, arrays: &[ArrayRef]) -> EncodedColumn {
    let mut encoder = ColumnEncoder::new(column).unwrap();
    arrays.iter().for_each(|array| encoder.push(array).unwrap());
    encoder.finish().unwrap()
}

pub(super) fn parts() -> impl Strategy<Value = Vec<Rows>> {
    prop::collection::vec(rows(), 1..8)
}
