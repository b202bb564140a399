//! Request trailers, which nobody judges, end at the proxy: upstream speaks HTTP/2, to which Envoy forwards them.
//!
//! Over HTTP/1.1 Envoy drops trailers unless it is told otherwise, so the stage of the other tests cannot show
//! who took them away. Here both sides of Envoy forward them, and the same requests through the same Envoy
//! without Bartizan are the control: there they must arrive.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::client::{Protocol, send};
use crate::config::{self, Settings};
use crate::deploy::{Guard, Post, Signatures};
use crate::envoy::Envoy;
use crate::hostile;
use crate::message::{Body, Headers, Request};
use crate::upstream::{Answer, CASE_HEADER, Seen, Upstream};

/// The policy, on a host that holds headers back.
const HELD: &str = "trailers";
/// The policy, on a host that cannot: there the headers are upstream before the trailers come.
const AHEAD: &str = "trailers after headers";
/// No policy at all.
const CONTROL: &str = "trailers without bartizan";

/// The header in which the policy tells upstream who sent a request.
const IDENTITY: &str = "x-auth-subject";
/// Who sent it, by the token.
const SUBJECT: &str = "mallory";

/// How often a refused request is sent to a host that cannot hold headers back, until upstream sees one begin. A
/// worker without a connection to upstream drops such a request together with its headers.
const TRIES: usize = 50;

/// Sends requests with trailers, and returns how many.
///
/// # Errors
/// When upstream sees a trailer of a request that Bartizan let through, does not see such a request or all of
/// its body, or sees one that was refused; and when trailers do not arrive even without Bartizan, or upstream
/// sees no refused request begin even where headers go ahead.
pub async fn trailers() -> Result<usize> {
    let upstream = Upstream::start().await?;
    let post = hostile::post()?;
    let mut envoy =
        Envoy::start_with(&configuration(&post, upstream.address())?, 2, &post.policy.secrets).await?;
    let (mut requests, mut begun) = (0, Vec::new());
    for name in [HELD, AHEAD, CONTROL] {
        let guard = Guard { name: name.to_owned(), address: envoy.listener(name)?, mint: post.policy.mint() };
        for protocol in Protocol::ALL {
            for (what, request, allowed) in attempts(&guard)? {
                let case = format!("{what}, over {protocol}, at the listener `{name}`");
                let passes = allowed || name == CONTROL;
                exchange(&guard, &upstream, protocol, &request, &case, passes)
                    .await
                    .with_context(|| case.clone())?;
                requests += 1;
                if passes {
                    check(name == CONTROL, &request, &upstream.take(&case)).with_context(|| case)?;
                } else {
                    begun.push((name, case));
                }
            }
        }
    }
    requests += headers_go_ahead(&envoy, &upstream, &post).await?;
    // A refused request that has begun at upstream may get there after its refusal got to the client.
    for (name, case) in begun {
        let seen = upstream.take(&case);
        ensure!(name == AHEAD || seen.is_empty(), "{case}: upstream saw it");
        ensure!(seen.iter().all(is_bare), "{case}: upstream saw more than the headers");
    }
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke; envoy's log ends with:\n{}", envoy.log_tail());
    envoy.stop().await;
    Ok(requests)
}

/// Sends requests that are refused where headers are not held back, until upstream sees one begin: otherwise that
/// it sees none where they are held proves nothing. Returns how many it took.
async fn headers_go_ahead(envoy: &Envoy, upstream: &Upstream, post: &Post) -> Result<usize> {
    let guard = Guard { name: AHEAD.to_owned(), address: envoy.listener(AHEAD)?, mint: post.policy.mint() };
    let (_, request, _) =
        attempts(&guard)?.into_iter().find(|(.., allowed)| !allowed).context("a request that is refused")?;
    for number in 1..=TRIES {
        let case = format!("a refused body whose headers go ahead, number {number}");
        exchange(&guard, upstream, Protocol::Http2, &request, &case, false).await.context(case.clone())?;
        let seen = upstream.take(&case);
        ensure!(seen.iter().all(is_bare), "{case}: upstream saw more than the headers");
        if !seen.is_empty() {
            return Ok(number);
        }
    }
    bail!("upstream saw none of {TRIES} refused requests begin, although their headers went ahead")
}

/// Whether nothing but a head came.
fn is_bare(seen: &Seen) -> bool {
    seen.body.is_empty() && seen.trailers.is_empty() && !seen.whole
}

/// Requests with trailers, and whether the policy allows them.
fn attempts(guard: &Guard) -> Result<Vec<(&'static str, Request, bool)>> {
    let token = guard.token(SUBJECT, &["writer"])?;
    let attempt = |method: &str, path: &str, content: Option<(&str, &[&str])>| {
        let mut request = Request::new(method, path).bearer(&token).header("x-forwarded-for", "192.0.2.7");
        let mut pieces = Vec::new();
        if let Some((media_type, parts)) = content {
            request = request.header("content-type", media_type);
            pieces = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        }
        request.body = Body::Pieces { pieces, sized: false, trailers: late() };
        request
    };
    let json = "application/json";
    let held = attempt("POST", "/things", Some((json, &["{\"name\":", "\"lamp-7\"}"])));
    let refused = attempt("POST", "/things", Some((json, &["{\"name\":", "NaN}"])));
    let passing = attempt("PUT", "/blobs", Some(("image/png", &["\u{89}PNG", "\r\n\u{1a}\n"])));
    Ok(vec![
        ("a body that is held and judged", held, true),
        ("a body that is held and refused", refused, false),
        ("a body that passes through", passing, true),
        ("no body", attempt("GET", "/things/lamp-7", None), true),
    ])
}

