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
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility, create_udf,
};
use keytrail_model::statuses::{OTHER_FAILURE, StatusCatalogue};
use serde_json::value::RawValue;

/// The functions of a session with these statuses.
pub(crate) fn all(statuses: &Arc<StatusCatalogue>) -> Vec<ScalarUDF> {
    let text =
        |arguments| Signature::new(TypeSignature::Exact(vec![DataType::Utf8View; arguments]), Volatility::Immutable);
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true)));
    vec![
        ScalarUDF::new_from_impl(StatusClass { statuses: Statuses(Arc::clone(statuses)), signature: text(1) }),
        ScalarUDF::new_from_impl(StatusHasClass { statuses: Statuses(Arc::clone(statuses)), signature: text(2) }),
        of_texts("key_ids", list.clone(), |[texts]| {
            lists(texts, |text| Some(key_ids(text)).filter(|ids| !ids.is_empty()))
        }),
        of_texts("json_text", DataType::Utf8View, |[texts, names]| {
            let pairs = texts.iter().zip(names);
            Arc::new(pairs.map(|(text, name)| json_text(text?, name?)).collect::<StringViewArray>())
        }),
        of_texts("json_names", list.clone(), |[texts]| lists(texts, json_names)),
        of_texts("json_items", list, |[texts]| lists(texts, json_items)),
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

/// A function of texts alone, which asks no catalogue.
fn of_texts<const N: usize>(
    name: &'static str,
    returns: DataType,
    apply: impl Fn([&StringViewArray; N]) -> ArrayRef + Send + Sync + 'static,
) -> ScalarUDF {
    let invoke = move |args: &[ColumnarValue]| {
        let constant = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let columns = ColumnarValue::values_to_arrays(args)?;
        let texts: Vec<&StringViewArray> = columns.iter().filter_map(|column| column.as_string_view_opt()).collect();
        let Ok(texts) = <[&StringViewArray; N]>::try_from(texts) else {
            return exec_err!("{name}: expected {N} texts, found {} arguments", args.len());
        };
        result(apply(texts), constant)
    };
    create_udf(name, vec![DataType::Utf8View; N], returns, Volatility::Immutable, Arc::new(invoke))
}

/// Lists of texts, one for each text; null where there is none.
fn lists<T: AsRef<str>>(texts: &StringViewArray, of: impl Fn(&str) -> Option<Vec<T>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    for text in texts {
        lists.append_option(text.and_then(&of).map(|items| items.into_iter().map(Some)));
    }
    Arc::new(lists.finish())
}

type Members = std::collections::BTreeMap<String, Box<RawValue>>;

fn json_text(text: &str, name: &str) -> Option<String> {
    let member = serde_json::from_str::<Members>(text).ok()?.remove(name)?;
    // Only texts are looked into: a number may have any length, a list any depth.
    match member.get() {
        "null" => None,
        text if text.starts_with('"') => serde_json::from_str(text).ok(),
        value => Some(value.to_owned()),
    }
}

fn json_names(text: &str) -> Option<Vec<String>> {
    serde_json::from_str::<Members>(text).ok().map(|members| members.into_keys().collect())
}

fn json_items(text: &str) -> Option<Vec<String>> {
    let items = serde_json::from_str::<Vec<Box<RawValue>>>(text).ok()?;
    Some(items.into_iter().map(|item| item.get().to_owned()).collect())
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
            (r#"{"a":1e400}"#, "a", Some("1e400")),
            (r#"{"a":[1e400]}"#, "a", Some("[1e400]")),
            (r#"{"a":12345678901234567890.0123456789}"#, "a", Some("12345678901234567890.0123456789")),
            (r#"{"a":1}"#, "A", None),
            ("[1]", "a", None),
            ("{", "a", None),
            ("", "a", None),
        ] {
            assert_eq!(json_text(text, name).as_deref(), expected, "{text} {name}");
        }
    }

    #[test]
    fn members_of_any_depth() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(json_text(&format!(r#"{{"a":{deep}}}"#), "a").as_ref(), Some(&deep));
        assert_eq!(json_names(&format!(r#"{{"a":{deep}}}"#)), Some(vec!["a".into()]));
        assert_eq!(json_items(&format!("[{deep}]")), Some(vec![deep]));
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
