//! The reader and writer of structured fields against httpwg/structured-field-tests.

use std::fs;

use bartizan_conformance::vectors;
use bartizan_engine::structured::{
    Bare, InnerList, Item, Malformed, Member, Parameters, dictionary, item, list, write_dictionary,
    write_item, write_list,
};
use serde_json::{Value, json};

/// Vectors that may be refused by RFC 9651 and are, and why.
const STRICTER: &str =
    "base64 without its padding or with pad bits that are not zero: one value, one spelling";

/// Either of the three types, behind one face.
enum Field {
    Item(Item),
    List(Vec<Member>),
    Dictionary(Vec<(String, Member)>),
}

fn read(kind: &str, lines: &[Value]) -> Result<Field, Malformed> {
    let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
    let text = lines.join(", ");
    match kind {
        "item" => item(text.as_bytes()).map(|parsed| Field::Item(parsed.value)),
        "list" => list(text.as_bytes()).map(|parsed| Field::List(parsed.value)),
        "dictionary" => dictionary(text.as_bytes()).map(|parsed| Field::Dictionary(parsed.value)),
        _ => Err(Malformed),
    }
}

fn write(field: &Field) -> Result<String, Malformed> {
    let mut text = String::new();
    match field {
        Field::Item(item) => write_item(item, &mut text)?,
        Field::List(members) => write_list(members, &mut text)?,
        Field::Dictionary(members) => write_dictionary(members, &mut text)?,
    }
    Ok(text)
}

/// RFC 4648, section 6, as the vectors spell bytes.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(5) {
        let bits = (0..5).fold(0u64, |bits, i| bits << 8 | u64::from(chunk.get(i).copied().unwrap_or(0)));
        let used = (chunk.len() * 8).div_ceil(5);
        for place in 0..8 {
            let digit = u8::try_from(bits >> (35 - 5 * place) & 31).unwrap_or(0);
            text.push(match digit {
                _ if place >= used => '=',
                0..=25 => char::from(b'A' + digit),
                _ => char::from(b'2' + digit - 26),
            });
        }
    }
    text
}

fn from_base32(text: &str) -> Vec<u8> {
    let mut bits = Vec::new();
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = if byte.is_ascii_digit() { byte - b'2' + 26 } else { byte - b'A' };
        bits.extend((0..5).rev().map(|shift| digit >> shift & 1));
    }
    bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

fn bare_value(bare: &Bare) -> Value {
    let typed = |name: &str, value: Value| json!({"__type": name, "value": value});
    match bare {
        Bare::Integer(number) => json!(number),
        Bare::Decimal(thousandths) => json!(*thousandths as f64 / 1000.0),
        Bare::String(text) => json!(text),
        Bare::Boolean(boolean) => json!(boolean),
        Bare::Token(token) => typed("token", json!(token)),
        Bare::Bytes(bytes) => typed("binary", json!(base32(bytes))),
        Bare::Date(seconds) => typed("date", json!(seconds)),
        Bare::Display(text) => typed("displaystring", json!(text)),
    }
}

fn parameters_value(parameters: &Parameters) -> Value {
    parameters.iter().map(|(key, value)| json!([key, bare_value(value)])).collect()
}

fn item_value(item: &Item) -> Value {
    json!([bare_value(&item.value), parameters_value(&item.parameters)])
}

fn member_value(member: &Member) -> Value {
    match member {
        Member::Item(item) => item_value(item),
        Member::Inner(InnerList { items, parameters }) => {
            json!([items.iter().map(item_value).collect::<Value>(), parameters_value(parameters)])
        }
    }
}

fn field_value(field: &Field) -> Value {
    match field {
        Field::Item(item) => item_value(item),
        Field::List(members) => members.iter().map(member_value).collect(),
        Field::Dictionary(members) => {
            members.iter().map(|(key, member)| json!([key, member_value(member)])).collect()
        }
    }
}

/// The vectors write `1.0` as a decimal and `1` as an integer, and numbers that are equal as floats are equal.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => a.is_f64() == b.is_f64() && a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|b| same(value, b)))
        }
        (a, b) => a == b,
    }
}

fn bare_from(value: &Value) -> Result<Bare, String> {
    Ok(match value {
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Bare::Integer(integer),
            // Writing rounds to thousandths, half to even (RFC 9651, section 4.1.5).
            None => Bare::Decimal((number.as_f64().ok_or("no number")? * 1000.0).round_ties_even() as i64),
        },
        Value::String(text) => Bare::String(text.clone()),
        Value::Bool(boolean) => Bare::Boolean(*boolean),
        Value::Object(typed) => {
            let value = typed.get("value").ok_or("no value")?;
            let text = || value.as_str().map(str::to_owned).ok_or("no text");
            match typed.get("__type").and_then(Value::as_str) {
                Some("token") => Bare::Token(text()?),
                Some("binary") => Bare::Bytes(from_base32(&text()?)),
                Some("displaystring") => Bare::Display(text()?),
                Some("date") => Bare::Date(value.as_i64().ok_or("no date")?),
                other => return Err(format!("a type nobody knows: {other:?}")),
            }
        }
        other => return Err(format!("no item: {other}")),
    })
}

