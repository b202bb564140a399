//! The table of bad bundles and bad servers: what is sent, and the kind that must be told of it.

use anyhow::{Context as _, Result};
use bartizan_publish::MEDIA_TYPE;
use serde_json::{Value, json};

use super::make::{Edition, MISSING_SECRET, Maker, Signer, value};
use super::registry::manifest;
use super::server::{Behaviour, Then, answer};

/// The size cap of the filter in this table.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// What happens at the bundle server.
pub(crate) enum Act {
    /// It does this.
    Behave(Behaviour),
    /// It is gone.
    Close,
}

/// One row: what is sent, given the revision in force, and the kind that is told.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) act: fn(&Maker, u64) -> Result<Act>,
}

/// Rows that run one after the other; no kind is in two lanes, for Envoy counts each kind once for all plugins.
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    /// Whether a bundle is in force at the beginning.
    pub(crate) bootstrap: bool,
    /// Whether the server is a registry.
    pub(crate) registry: bool,
    pub(crate) rows: Vec<Row>,
}

impl Lane {
    /// Gives an artifact as a server of this lane does.
    pub(crate) fn publish(&self, artifact: Vec<u8>) -> Behaviour {
        if self.registry { Behaviour::registry(&artifact) } else { Behaviour::Publish(artifact) }
    }
}

/// Kind by kind.
pub(crate) fn lanes() -> Vec<Lane> {
    let lane = |name, rows| Lane { name, bootstrap: true, registry: false, rows };
    vec![
        lane("bytes", bytes()),
        lane("signatures", signatures()),
        lane("contents", contents()),
        lane("unavailable", unavailable()),
        lane("statuses", statuses()),
        lane("connections", connections()),
        Lane { registry: true, ..lane("registry", registry()) },
        Lane { bootstrap: false, ..lane("nothing-yet", nothing_yet()) },
    ]
}

/// A policy that must never be in force.
fn bad(revision: u64) -> Edition {
    Edition::new(revision).marked("bad")
}

fn good_next(maker: &Maker, revision: u64) -> Result<Vec<u8>> {
    maker.artifact(&bad(revision + 1))
}

fn says(behaviour: Behaviour) -> Result<Act> {
    Ok(Act::Behave(behaviour))
}

fn status(status: &str, maker: &Maker, revision: u64) -> Result<Act> {
    // Around an artifact that would be taken, if the status were another.
    says(Behaviour::answer(status, &[("content-type", MEDIA_TYPE)], &good_next(maker, revision)?))
}

fn bytes() -> Vec<Row> {
    vec![
        Row {
            what: "the first half of an artifact, as a whole answer",
            kind: "truncated",
            act: |maker, revision| {
                let artifact = good_next(maker, revision)?;
                let (half, _) = artifact.split_at(artifact.len() / 2);
                says(Behaviour::artifact(half))
            },
        },
        Row { what: "200 with nothing", kind: "truncated", act: |_, _| says(Behaviour::artifact(b"")) },
        Row {
            what: "an artifact larger than `max_bytes`, with its length",
            kind: "oversized",
            act: |maker, revision| {
                let artifact = [good_next(maker, revision)?, vec![b' '; MAX_BYTES]].concat();
                says(Behaviour::artifact(&artifact))
            },
        },
        Row {
            what: "an artifact larger than `max_bytes`, chunked",
            kind: "oversized",
            act: |maker, revision| {
                let artifact = [good_next(maker, revision)?, vec![b' '; MAX_BYTES]].concat();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {MEDIA_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
                    artifact.len()
                );
                says(Behaviour::Send([head.as_bytes(), &artifact, b"\r\n0\r\n\r\n"].concat(), Then::Close))
            },
        },
        Row {
            what: "a page of HTML that says it is an artifact",
            kind: "not-an-envelope",
            act: |_, _| says(Behaviour::artifact(b"<!doctype html><title>It works</title>")),
        },
        Row {
            what: "random bytes",
            kind: "not-an-envelope",
            act: |_, _| says(Behaviour::artifact(&[0xff, 0x00, 0x1f, 0x8b, 0x08, 0x7b])),
        },
        Row {
            what: "JSON that is no envelope",
            kind: "not-an-envelope",
            act: |_, _| says(Behaviour::artifact(b"{\"plan\":{}}")),
        },
        Row {
            what: "an envelope around something else",
            kind: "wrong-type",
            act: |maker, revision| {
                let mut envelope = value(&good_next(maker, revision)?)?;
                *envelope.get_mut("payloadType").context("payloadType")? =
                    json!("application/vnd.in-toto+json");
                says(Behaviour::artifact(envelope.to_string().as_bytes()))
            },
        },
        Row {
            what: "an artifact as text/html",
            kind: "wrong-content-type",
            act: |maker, revision| {
                let artifact = good_next(maker, revision)?;
                says(Behaviour::answer("200 OK", &[("content-type", "text/html; charset=utf-8")], &artifact))
            },
        },
        Row {
            what: "an artifact without a content type",
            kind: "wrong-content-type",
            act: |maker, revision| says(Behaviour::answer("200 OK", &[], &good_next(maker, revision)?)),
        },
        Row {
            what: "content-encoding: gzip",
            kind: "content-encoded",
            act: |maker, revision| {
                let headers = [("content-type", MEDIA_TYPE), ("content-encoding", "gzip")];
                says(Behaviour::answer("200 OK", &headers, &good_next(maker, revision)?))
            },
        },
    ]
}

