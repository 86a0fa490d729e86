//! SQL functions that carry the meaning of the log.
//!
//! - `status_class(status)`: the class a status counts under first; a null status is an `other_failure`.
//! - `status_has_class(status, class)`: whether it counts under a class, first or second.
//! - `key_ids(ouid)`: the keys an OUID text names, in lower case, each once; null where it names none.
//! - `json_text(json, name)`: a member of a JSON object, a text as it is, anything else as JSON; null where there is none, or no object.
//! - `json_names(json)`: the names of the members of a JSON object; null where it is none.
//! - `json_items(json)`: the items of a JSON list, each as JSON; null where it is none.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListBuilder, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use keytrail_model::statuses::{OTHER_FAILURE, StatusCatalogue};
use serde_json::value::RawValue;

/// The functions of a session with these statuses.
pub(crate) fn all(statuses: &Arc<StatusCatalogue>) -> Vec<ScalarUDF> {
    let text =
        |arguments| Signature::new(TypeSignature::Exact(vec![DataType::Utf8View; arguments]), Volatility::Immutable);
    vec![
        ScalarUDF::new_from_impl(StatusClass { statuses: Statuses(Arc::clone(statuses)), signature: text(1) }),
        ScalarUDF::new_from_impl(StatusHasClass { statuses: Statuses(Arc::clone(statuses)), signature: text(2) }),
        ScalarUDF::new_from_impl(KeyIds { signature: text(1) }),
        ScalarUDF::new_from_impl(JsonText { signature: text(2) }),
        ScalarUDF::new_from_impl(JsonNames { signature: text(1) }),
        ScalarUDF::new_from_impl(JsonItems { signature: text(1) }),
    ]
}

/// A shared catalogue; DataFusion compares functions, and the same catalogue makes the same function.
#[derive(Debug, Clone)]
struct Statuses(Arc<StatusCatalogue>);

impl PartialEq for Statuses {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Statuses {}

impl Hash for Statuses {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Statuses {
    fn class<'a>(&'a self, status: Option<&str>) -> &'a str {
        status.map_or(OTHER_FAILURE, |status| self.0.classify(status).class)
    }

    fn has(&self, status: Option<&str>, class: &str) -> bool {
        status.map_or(class == OTHER_FAILURE, |status| self.0.classify(status).has(class))
    }
}

/// Judges each text of a column, the same text mostly once: columns of statuses hold few different texts, and equal views into a
/// Parquet dictionary are equal bits.
fn judge_each<T: Copy>(texts: &StringViewArray, mut judge: impl FnMut(Option<&str>) -> T) -> Vec<T> {
    /// Views remembered at a time; more would make the search dearer than the judgement.
    const REMEMBERED: usize = 32;
    let mut known: Vec<(u128, T)> = Vec::with_capacity(REMEMBERED);
    let of_null = judge(None);
    let mut judged = Vec::with_capacity(texts.len());
    for (index, view) in texts.views().iter().enumerate() {
        if texts.is_null(index) {
            judged.push(of_null);
            continue;
        }
        let verdict = match known.iter().find(|(seen, _)| seen == view) {
            Some((_, verdict)) => *verdict,
            None => {
                if known.len() == REMEMBERED {
                    known.clear();
                }
                let verdict = judge(Some(texts.value(index)));
                known.push((*view, verdict));
                verdict
            }
        };
        judged.push(verdict);
    }
    judged
}

/// The arguments as columns of texts. Where all are constants, so is the result: one row is enough.
fn text_columns(args: &ScalarFunctionArgs) -> Result<(Vec<ArrayRef>, bool)> {
    let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { args.number_rows };
    let columns = args.args.iter().map(|arg| {
        let column = arg.to_array(rows)?;
        Ok(arrow::compute::cast(&column, &DataType::Utf8View)?)
    });
    Ok((columns.collect::<Result<_>>()?, constant))
}

fn result(column: ArrayRef, constant: bool) -> Result<ColumnarValue> {
    if constant {
        return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&column, 0)?));
    }
    Ok(ColumnarValue::Array(column))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct StatusClass {
    statuses: Statuses,
    signature: Signature,
}