fn parameters_from(value: &Value) -> Result<Parameters, String> {
    let pairs = value.as_array().ok_or("no parameters")?;
    pairs
        .iter()
        .map(|pair| Ok((pair[0].as_str().ok_or("no key")?.to_owned(), bare_from(&pair[1])?)))
        .collect()
}

fn item_from(value: &Value) -> Result<Item, String> {
    Ok(Item { value: bare_from(&value[0])?, parameters: parameters_from(&value[1])? })
}

fn member_from(value: &Value) -> Result<Member, String> {
    Ok(match &value[0] {
        Value::Array(items) => {
            let items = items.iter().map(item_from).collect::<Result<_, _>>()?;
            Member::Inner(InnerList { items, parameters: parameters_from(&value[1])? })
        }
        _ => Member::Item(item_from(value)?),
    })
}

fn field_from(kind: &str, value: &Value) -> Result<Field, String> {
    let members = || value.as_array().ok_or("no members");
    Ok(match kind {
        "item" => Field::Item(item_from(value)?),
        "list" => Field::List(members()?.iter().map(member_from).collect::<Result<_, _>>()?),
        "dictionary" => {
            let pair = |pair: &Value| {
                Ok::<_, String>((pair[0].as_str().ok_or("no key")?.to_owned(), member_from(&pair[1])?))
            };
            Field::Dictionary(members()?.iter().map(pair).collect::<Result<_, _>>()?)
        }
        _ => return Err(format!("no type of field: {kind}")),
    })
}

/// The name of a file, and its vectors.
type File = (String, Vec<Value>);

fn files(folder: &str) -> Result<Option<Vec<File>>, String> {
    let Some(root) = vectors::folder()? else { return Ok(None) };
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(folder)).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read(&path).map_err(|e| e.to_string())?;
        let vectors = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        files.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), vectors));
    }
    Ok(Some(files))
}

#[test]
fn parsing() -> Result<(), String> {
    let Some(files) = files("structured-fields")? else { return Ok(()) };
    let (mut read_well, mut refused, mut stricter, mut wrong) = (0, 0, 0, Vec::new());
    for (file, vectors) in files {
        for vector in vectors {
            let name = format!("{file}: {}", vector["name"]);
            let kind = vector["header_type"].as_str().ok_or("no type")?;
            let lines = vector["raw"].as_array().ok_or("no lines")?;
            let must_fail = vector["must_fail"] == true;
            let Ok(field) = read(kind, lines) else {
                match (must_fail, vector["can_fail"] == true && file == "binary.json") {
                    (true, _) => refused += 1,
                    (false, true) => stricter += 1,
                    (false, false) => wrong.push(format!("{name} was refused")),
                }
                continue;
            };
            let expected = &vector["expected"];
            if must_fail {
                wrong.push(format!("{name} was read"));
            } else if !same(&field_value(&field), expected) {
                wrong.push(format!("{name} was read as {}, not {expected}", field_value(&field)));
            } else {
                read_well += 1;
            }
            // Reading and writing again gives the one canonical form.
            let canonical = vector.get("canonical").unwrap_or(&vector["raw"]);
            let canonical: Vec<&str> =
                canonical.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            match write(&field) {
                Ok(text) if !must_fail && text != canonical.concat() => {
                    wrong.push(format!("{name} was written as {text:?}"));
                }
                Ok(_) => {}
                Err(Malformed) => wrong.push(format!("{name} was not written")),
            }
        }
    }
    println!("structured fields: {read_well} read, {refused} refused, {stricter} skipped: {STRICTER}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(stricter > 0 && read_well + refused + stricter >= 1591, "vectors are missing");
    Ok(())
}

#[test]
fn writing() -> Result<(), String> {
    let Some(files) = files("structured-fields/serialisation-tests")? else { return Ok(()) };
    let (mut written, mut refused, mut wrong) = (0, 0, Vec::new());
    for (file, vectors) in files {
        for vector in vectors {
            let name = format!("{file}: {}", vector["name"]);
            let kind = vector["header_type"].as_str().ok_or("no type")?;
            let field = field_from(kind, &vector["expected"]).map_err(|e| format!("{name}: {e}"))?;
            match (write(&field), vector["must_fail"] == true) {
                (Ok(text), false) if vector["canonical"][0] == text.as_str() => written += 1,
                (Err(Malformed), true) => refused += 1,
                (answer, _) => wrong.push(format!("{name}: {answer:?}")),
            }
        }
    }
    println!("structured fields: {written} written, {refused} refused");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(written + refused >= 544, "vectors are missing");
    Ok(())
}
