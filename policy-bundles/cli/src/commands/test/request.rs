//! A request as people read it.

use bartizan_cases::wire::{RUN_HEADER, Wire};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::output::printable;

/// The most of a body or a value that is shown.
const SHOWN: usize = 400;

/// The request line, headers and the beginning of the body.
pub(super) fn lines(wire: &Wire) -> Vec<String> {
    let host = wire.host.as_deref().map_or_else(|| "no host".to_owned(), shown);
    let mut lines = vec![format!("{} {} on {host} from {}", wire.method, shown(&wire.path), wire.peer)];
    for (name, value) in wire.headers.iter().filter(|(name, _)| name != RUN_HEADER.as_bytes()) {
        lines.push(format!("{}: {}", shown(name), token(value).unwrap_or_else(|| shown(value))));
    }
    if wire.body.is_some() {
        let body = wire.whole_body();
        let chunked = if wire.chunked { ", chunked" } else { "" };
        lines.push(format!("body of {} bytes{chunked}: {}", body.len(), shown(&body)));
    }
    for (name, value) in &wire.trailers {
        lines.push(format!("trailer {}: {}", shown(name), shown(value)));
    }
    // It is a test's, and all the same it shall not steer the terminal.
    lines.iter().map(|line| printable(line)).collect()
}

/// What a token says, instead of the token.
fn token(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let token = text.strip_prefix("Bearer ")?;
    let mut parts = token.split('.').map(|part| {
        let json = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<serde_json::Value>(&json).ok()
    });
    let (header, claims) = (parts.next()??, parts.next()??);
    Some(format!("Bearer, a token with header {header} and claims {claims}"))
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_cases::format::Request;
    use bartizan_cases::wire;

    #[test]
    fn a_request_is_told_with_what_its_token_says_and_without_escape_codes() {
        let text = "{method: POST, path: \"/a\\e[1m\", host: x, client: 127.0.0.9, body: {text: hello}}";
        let request = Request::parse(text, "t").unwrap();
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let token = format!("{}.{}.c2ln", part("{\"alg\":\"ES256\"}"), part("{\"sub\":\"anna\"}"));
        let wire =
            wire::render(&request, 7, wire::Credentials { token: Some(token.clone()), ..Default::default() })
                .unwrap();
        let told = lines(&wire).join("\n");
        assert!(told.starts_with("POST /a\\u{1b}[1m on x from 127.0.0.9\n"), "{told}");
        assert!(told.contains("{\"sub\":\"anna\"}") && !told.contains(&token), "{told}");
        assert!(told.contains("body of 5 bytes: hello") && !told.contains(RUN_HEADER), "{told}");
    }
}
