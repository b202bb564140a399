//! Good requests made bad, in the ways that attackers and broken clients make them bad.
//!
//! Mutations are structured: each changes one part of a request (path, query, headers, token, body, framing)
//! and leaves the rest good, so that the change gets past the rooms before the one it is meant for.

use bartizan_cases::chance::Chance;

use crate::client::h1;
use crate::message::{Body, Request};

/// What is sent.
#[derive(Debug, Clone)]
pub enum Attempt {
    /// A request whose framing is right, whatever else is wrong. Must be answered.
    Whole(Request),
    /// Bytes over HTTP/1.1 that may be no request at all. Must be answered or the connection closed.
    Raw(Vec<u8>),
}

/// Parts that a path or a query is made worse with.
const SPICES: &[&[u8]] = &[
    b"..",
    b"../",
    b"/..;/",
    b"%2e%2e",
    b"%2E%2e/",
    b"%252e",
    b"//",
    b"/./",
    b"%2f",
    b"%5c",
    b"\\",
    b"%00",
    b"%ff",
    b"%c0%af",
    b"%",
    b"%zz",
    b"%u0041",
    b";a=b",
    b"#",
    b"?",
    b"&",
    b"=",
    b"+",
    b"%20",
    b"\xff",
    b"\xc3\x28",
    b"*",
    b"{id}",
    b"~",
    b"'",
    b"' OR 1=1--",
    b"<script>",
    b"%3Cscript%3E",
    b"/etc/passwd",
    b"..%2f..%2fetc%2fpasswd",
    b"\xe2\x80\xae",
    b"%e2%80%ae",
    b"a",
    b":",
    b"@",
    b"|",
    b"^",
    b"\"",
    b"`",
    b"[",
    b"]",
    b"\x7f",
    b"[object]",
];

/// Values that a header is given.
const VALUES: &[&[u8]] = &[
    b"",
    b" ",
    b"\xff\xfe",
    b"\x80",
    b"\xc3\xa4",
    b"\xed\xa0\x80",
    b"a\tb",
    b"0",
    b"-1",
    b"18446744073709551616",
    b"null",
    b"undefined",
    b"NaN",
    b"*/*",
    b"application/json",
    b"application/json; charset=utf-16",
    b"application/json;;;",
    b"APPLICATION/JSON",
    b"text/plain",
    b"multipart/form-data; boundary=\"",
    b"a, b, c",
    b"Bearer",
    b"Bearer ",
    b"Bearer  x",
    b"bearer a.b.c",
    b"Basic dTpw",
    b"\"",
    b"1.2.3.4, 5.6.7.8",
    b"::1",
    b"999.999.999.999",
    b"[::1]:80",
    b"203.0.113.9",
    b"unknown",
    b"' OR '1'='1",
    b"<svg/onload=alert(1)>",
    b"${jndi:ldap://x}",
    b"%00",
    b"session=",
    b"session=a; session=b",
    b";;;=",
    b"a=b; ; c",
    b"gzip",
    b"chunked",
];

/// Headers that mean something to somebody on the way.
const NAMES: &[&[u8]] = &[
    b"authorization",
    b"cookie",
    b"content-type",
    b"content-encoding",
    b"accept",
    b"accept-encoding",
    b"user-agent",
    b"referer",
    b"origin",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"forwarded",
    b"x-auth-subject",
    b"x-original-url",
    b"x-rewrite-url",
    b"x-http-method-override",
    b"x-envoy-original-path",
    b"x-envoy-internal",
    b"x-request-id",
    b"x-real-ip",
    b"via",
    b"expect",
    b"range",
    b"if-match",
    b"te",
    b"trailer",
    b"upgrade",
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"max-forwards",
    b"date",
    b"x",
    b"x-very-long-name",
];

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "GETT", "PROPFIND", "A",
    "M-SEARCH",
];