/// Trailers that would matter to a server that puts them among the headers, and one that matters to nobody.
fn late() -> Headers {
    [(IDENTITY, "root"), ("authorization", "Bearer late"), ("x-checksum", "abc")]
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .to_vec()
}

/// Sends a request under a name that no other has, by which upstream records what it sees.
async fn exchange(
    guard: &Guard,
    upstream: &Upstream,
    protocol: Protocol,
    request: &Request,
    case: &str,
    passes: bool,
) -> Result<()> {
    upstream.expect(case, Answer { status: 200, ..Answer::default() });
    let request = request.clone().header(CASE_HEADER, case);
    let response = send(guard.address, None, protocol, &request).await?;
    let reason = response.reason();
    let right = if passes { response.status == 200 } else { reason.as_deref() == Some("body-malformed") };
    ensure!(right, "answered with {} {}", response.status, reason.unwrap_or_default());
    Ok(())
}

/// Compares what was let through with what upstream saw.
fn check(control: bool, request: &Request, seen: &[Seen]) -> Result<()> {
    let [seen] = seen else { bail!("upstream saw the request {} times", seen.len()) };
    let sent = match &request.body {
        Body::Pieces { pieces, .. } => pieces.concat(),
        Body::None | Body::Sized(_) => Vec::new(),
    };
    ensure!(seen.whole, "upstream saw no end of the request");
    ensure!(seen.body == sent, "upstream saw a body of {} bytes, not {}", seen.body.len(), sent.len());
    let names: Vec<_> = seen.trailers.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    if control {
        // Otherwise their absence elsewhere proves nothing.
        ensure!(seen.trailers == late(), "without bartizan upstream saw only these trailers: {names:?}");
        return Ok(());
    }
    ensure!(names.is_empty(), "upstream saw trailers: {names:?}");
    let told: Vec<_> = seen.headers.iter().filter(|(name, _)| name == IDENTITY.as_bytes()).collect();
    let [(_, subject)] = told.as_slice() else {
        bail!("upstream saw {} headers {IDENTITY}, expected one", told.len())
    };
    ensure!(subject == SUBJECT.as_bytes(), "upstream saw another {IDENTITY} than the token's");
    Ok(())
}

/// Three listeners before one upstream, and trailers enabled wherever Envoy asks.
fn configuration(post: &Post, upstream: SocketAddr) -> Result<Value> {
    let policy = |name: &str, hold: bool| {
        let mut settings = Settings::new(config::module()?, String::new(), upstream);
        settings.vm_id = name.to_owned();
        settings.environment.clone_from(&post.policy.secrets);
        settings.configuration = json!({
            "plan": post.policy.plan,
            "settings": {"hold_headers": hold, "signatures": Signatures::Auto.word()},
        })
        .to_string();
        Ok::<_, anyhow::Error>(settings)
    };
    let mut config = config::together(&[policy(HELD, true)?, policy(AHEAD, false)?, policy(CONTROL, true)?])?;
    *place(&mut config, "/static_resources/clusters/0/typed_extension_protocol_options", true)? = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        },
    });
    for number in 0..3 {
        let manager = format!("/static_resources/listeners/{number}/filter_chains/0/filters/0/typed_config");
        *place(&mut config, &format!("{manager}/http_protocol_options"), true)? =
            json!({"enable_trailers": true});
        let filters = format!("{manager}/http_filters");
        let flag = format!("{filters}/0/typed_config/config/allow_on_headers_stop_iteration");
        *place(&mut config, &flag, false)? = json!(number != 1);
        if number == 2 {
            let filters = place(&mut config, &filters, false)?.as_array_mut().context("a list of filters")?;
            filters.retain(|filter| filter.get("name") != Some(&json!("bartizan")));
            ensure!(filters.len() == 1, "the control has {} filters instead of the router", filters.len());
        }
    }
    Ok(config)
}

/// A place in the configuration; with `new` a member that is not there yet.
fn place<'v>(config: &'v mut Value, pointer: &str, new: bool) -> Result<&'v mut Value> {
    if new {
        let (parent, member) = pointer.rsplit_once('/').context("a pointer with a slash")?;
        let members = config.pointer_mut(parent).and_then(Value::as_object_mut);
        let members = members.with_context(|| format!("the configuration has no {parent} any more"))?;
        ensure!(!members.contains_key(member), "the configuration has its own {pointer} now");
        members.insert(member.to_owned(), Value::Null);
    }
    config.pointer_mut(pointer).with_context(|| format!("the configuration has no {pointer} any more"))
}