fn signatures() -> Vec<Row> {
    fn signed(maker: &Maker, edition: &Edition, signers: &[Signer]) -> Result<Act> {
        says(Behaviour::artifact(&maker.sign(&edition.payload()?, signers)?))
    }
    vec![
        Row {
            what: "no signature",
            kind: "too-few-signatures",
            act: |maker, revision| signed(maker, &bad(revision + 1), &[]),
        },
        Row {
            what: "two signatures of unknown keys",
            kind: "too-few-signatures",
            act: |maker, revision| {
                signed(maker, &bad(revision + 1), &[Signer::Stranger, Signer::OtherStranger])
            },
        },
        Row {
            what: "one signature where two are asked for",
            kind: "too-few-signatures",
            act: |maker, revision| signed(maker, &bad(revision + 1), &[Signer::First]),
        },
        Row {
            what: "two signatures of the same key",
            kind: "too-few-signatures",
            act: |maker, revision| signed(maker, &bad(revision + 1), &[Signer::First, Signer::First]),
        },
        Row {
            what: "another payload under good signatures",
            kind: "too-few-signatures",
            act: |maker, revision| {
                let mut envelope = value(&maker.artifact(&Edition::new(revision))?)?;
                let other = value(&good_next(maker, revision)?)?;
                *envelope.get_mut("payload").context("payload")? =
                    other.get("payload").cloned().unwrap_or(Value::Null);
                says(Behaviour::artifact(envelope.to_string().as_bytes()))
            },
        },
        Row {
            what: "signed by a key for bundles of another name",
            kind: "key-not-for-bundle",
            act: |maker, revision| signed(maker, &bad(revision + 1), &[Signer::First, Signer::Elsewhere]),
        },
        Row {
            what: "a bundle of another name",
            kind: "wrong-name",
            act: |maker, revision| {
                let other = Edition { name: "elsewhere", ..bad(revision + 1) };
                says(Behaviour::artifact(&maker.artifact(&other)?))
            },
        },
    ]
}