/// Bodies that a reader of JSON may stumble over.
const JSON: &[&[u8]] = &[
    b"",
    b" ",
    b"{",
    b"}",
    b"[",
    b"{}",
    b"[]",
    b"null",
    b"NaN",
    b"{\"name\":NaN}",
    b"-",
    b"1e999999",
    b"-0",
    b"0x10",
    b"\"\\ud800\"",
    b"\"\\u0000\"",
    b"\"\xff\"",
    b"{\"name\":\"a\",\"name\":\"b\"}",
    b"{\"a\":1,}",
    b"\xef\xbb\xbf{}",
    b"{\"__proto__\":{}}",
    b"{\"name\":\"' OR 1=1--\"}",
    b"{\"name\":\"<script>alert(1)</script>\"}",
    b"tru",
    b"\"",
    b"{\"name\":\"a\"}{\"name\":\"b\"}",
    b"{\"name\":\"../../../../etc/passwd\"}",
    b"\0",
    b"{\"\":\"\"}",
];

const TYPES: &[&[u8]] = &[
    b"application/json",
    b"application/vnd.api+json",
    b"application/x-www-form-urlencoded",
    b"text/plain",
    b"image/png",
    b"application/octet-stream",
    b"multipart/form-data; boundary=x",
    b"",
    b"a/b/c",
    b"\xff",
];

/// Spoils a request: mostly once, sometimes in several places.
pub fn attempt(mut request: Request, chance: &mut Chance) -> Attempt {
    let mutations = 1 + usize::from(chance.once_in(3)) + usize::from(chance.once_in(8));
    for _ in 0..mutations {
        match chance.below(9) {
            0 | 1 => path(&mut request, chance),
            2 => query(&mut request, chance),
            3 | 4 => headers(&mut request, chance),
            5 => token(&mut request, chance),
            6 | 7 => body(&mut request, chance),
            _ => framing(&mut request, chance),
        }
    }
    if chance.once_in(12) { Attempt::Raw(raw(&request, chance)) } else { Attempt::Whole(request) }
}

fn insert(into: &mut Vec<u8>, at: usize, what: &[u8]) {
    let rest = into.split_off(at.min(into.len()));
    into.extend_from_slice(what);
    into.extend_from_slice(&rest);
}

fn path(request: &mut Request, chance: &mut Chance) {
    match chance.below(12) {
        0 => request.method = chance.pick(METHODS).copied().unwrap_or("GET").to_owned(),
        1 => request.path.extend(std::iter::repeat_n(b'a', chance.below(12_000))),
        2 => request.path = (0..chance.below(2000)).flat_map(|_| *b"/a").collect(),
        3 => request.path.reverse(),
        4 => request.path.clear(),
        5 => {
            request.host =
                [None, Some(VALUES)].get(chance.below(2)).copied().flatten().map(|v| pick(v, chance))
        }
        _ => {
            let at = 1 + chance.below(request.path.len());
            insert(&mut request.path, at, &pick(SPICES, chance));
        }
    }
    // An empty target or one without a slash is for the raw attempts: HTTP/1.1 cannot frame it.
    request.path.retain(|b| !b" \r\n\0".contains(b));
    if request.path.first() != Some(&b'/') {
        request.path.insert(0, b'/');
    }
}

fn query(request: &mut Request, chance: &mut Chance) {
    request.path.push(b'?');
    match chance.below(4) {
        0 => (0..chance.below(300)).for_each(|n| request.path.extend(format!("p{n}=v&").bytes())),
        1 => request.path.extend(std::iter::repeat_n(b'q', chance.below(20_000))),
        _ => {
            for _ in 0..=chance.below(4) {
                request.path.extend(pick(&[b"access_token=", b"&name=", b"a=", b"&"], chance));
                request.path.extend(pick(SPICES, chance));
            }
        }
    }
    request.path.retain(|b| !b" \r\n\0".contains(b));
}