impl ScalarUDFImpl for StatusClass {
    fn name(&self) -> &'static str {
        "status_class"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (columns, constant) = text_columns(&args)?;
        let [statuses] = columns.as_slice() else {
            return exec_err!("status_class: expected one argument, found {}", columns.len());
        };
        let classes = judge_each(statuses.as_string_view(), |status| self.statuses.class(status));
        result(Arc::new(StringViewArray::from_iter_values(classes)), constant)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct StatusHasClass {
    statuses: Statuses,
    signature: Signature,
}

impl StatusHasClass {
    fn judge(&self, statuses: &StringViewArray, classes: &StringViewArray) -> BooleanArray {
        let constant = classes.views().iter().all(|view| Some(view) == classes.views().first());
        if constant && classes.null_count() == 0 && !classes.is_empty() {
            let class = classes.value(0);
            return judge_each(statuses, |status| self.statuses.has(status, class)).into();
        }
        let pairs = statuses.iter().zip(classes);
        pairs.map(|(status, class)| Some(self.statuses.has(status, class?))).collect()
    }
}

impl ScalarUDFImpl for StatusHasClass {
    fn name(&self) -> &'static str {
        "status_has_class"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (columns, constant) = text_columns(&args)?;
        let [statuses, classes] = columns.as_slice() else {
            return exec_err!("status_has_class: expected two arguments, found {}", columns.len());
        };
        result(Arc::new(self.judge(statuses.as_string_view(), classes.as_string_view())), constant)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KeyIds {
    signature: Signature,
}

impl ScalarUDFImpl for KeyIds {
    fn name(&self) -> &'static str {
        "key_ids"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (columns, constant) = text_columns(&args)?;
        let [texts] = columns.as_slice() else {
            return exec_err!("key_ids: expected one argument, found {}", columns.len());
        };
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for text in texts.as_string_view() {
            let ids = text.map(key_ids).unwrap_or_default();
            lists.append_option((!ids.is_empty()).then(|| ids.into_iter().map(Some)));
        }
        result(Arc::new(lists.finish()), constant)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonText {
    signature: Signature,
}

impl ScalarUDFImpl for JsonText {
    fn name(&self) -> &'static str {
        "json_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (columns, constant) = text_columns(&args)?;
        let [texts, names] = columns.as_slice() else {
            return exec_err!("json_text: expected two arguments, found {}", columns.len());
        };
        let pairs = texts.as_string_view().iter().zip(names.as_string_view());
        let members: StringViewArray = pairs.map(|(text, name)| json_text(text?, name?)).collect();
        result(Arc::new(members), constant)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonNames {
    signature: Signature,
}

impl ScalarUDFImpl for JsonNames {
    fn name(&self) -> &'static str {
        "json_names"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (columns, constant) = text_columns(&args)?;
        let [texts] = columns.as_slice() else {
            return exec_err!("json_names: expected one argument, found {}", columns.len());
        };
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for text in texts.as_string_view() {
            let members = text.and_then(|text| serde_json::from_str::<Members>(text).ok());
            lists.append_option(members.map(|members| members.into_keys().map(Some)));
        }
        result(Arc::new(lists.finish()), constant)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonItems {
    signature: Signature,
}

impl ScalarUDFImpl for JsonItems {
    fn name(&self) -> &'static str {
        "json_items"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (columns, constant) = text_columns(&args)?;
        let [texts] = columns.as_slice() else {
            return exec_err!("json_items: expected one argument, found {}", columns.len());
        };
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for text in texts.as_string_view() {
            let items = text.and_then(|text| serde_json::from_str::<Vec<Box<RawValue>>>(text).ok());
            lists.append_option(items.map(|items| items.into_iter().map(|item| Some(item.get().to_owned()))));
        }
        result(Arc::new(lists.finish()), constant)
    }
}

type Members = std::collections::BTreeMap<String, Box<RawValue>>;

fn json_text(text: &str, name: &str) -> Option<String> {
    let member = serde_json::from_str::<Members>(text).ok()?.remove(name)?;
    match serde_json::from_str::<serde_json::Value>(member.get()).ok()? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        _ => Some(member.get().to_owned()),
    }
}

/// The ids in an OUID text: parted by commas, semicolons or blanks, in lower case, each once, in the order of the text.
fn key_ids(text: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for part in text.split(|character: char| matches!(character, ',' | ';') || character.is_whitespace()) {
        let id = part.to_lowercase();
        if !id.is_empty() && !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_an_ouid_text() {
        let cases: [(&str, &[&str]); 7] = [
            ("2C00Ab", &["2c00ab"]),
            ("a1,b2", &["a1", "b2"]),
            (" a1 ; B2,\tc3 ", &["a1", "b2", "c3"]),
            ("A1 a1", &["a1"]),
            ("not hex, kept", &["not", "hex", "kept"]),
            (" , ;", &[]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(key_ids(text), expected, "{text:?}");
        }
    }

    #[test]
    fn members_of_a_json_object() {
        for (text, name, expected) in [
            (r#"{"a":"x \u00e9","b":1}"#, "a", Some("x é")),
            (r#"{"a":"x","b":1.50}"#, "b", Some("1.50")),
            (r#"{"a":{"b": [1]}}"#, "a", Some(r#"{"b": [1]}"#)),
            (r#"{"a":null}"#, "a", None),
            (r#"{"a":1}"#, "A", None),
            ("[1]", "a", None),
            ("{", "a", None),
            ("", "a", None),
        ] {
            assert_eq!(json_text(text, name).as_deref(), expected, "{text} {name}");
        }
    }

    #[test]
    fn judgement_of_many_texts() {
        let texts: Vec<Option<String>> =
            (0..500).map(|n| (n % 7 != 0).then(|| format!("a rather long text {}", n % 90))).collect();
        let column: StringViewArray = texts.iter().map(Option::as_deref).collect();
        let lengths = judge_each(&column, |text| text.map(str::len));
        assert_eq!(lengths, texts.iter().map(|text| text.as_ref().map(String::len)).collect::<Vec<_>>());
    }
}
