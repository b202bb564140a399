//! The query: checked whole, read by parameter.

use super::percent::triplet;
use super::plan::IntakePlan;

/// Why a query is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryError {
    /// It is not a query; the text says why.
    Malformed(&'static str),
    /// It has more parameters than the plan allows.
    TooManyParameters,
}

/// Checks characters, percent-encoding, UTF-8 and the number of parameters.
///
/// # Errors
/// When one of them is wrong.
pub fn check<'a>(raw: &'a [u8], plan: &IntakePlan) -> Result<&'a str, QueryError> {
    let mut parameters = 1u32;
    let mut encoded = false;
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                encoded = true;
                match triplet(tail) {
                    None => return Err(QueryError::Malformed("`%` is not followed by two hex digits")),
                    Some(0) => return Err(QueryError::Malformed("an encoded NUL")),
                    Some(_) => {}
                }
            }
            b'&' => parameters = parameters.saturating_add(1),
            b'#' => return Err(QueryError::Malformed("a fragment delimiter in the query")),
            0..=0x20 | 0x7f => return Err(QueryError::Malformed("a control character or space")),
            0x80.. => return Err(QueryError::Malformed("a raw byte outside ASCII")),
            _ => {}
        }
    }
    if parameters > plan.max_query_parameters {
        return Err(QueryError::TooManyParameters);
    }
    // Only ASCII was seen above.
    let text = std::str::from_utf8(raw).map_err(|_| QueryError::Malformed("not ASCII"))?;
    if encoded && super::percent::decode_text(text, super::percent::Plus::Space).is_none() {
        return Err(QueryError::Malformed("not UTF-8 once decoded"));
    }
    Ok(text)
}

/// The parameters of a query as raw name and value; a parameter without `=` has an empty value.
pub fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> IntakePlan {
        IntakePlan { max_query_parameters: 3, ..IntakePlan::default() }
    }

    #[test]
    fn good_queries_pass() {
        for raw in ["", "a=1", "a=1&b=%C3%A9&c", "q=a+b", "x='\"<>|"] {
            assert_eq!(check(raw.as_bytes(), &plan()), Ok(raw));
        }
        let pairs: Vec<_> = parameters("a=1&&b&c=d=e").collect();
        assert_eq!(pairs, [("a", "1"), ("b", ""), ("c", "d=e")]);
    }

    #[test]
    fn bad_queries_do_not() {
        for raw in ["a=%", "a=%0", "a=%00", "a=%ff", "a=#", "a= b"] {
            assert!(matches!(check(raw.as_bytes(), &plan()), Err(QueryError::Malformed(_))), "{raw}");
        }
        assert_eq!(check(b"a&b&c&d", &plan()), Err(QueryError::TooManyParameters));
        assert!(check(b"a&b&c", &plan()).is_ok());
    }
}