fn contents() -> Vec<Row> {
    fn altered(maker: &Maker, revision: u64, from: &str, to: &str) -> Result<Act> {
        says(Behaviour::artifact(&maker.altered(&bad(revision + 1), from, to)?))
    }
    fn edition(maker: &Maker, edition: &Edition) -> Result<Act> {
        says(Behaviour::artifact(&maker.artifact(edition)?))
    }
    vec![
        Row {
            what: "an older revision",
            kind: "older-revision",
            act: |maker, revision| edition(maker, &bad(revision - 1)),
        },
        Row {
            what: "the same revision with another content",
            kind: "same-revision-different-content",
            act: |maker, revision| edition(maker, &bad(revision)),
        },
        Row {
            what: "an expired artifact",
            kind: "expired",
            act: |maker, revision| edition(maker, &bad(revision + 1).with("expires: 2001-01-01T00:00:00Z")),
        },
        Row {
            what: "an artifact of next century",
            kind: "not-yet-valid",
            act: |maker, revision| {
                edition(maker, &bad(revision + 1).with("not_before: 2200-01-01T00:00:00Z"))
            },
        },
        Row {
            what: "a plan of another version",
            kind: "plan-version",
            act: |maker, revision| altered(maker, revision, "\"plan_version\":", "\"plan_version\":9"),
        },
        Row {
            what: "signed JSON that is not canonical",
            kind: "not-canonical",
            act: |maker, revision| altered(maker, revision, "{", "{ "),
        },
        Row {
            what: "a payload without a member",
            kind: "payload-invalid",
            act: |maker, revision| altered(maker, revision, "\"sources\":{", "\"sourcez\":{"),
        },
        Row {
            what: "a plan with a member that nobody knows",
            kind: "plan-invalid",
            act: |maker, revision| {
                altered(maker, revision, "\"plan_version\":1", "\"plan_version\":1,\"plan_x\":0")
            },
        },
        Row {
            what: "a plan whose secret is not there",
            kind: "does-not-load",
            act: |maker, revision| {
                let issuer = format!(
                    "authentication: {{jwt: [{{name: a, issuer: 'https://a.example/', algorithms: [HS256], \
                     keys: {{secret: {{env: {MISSING_SECRET}}}}}}}]}}"
                );
                let mut wanting = bad(revision + 1).with(&issuer);
                wanting.routes = "  - {path: /closed, access: authenticated}\n".to_owned();
                edition(maker, &wanting)
            },
        },
    ]
}

fn unavailable() -> Vec<Row> {
    vec![
        Row { what: "500", kind: "server-error", act: |m, r| status("500 Internal Server Error", m, r) },
        Row { what: "503", kind: "server-error", act: |m, r| status("503 Service Unavailable", m, r) },
        Row { what: "nobody listens", kind: "server-error", act: |_, _| Ok(Act::Close) },
        Row {
            what: "something that is not HTTP",
            kind: "server-error",
            act: |_, _| says(Behaviour::Send(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), Then::Close)),
        },
        Row {
            what: "half of a head, and the end of the connection",
            kind: "server-error",
            act: |_, _| says(Behaviour::Send(b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec(), Then::Close)),
        },
        Row {
            what: "the end of the connection at once",
            kind: "server-error",
            act: |_, _| says(Behaviour::Send(Vec::new(), Then::Close)),
        },
    ]
}

fn statuses() -> Vec<Row> {
    vec![
        Row { what: "404", kind: "not-found", act: |m, r| status("404 Not Found", m, r) },
        Row { what: "410", kind: "not-found", act: |m, r| status("410 Gone", m, r) },
        Row { what: "401", kind: "unauthorized", act: |m, r| status("401 Unauthorized", m, r) },
        Row { what: "403", kind: "unauthorized", act: |m, r| status("403 Forbidden", m, r) },
        Row {
            what: "302 to elsewhere",
            kind: "redirected",
            act: |maker, revision| {
                let headers = [("location", "http://elsewhere.internal/"), ("content-type", MEDIA_TYPE)];
                says(Behaviour::answer("302 Found", &headers, &good_next(maker, revision)?))
            },
        },
        Row {
            what: "204",
            kind: "unexpected-status",
            act: |_, _| says(Behaviour::answer("204 No Content", &[], b"")),
        },
        Row { what: "206", kind: "unexpected-status", act: |m, r| status("206 Partial Content", m, r) },
        Row { what: "418", kind: "unexpected-status", act: |m, r| status("418 I'm a teapot", m, r) },
    ]
}