fn headers(request: &mut Request, chance: &mut Chance) {
    match chance.below(10) {
        0 => {
            let value = std::iter::repeat_n(b'v', chance.below(60_000)).collect();
            request.headers.push((pick(NAMES, chance), value));
        }
        1 => {
            for n in 0..chance.below(250) {
                request.headers.push((format!("x-many-{n}").into_bytes(), b"v".to_vec()));
            }
        }
        2 => {
            // The same header again, with the same value or another one.
            let at = chance.below(request.headers.len());
            if let Some((name, value)) = request.headers.get(at).cloned() {
                let value = if chance.once_in(2) { value } else { pick(VALUES, chance) };
                request.headers.push((name, value));
            }
        }
        3 => {
            let at = chance.below(request.headers.len());
            if at < request.headers.len() {
                request.headers.remove(at);
            }
        }
        4 => {
            let mut value = chance.bytes(1 + chance.clone().below(64));
            value.retain(|b| !b"\r\n\0".contains(b));
            request.headers.push((pick(NAMES, chance), value));
        }
        5 => request.headers.push((b"x_auth_subject".to_vec(), b"root".to_vec())),
        _ => request.headers.push((pick(NAMES, chance), pick(VALUES, chance))),
    }
}

fn token(request: &mut Request, chance: &mut Chance) {
    let Some((_, value)) = request.headers.iter_mut().find(|(name, _)| name == b"authorization") else {
        return headers(request, chance);
    };
    let length = value.len();
    match chance.below(9) {
        0 => value.truncate(chance.below(length)),
        1 => value.extend(std::iter::repeat_n(b'A', chance.below(55_000))),
        2 => insert(value, chance.below(length), b"."),
        3 => value.retain(|b| *b != b'.'),
        4 => insert(value, chance.below(length), &pick(VALUES, chance)),
        5 => value.extend_from_slice(b"=="),
        6 => {
            let copy = value.clone();
            let name = pick(&[b"cookie".as_slice(), b"authorization"], chance);
            request.headers.push((name, copy));
        }
        _ => {
            let at = chance.below(length);
            if let Some(byte) = value.get_mut(at) {
                *byte = byte.wrapping_add(1).max(b'!');
            }
        }
    }
}

fn body(request: &mut Request, chance: &mut Chance) {
    let bytes = match chance.below(8) {
        0 => nested(chance),
        1 => std::iter::repeat_n(b' ', chance.below(300_000)).collect(),
        2 => chance.bytes(chance.clone().below(2000)),
        3 | 4 => pick(JSON, chance),
        5 => (0..chance.below(60)).flat_map(|n| format!("f{n}=%4{n}&").into_bytes()).collect(),
        _ => {
            let mut bytes = content(&request.body);
            let at = chance.below(bytes.len() + 1);
            match chance.below(3) {
                0 => bytes.truncate(at),
                1 => insert(&mut bytes, at, &pick(JSON, chance)),
                _ => insert(&mut bytes, at, &chance.bytes(3)),
            }
            bytes
        }
    };
    request.body = if bytes.is_empty() && chance.once_in(2) { Body::None } else { Body::Sized(bytes) };
    if chance.once_in(3) {
        request.headers.retain(|(name, _)| name != b"content-type");
        let value = pick(TYPES, chance);
        request.headers.push((b"content-type".to_vec(), value));
    }
}

fn nested(chance: &mut Chance) -> Vec<u8> {
    let depth = chance.below(6000);
    let (open, close) = if chance.once_in(2) { ("[", "]") } else { ("{\"a\":", "}") };
    let mut text = open.repeat(depth);
    text.push('1');
    if !chance.once_in(3) {
        text.push_str(&close.repeat(depth));
    }
    text.into_bytes()
}

