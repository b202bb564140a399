//! Writing (RFC 9651, section 4.1). What cannot be written is an error, never something else.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    Bare, Dictionary, InnerList, Item, MAX_INTEGER, Malformed, Member, Parameters, begins_key, begins_token,
    in_key, in_token,
};

/// Appends an item.
///
/// # Errors
/// When something in it has no form: a number that is too large, a string that is not ASCII, a key with
/// characters that keys do not have. What was appended by then is of no use.
pub fn write_item(item: &Item, into: &mut String) -> Result<(), Malformed> {
    bare(&item.value, into)?;
    write_parameters(&item.parameters, into)
}

/// Appends a list.
///
/// # Errors
/// As [`write_item`].
pub fn write_list(members: &[Member], into: &mut String) -> Result<(), Malformed> {
    for (index, entry) in members.iter().enumerate() {
        if index > 0 {
            into.push_str(", ");
        }
        member(entry, into)?;
    }
    Ok(())
}

/// Appends a dictionary.
///
/// # Errors
/// As [`write_item`].
pub fn write_dictionary(members: &Dictionary, into: &mut String) -> Result<(), Malformed> {
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            into.push_str(", ");
        }
        key(name, into)?;
        match value {
            Member::Item(Item { value: Bare::Boolean(true), parameters }) => {
                write_parameters(parameters, into)?;
            }
            other => {
                into.push('=');
                member(other, into)?;
            }
        }
    }
    Ok(())
}

/// Appends a list in parentheses.
///
/// # Errors
/// As [`write_item`].
pub fn write_inner_list(list: &InnerList, into: &mut String) -> Result<(), Malformed> {
    into.push('(');
    for (index, item) in list.items.iter().enumerate() {
        if index > 0 {
            into.push(' ');
        }
        write_item(item, into)?;
    }
    into.push(')');
    write_parameters(&list.parameters, into)
}

/// Appends parameters.
///
/// # Errors
/// As [`write_item`].
pub fn write_parameters(parameters: &Parameters, into: &mut String) -> Result<(), Malformed> {
    for (name, value) in parameters {
        into.push(';');
        key(name, into)?;
        if *value != Bare::Boolean(true) {
            into.push('=');
            bare(value, into)?;
        }
    }
    Ok(())
}

fn member(member: &Member, into: &mut String) -> Result<(), Malformed> {
    match member {
        Member::Item(item) => write_item(item, into),
        Member::Inner(list) => write_inner_list(list, into),
    }
}

fn key(name: &str, into: &mut String) -> Result<(), Malformed> {
    if !name.bytes().next().is_some_and(begins_key) || !name.bytes().all(in_key) {
        return Err(Malformed);
    }
    into.push_str(name);
    Ok(())
}

fn bare(value: &Bare, into: &mut String) -> Result<(), Malformed> {
    match value {
        Bare::Integer(number) => integer(*number, into),
        Bare::Date(seconds) => {
            into.push('@');
            integer(*seconds, into)
        }
        Bare::Decimal(thousandths) => decimal(*thousandths, into),
        Bare::String(text) => {
            into.push('"');
            for character in text.chars() {
                if !matches!(character, ' '..='~') {
                    return Err(Malformed);
                }
                if matches!(character, '"' | '\\') {
                    into.push('\\');
                }
                into.push(character);
            }
            into.push('"');
            Ok(())
        }
        Bare::Token(token) => {
            if !token.bytes().next().is_some_and(begins_token) || !token.bytes().all(in_token) {
                return Err(Malformed);
            }
            into.push_str(token);
            Ok(())
        }
        Bare::Bytes(bytes) => {
            into.push(':');
            STANDARD.encode_string(bytes, into);
            into.push(':');
            Ok(())
        }
        Bare::Boolean(boolean) => {
            into.push_str(if *boolean { "?1" } else { "?0" });
            Ok(())
        }
        Bare::Display(text) => {
            into.push_str("%\"");
            for byte in text.bytes() {
                match byte {
                    b'%' | b'"' | 0..=0x1f | 0x7f.. => write!(into, "%{byte:02x}").map_err(|_| Malformed)?,
                    plain => into.push(char::from(plain)),
                }
            }
            into.push('"');
            Ok(())
        }
    }
}

fn integer(number: i64, into: &mut String) -> Result<(), Malformed> {
    if !(-MAX_INTEGER..=MAX_INTEGER).contains(&number) {
        return Err(Malformed);
    }
    into.push_str(itoa::Buffer::new().format(number));
    Ok(())
}

fn decimal(thousandths: i64, into: &mut String) -> Result<(), Malformed> {
    if !(-MAX_INTEGER..=MAX_INTEGER).contains(&thousandths) {
        return Err(Malformed);
    }
    let sign = if thousandths < 0 { "-" } else { "" };
    let (whole, part) = (thousandths.unsigned_abs() / 1000, thousandths.unsigned_abs() % 1000);
    let part = format!("{part:03}");
    let part = part.trim_end_matches('0');
    let part = if part.is_empty() { "0" } else { part };
    write!(into, "{sign}{whole}.{part}").map_err(|_| Malformed)
}
