//! Form bodies: what passes is read alike by every reader of forms.

use std::cell::RefCell;

use bartizan_engine::pipeline::Engine;
use bartizan_engine::reason::Reason;

use crate::fixture;

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(fixture::engine());
}

/// Any bytes as a form, sent to a route that takes up to six fields of up to 64 bytes.
pub fn run(data: &[u8]) -> bool {
    let mut head = fixture::line("POST", b"/form");
    head.push((b"content-type".to_vec(), b"application/x-www-form-urlencoded".to_vec()));
    let judged = ENGINE.with_borrow_mut(|engine| fixture::send(engine, &head, &[(data, true)], false));
    match judged.outcome {
        Ok(_) => {
            let fields = read(data).unwrap_or_else(|why| panic!("a form passed: {why}"));
            assert!(fields.len() <= 6, "{} fields passed", fields.len());
            let long = fields.iter().flat_map(|(name, value)| [name, value]).any(|part| part.len() > 64);
            assert!(!long, "a name or value over the limit passed");
            true
        }
        Err(refusal) if refusal.reason == Reason::BodyMalformed => {
            assert!(read(data).is_err(), "a good form is refused: {}", refusal.detail);
            false
        }
        Err(_) => false,
    }
}

/// A reader of forms as simple as can be.
fn read(data: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
    if data.is_empty() {
        return Ok(Vec::new());
    }
    let text = std::str::from_utf8(data).map_err(|_| "not UTF-8")?;
    if !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Err("a byte that is not printable ASCII");
    }
    text.split('&')
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            if name.is_empty() { Err("no name") } else { Ok((decode(name)?, decode(value)?)) }
        })
        .collect()
}

fn decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '+' => bytes.push(b' '),
            '%' => {
                let high = rest.next().and_then(|c| c.to_digit(16)).ok_or("no hex digit")?;
                let low = rest.next().and_then(|c| c.to_digit(16)).ok_or("no hex digit")?;
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
            }
            c => bytes.extend(c.to_string().bytes()),
        }
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8 once decoded")
}