fn framing(request: &mut Request, chance: &mut Chance) {
    let bytes = content(&request.body);
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() && pieces.len() < 40 {
        let (piece, after) = rest.split_at((1 + chance.below(rest.len())).min(rest.len()));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces.push(rest.to_vec());
    let sized = chance.once_in(3);
    let mut trailers = Vec::new();
    if !sized && chance.once_in(2) {
        trailers.push((b"x-end".to_vec(), b"1".to_vec()));
        if chance.once_in(2) {
            trailers.push((b"authorization".to_vec(), b"Bearer late".to_vec()));
        }
    }
    request.body = Body::Pieces { pieces, sized, trailers };
}

/// A request as bytes, with its bytes or its framing broken.
fn raw(request: &Request, chance: &mut Chance) -> Vec<u8> {
    let mut wire = h1::head(request);
    wire.extend(content(&request.body));
    let at = chance.below(wire.len());
    match chance.below(8) {
        0 => wire.truncate(at),
        1 => insert(&mut wire, at, b"\r\n"),
        2 => insert(&mut wire, at, b"\0"),
        3 => insert(&mut wire, at, b"\r"),
        4 => insert(&mut wire, at, &chance.bytes(4)),
        5 => return smuggle(chance),
        6 => wire.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n"),
        _ => {
            for _ in 0..=chance.below(8) {
                let at = chance.below(wire.len());
                if let Some(byte) = wire.get_mut(at) {
                    *byte ^= 1 << chance.below(8);
                }
            }
        }
    }
    wire
}

/// Requests whose end two parsers see in different places (RFC 9112, section 11.2).
fn smuggle(chance: &mut Chance) -> Vec<u8> {
    const FRAMINGS: &[&[u8]] = &[
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        b"content-length: +5\r\n\r\nabcde",
        b"content-length: 5, 5\r\n\r\nabcde",
        b"content-length: -1\r\n\r\n",
        b"content-length: 99999999999999999999\r\n\r\nab",
        b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n3\r\nab",
        b"x: a\r\n b\r\n\r\n",
        b": empty\r\n\r\n",
        b"no colon\r\n\r\n",
        b"expect: 100-continue\r\ncontent-length: 3\r\n\r\nabc",
        b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        b"upgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ];
    let line = pick(
        &[
            b"POST /things HTTP/1.1\r\nhost: a\r\n".as_slice(),
            b"POST http://b/things HTTP/1.1\r\nhost: a\r\n",
            b"OPTIONS * HTTP/1.1\r\nhost: a\r\n",
            b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n",
            b"POST /things HTTP/1.0\r\n",
            b"POST /things HTTP/9.9\r\nhost: a\r\n",
            b"POST /things\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
        chance,
    );
    [line, pick(FRAMINGS, chance)].concat()
}

fn content(body: &Body) -> Vec<u8> {
    match body {
        Body::None => Vec::new(),
        Body::Sized(bytes) => bytes.clone(),
        Body::Pieces { pieces, .. } => pieces.concat(),
    }
}

fn pick(from: &[&[u8]], chance: &mut Chance) -> Vec<u8> {
    chance.pick(from).copied().unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_repeat_by_seed_and_differ_from_the_original() {
        let original =
            Request::new("POST", "/things").bearer("a.b.c").body("application/json", "{\"name\":\"a\"}");
        let run = |seed| -> Vec<String> {
            let mut chance = Chance::new(seed);
            (0..2000).map(|_| format!("{:?}", attempt(original.clone(), &mut chance))).collect()
        };
        let attempts = run(1);
        assert_eq!(attempts, run(1));
        assert_ne!(attempts, run(2));
        let unchanged = format!("{:?}", Attempt::Whole(original.clone()));
        assert!(attempts.iter().filter(|a| **a == unchanged).count() < 100);
        assert!(attempts.iter().filter(|a| a.starts_with("Raw")).count() > 100);
    }

    #[test]
    fn a_whole_attempt_keeps_its_request_line_whole() {
        let original = Request::new("GET", "/things/7");
        let mut chance = Chance::new(3);
        for _ in 0..5000 {
            if let Attempt::Whole(request) = attempt(original.clone(), &mut chance) {
                assert!(request.path.starts_with(b"/"));
                assert!(!request.path.iter().any(|b| b" \r\n\0".contains(b)), "{:?}", request.path);
                for (name, value) in &request.headers {
                    assert!(!name.is_empty() && !value.iter().any(|b| b"\r\n\0".contains(b)));
                }
            }
        }
    }
}
