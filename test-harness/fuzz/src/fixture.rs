//! What targets have in common: the policy of `bundle/`, its keys, a moment, and a way to send a request.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bartizan_cases::mint::keys::{self, KeyName, Slot};
use bartizan_compiler::{BUNDLE_FILE, compile_files};
use bartizan_engine::authentication::plan::Algorithm;
use bartizan_engine::headers::Edit;
use bartizan_engine::host::Now;
use bartizan_engine::host::testing::TestHost;
use bartizan_engine::pipeline::{Engine, Exchange, Step, Surroundings};
use bartizan_engine::plan::Plan;
use bartizan_engine::refusal::Refusal;
use bartizan_engine::trace::Trace;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// When everything happens: a moment in 2026, in seconds since the epoch.
pub const NOW_S: u64 = 1_795_132_800;

/// The secret of the issuer `local`, and the variable of the environment that it is in.
pub const SECRET: (&str, &[u8]) = ("FUZZ_SECRET", b"0123456789abcdef0123456789abcdef0123456789abcdef");

/// Header lines: names in lower case, pseudo-headers too.
pub type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// The files of the policy besides `bundle.yaml`.
pub fn files() -> BTreeMap<String, Vec<u8>> {
    let key = KeyName { algorithm: Algorithm::ES256, slot: Slot::First };
    let jwks = keys::jwks(&[key]).expect("the test key is one");
    let item = include_bytes!("../bundle/item.json").to_vec();
    BTreeMap::from([("keys.json".to_owned(), jwks.into_bytes()), ("item.json".to_owned(), item)])
}

/// The policy, compiled.
pub static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let mut files = files();
    files.insert(BUNDLE_FILE.to_owned(), include_bytes!("../bundle/bundle.yaml").to_vec());
    let compiled = compile_files(files);
    match &compiled.plan {
        Some(plan) => plan.clone(),
        None => panic!("bundle/bundle.yaml does not compile:\n{}", compiled.render(false)),
    }
});

/// An engine with a plan; `None` if it does not take it.
pub fn load(plan: Plan) -> Option<Engine> {
    let secret = |_: &str| Some(SECRET.1.to_vec());
    Engine::load(
        plan,
        &Surroundings { secret: &secret, seed: [1, 2], peer_appended: false, peer_verified: true },
    )
    .ok()
}

/// An engine with the policy of `bundle/`.
pub fn engine() -> Engine {
    load(PLAN.clone()).expect("the compiler has loaded the plan")
}

/// A token of the issuer `local` over these texts, well signed.
pub fn signed(header: &[u8], payload: &[u8]) -> Vec<u8> {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = hmac_sha256::HMAC::mac(input.as_bytes(), SECRET.1);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)).into_bytes()
}

/// What came of a request.
#[derive(Debug)]
pub struct Judged {
    /// The refusal, or the headers as upstream gets them.
    pub outcome: Result<Lines, Refusal>,
    /// The edits on the request.
    pub edits: Vec<Edit>,
    /// The edits on the response.
    pub response: Vec<Edit>,
    /// Whether the headers went upstream, whatever came of the body.
    pub opened: bool,
}

/// Sends a request through an engine with a host of its own: nothing is spent yet.
pub fn send(engine: &mut Engine, head: &Lines, frames: &[(&[u8], bool)], trailers: bool) -> Judged {
    send_to(engine, &mut TestHost::with_peer("192.0.2.1"), head, frames, trailers)
}

/// Sends a request: the headers, then each frame of the body with the mark of the end, then trailers if there are any.
/// Without frames and trailers the request ends with its headers.
pub fn send_to(
    engine: &mut Engine,
    host: &mut TestHost,
    head: &Lines,
    frames: &[(&[u8], bool)],
    trailers: bool,
) -> Judged {
    let mut exchange = Exchange::default();
    let pairs: Vec<(&[u8], &[u8])> = head.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
    let (now, mut off) = (Now::from_secs(NOW_S), Trace::off());
    let ends = frames.is_empty() && !trailers;
    let mut step = engine.request_head(&mut exchange, &pairs, ends, now, host, &mut off);
    let mut upstream = None;
    let mut made = Vec::new();
    let mut held = Vec::new();
    let mut follow = |step: &Step, exchange: &mut Exchange, upstream: &mut Option<Lines>| {
        if *step == Step::Continue {
            let edits = exchange.take_edits();
            let lines = upstream.get_or_insert_with(|| head.clone());
            edits.iter().for_each(|edit| apply(edit.borrowed(), lines));
            made.extend(edits);
        }
    };
    follow(&step, &mut exchange, &mut upstream);
    for (piece, end) in frames {
        if matches!(step, Step::Refuse(_)) {
            break;
        }
        let size = if step == Step::Hold {
            held.extend_from_slice(piece);
            held.len() as u64
        } else {
            piece.len() as u64
        };
        step = engine.request_body(&mut exchange, size, *end, &mut || Some(held.clone()), &mut off);
        follow(&step, &mut exchange, &mut upstream);
    }
    if trailers && !matches!(step, Step::Refuse(_)) {
        step = engine.request_trailers(&mut exchange, &mut || Some(held.clone()), &mut off);
        follow(&step, &mut exchange, &mut upstream);
    }
    let mut response = Vec::new();
    engine.response_edits(&exchange, &mut |edit| {
        response.push(match edit {
            Edit::Remove(name) => Edit::Remove(name.into()),
            Edit::Set(name, value) => Edit::Set(name.into(), value.into()),
            Edit::Add(name, value) => Edit::Add(name.into(), value.into()),
        });
    });
    let opened = upstream.is_some();
    let outcome = match (step, upstream) {
        (Step::Refuse(refusal), _) => Err(*refusal),
        (Step::Continue, Some(lines)) => Ok(lines),
        (step, _) => panic!("the request hangs at {step:?}: nothing more will come"),
    };
    Judged { outcome, edits: made, response, opened }
}

/// Makes an edit on header lines.
pub fn apply(edit: Edit<&str>, lines: &mut Lines) {
    let (Edit::Remove(name) | Edit::Set(name, _) | Edit::Add(name, _)) = edit;
    if !matches!(edit, Edit::Add(..)) {
        lines.retain(|(n, _)| n != name.as_bytes());
    }
    if let Edit::Set(_, value) | Edit::Add(_, value) = edit {
        lines.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    }
}

/// What every request has: the pseudo-headers, and the address that the trusted hop wrote.
pub fn line(method: &str, path: &[u8]) -> Lines {
    let lines: [(&str, &[u8]); 5] = [
        (":authority", b"api.example.com"),
        (":path", path),
        (":method", method.as_bytes()),
        (":scheme", b"http"),
        ("x-forwarded-for", b"198.51.100.7"),
    ];
    lines.map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).to_vec()
}

/// The first value of a header.
pub fn value<'l>(lines: &'l Lines, name: &str) -> Option<&'l [u8]> {
    lines.iter().find(|(n, _)| n == name.as_bytes()).map(|(_, value)| value.as_slice())
}
