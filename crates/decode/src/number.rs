//! Numbers as canonical text, without the loss of a digit.
//!
//! An integer stays as it was written, however long: the grammar leaves one way to write each (`-0` stays `-0`). Any other number
//! becomes the shortest text that a double reads back, where that text has the very same decimal value; `1.50`, `15e-1` and `1.5` are
//! one number then. Where a double cannot hold the value (too many digits, too large, too small), the text stays as it was written.

/// Appends a number of the JSON grammar in its canonical form. Idempotent.
pub(crate) fn push_canonical(number: &str, out: &mut String) {
    if number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        out.push_str(number);
        return;
    }
    match shortest(number) {
        Some(short) => out.push_str(&short),
        None => out.push_str(number),
    }
}

/// The shortest text of the nearest double, if it has the value of the number.
fn shortest(number: &str) -> Option<String> {
    let double: f64 = number.parse().ok().filter(|double: &f64| double.is_finite())?;
    let short = serde_json::to_string(&double).ok()?;
    (Decimal::of(number)? == Decimal::of(&short)?).then_some(short)
}

/// A decimal value: `0.digits * 10^exponent`, without zeros at either end of the digits.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    /// 0 where there are no digits.
    exponent: i64,
}

impl Decimal {
    /// `None` where the exponent is beyond 64 bits.
    fn of(number: &str) -> Option<Self> {
        let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        let leading_zeros = i64::try_from(digits.len() - significant.len()).ok()?;
        let digits = significant.trim_end_matches('0').to_owned();
        let shift = i64::try_from(whole.len()).ok()? - leading_zeros;
        let exponent = if digits.is_empty() { 0 } else { exponent.parse::<i64>().ok()?.checked_add(shift)? };
        Some(Self { negative, digits, exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(number: &str) -> String {
        let mut out = String::new();
        push_canonical(number, &mut out);
        out
    }

    #[test]
    fn numbers_in_canonical_form() {
        let cases = [
            ("0", "0"),
            ("-0", "-0"),
            ("18446744073709551615", "18446744073709551615"),
            ("-99999999999999999999999999", "-99999999999999999999999999"),
            ("1.5", "1.5"),
            ("1.50", "1.5"),
            ("15e-1", "1.5"),
            ("0.15E+1", "1.5"),
            ("100e-2", "1.0"),
            ("1.0", "1.0"),
            ("1e2", "100.0"),
            ("0.0", "0.0"),
            ("-0.0", "-0.0"),
            ("0e999999999999999999999", "0.0"),
            ("0.1", "0.1"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("0.300000000000000040", "0.30000000000000004"),
            ("0.3000000000000000400001", "0.3000000000000000400001"),
            ("3.14159265358979323846", "3.14159265358979323846"),
            ("4.9e-324", "4.9e-324"),
            ("5e-324", "5e-324"),
            ("1e-400", "1e-400"),
            ("1e400", "1e400"),
            ("1e99999999999999999999", "1e99999999999999999999"),
        ];
        for (number, expected) in cases {
            assert_eq!(canonical(number), expected, "{number}");
            assert_eq!(canonical(expected), expected, "{number} again");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_digit_is_lost(number in "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,20}([eE][+-]?[0-9]{1,3})?") {
            let once = canonical(&number);
            proptest::prop_assert!(Decimal::of(&once) == Decimal::of(&number), "{} became {}", number, once);
            proptest::prop_assert_eq!(canonical(&once), once);
        }
    }
}