fn connections() -> Vec<Row> {
    /// The head of a good answer.
    fn head(length: usize) -> Vec<u8> {
        let text =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {length}\r\n\r\n");
        text.into_bytes()
    }
    vec![
        Row {
            what: "a body that breaks off before its length",
            kind: "no-answer",
            act: |maker, revision| {
                let artifact = good_next(maker, revision)?;
                let (half, _) = artifact.split_at(artifact.len() / 2);
                says(Behaviour::Send([&head(artifact.len()), half].concat(), Then::Close))
            },
        },
        Row {
            what: "a chunked body without end, faster than the timeout",
            kind: "no-answer",
            act: |_, _| {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {MEDIA_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n"
                );
                says(Behaviour::Send(head.into_bytes(), Then::Endless))
            },
        },
        Row {
            what: "no answer for longer than the timeout",
            kind: "timeout",
            act: |_, _| says(Behaviour::Send(Vec::new(), Then::Hold)),
        },
        Row {
            what: "a head that trickles",
            kind: "timeout",
            act: |maker, revision| {
                let wire = answer("200 OK", &[("content-type", MEDIA_TYPE)], &good_next(maker, revision)?);
                says(Behaviour::Send(Vec::new(), Then::Trickle(wire)))
            },
        },
        Row {
            what: "a body that trickles",
            // Envoy tells a timeout after the head as a connection that broke.
            kind: "no-answer",
            act: |maker, revision| {
                let artifact = good_next(maker, revision)?;
                says(Behaviour::Send(head(artifact.len()), Then::Trickle(artifact)))
            },
        },
        Row {
            what: "a gigabyte declared, and little of it sent",
            // Envoy tells a timeout after the head as a connection that broke.
            kind: "no-answer",
            act: |maker, revision| {
                says(Behaviour::Send([head(1 << 30), good_next(maker, revision)?].concat(), Then::Hold))
            },
        },
    ]
}

fn registry() -> Vec<Row> {
    /// A registry whose manifest has another value in a place.
    fn altered(maker: &Maker, revision: u64, place: &str, value: Value) -> Result<Act> {
        let blob = good_next(maker, revision)?;
        let mut manifest = manifest(&blob);
        *manifest.pointer_mut(place).context("a place in a manifest")? = value;
        says(Behaviour::Registry { manifest: manifest.to_string().into_bytes(), blob })
    }
    vec![
        Row {
            what: "a manifest that is not JSON",
            kind: "manifest-invalid",
            act: |maker, revision| {
                says(Behaviour::Registry { manifest: b"<html>".to_vec(), blob: good_next(maker, revision)? })
            },
        },
        Row {
            what: "an image of something else",
            kind: "manifest-invalid",
            act: |maker, revision| {
                altered(maker, revision, "/artifactType", json!("application/vnd.wasm.config.v0+json"))
            },
        },
        Row {
            what: "an index of images",
            kind: "manifest-invalid",
            act: |maker, revision| {
                altered(maker, revision, "/mediaType", json!("application/vnd.oci.image.index.v1+json"))
            },
        },
        Row {
            what: "a manifest without layers",
            kind: "manifest-invalid",
            act: |maker, revision| altered(maker, revision, "/layers", json!([])),
        },
        Row {
            what: "a layer of a gigabyte",
            kind: "manifest-invalid",
            act: |maker, revision| altered(maker, revision, "/layers/0/size", json!(1 << 30)),
        },
        Row {
            what: "a blob with another digest",
            kind: "digest-mismatch",
            act: |maker, revision| {
                let other = json!(format!("sha256:{}", "0a".repeat(32)));
                altered(maker, revision, "/layers/0/digest", other)
            },
        },
        Row {
            what: "a blob of another size",
            kind: "digest-mismatch",
            act: |maker, revision| {
                let size = good_next(maker, revision)?.len();
                altered(maker, revision, "/layers/0/size", json!(size + 1))
            },
        },
    ]
}

fn nothing_yet() -> Vec<Row> {
    vec![Row {
        what: "304 although there is no bundle",
        kind: "not-modified-without-bundle",
        act: |_, _| says(Behaviour::answer("304 Not Modified", &[("etag", "\"x\"")], b"")),
    }]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_kind_is_in_two_lanes_and_no_row_is_there_twice() {
        let (mut kinds, mut names) = (BTreeMap::new(), BTreeMap::new());
        for lane in lanes() {
            for row in lane.rows {
                assert_eq!(*kinds.entry(row.kind).or_insert(lane.name), lane.name, "{}", row.kind);
                assert!(names.insert(row.what, row.kind).is_none(), "{}", row.what);
            }
        }
        assert!(names.len() >= 20, "{}", names.len());
    }

    /// Each row can be made, and is far below the cap unless it is to be above.
    #[test]
    fn every_row_can_be_made() {
        let maker = Maker::new();
        for row in lanes().into_iter().flat_map(|lane| lane.rows) {
            if let Err(error) = (row.act)(&maker, 7) {
                panic!("{}: {error:#}", row.what);
            }
        }
    }
}
