//! What a discovery document says (`OpenID` Connect Discovery 1.0, section 3), as far as it is believed: where the keys are.
//!
//! The document comes from the network, so it decides little. Its `issuer` must be the one of the policy (section 4.3), its
//! `jwks_uri` must lie where the policy says that keys may be, and the algorithms are those of the policy and not of the document.

use super::failure::{Failure, Kind};
use super::plan::{Discovery, Place, Url};
use crate::strict_json::{self, Bounds};

/// The most of a document. The longest of the large providers have 3 KiB.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Where the keys are.
///
/// # Errors
/// When the document is malformed, of another issuer, or names a place that the policy does not allow.
pub(super) fn keys_at(document: &[u8], discovery: &Discovery) -> Result<Place, Failure> {
    let malformed = |problem: String| Failure::new(Kind::DiscoveryMalformed, problem);
    let bounds = Bounds { max_bytes: MAX_BYTES, max_depth: 8 };
    let members = strict_json::parse_object(document, bounds)
        .map_err(|error| malformed(format!("the discovery document is {error}")))?;
    let text = |member: &str| {
        members.get(member).and_then(|value| value.as_str()).ok_or_else(|| {
            malformed(format!("`{member}` in the discovery document is missing or not a string"))
        })
    };
    let issuer = text("issuer")?;
    if issuer != discovery.issuer {
        let detail = format!(
            "the discovery document is that of `{}`; the policy says `{}`",
            cut(issuer),
            discovery.issuer
        );
        return Err(Failure::new(Kind::WrongIssuer, detail));
    }
    let uri = text("jwks_uri")?;
    let url = Url::read(uri).ok_or_else(|| {
        malformed(format!("`jwks_uri` is `{}`, which is not a URL that can be asked", cut(uri)))
    })?;
    let origin = url.origin();
    let (_, cluster) = discovery.origins.iter().find(|(known, _)| *known == origin).ok_or_else(|| {
        let known: Vec<&str> = discovery.origins.iter().map(|(origin, _)| origin.as_str()).collect();
        let detail =
            format!("`jwks_uri` is at `{}`; the policy allows `{}`", cut(&origin), known.join("`, `"));
        Failure::new(Kind::ForeignKeys, detail)
    })?;
    Ok(Place { cluster: cluster.clone(), authority: url.authority, path: url.path })
}

fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn discovery() -> Discovery {
        let own = ("https://a.example".to_owned(), "idp".to_owned());
        let other = ("https://keys.example:8443".to_owned(), "keys".to_owned());
        Discovery { issuer: "https://a.example/".into(), origins: vec![own, other] }
    }

    fn found(issuer: &str, uri: &str) -> Result<String, &'static str> {
        let document = json!({"issuer": issuer, "jwks_uri": uri, "more": [1, {"a": null}]}).to_string();
        keys_at(document.as_bytes(), &discovery()).map(|place| place.to_string()).map_err(|f| f.kind.code())
    }

    #[test]
    fn keys_are_where_the_policy_says_that_they_may_be() {
        let own = "https://a.example/";
        for (issuer, uri, result) in [
            (own, "https://a.example/k", Ok("a.example/k by cluster `idp`")),
            (own, "https://A.example:443/k?x", Ok("A.example:443/k by cluster `idp`")),
            (own, "https://keys.example:8443/", Ok("keys.example:8443/ by cluster `keys`")),
            (own, "https://keys.example/k", Err("foreign-keys")),
            (own, "http://a.example/k", Err("foreign-keys")),
            (own, "https://a.example.evil/k", Err("foreign-keys")),
            (own, "https://a.example@evil/k", Err("discovery-malformed")),
            (own, "/k", Err("discovery-malformed")),
            ("https://a.example", "https://a.example/k", Err("wrong-issuer")),
            ("https://A.example/", "https://a.example/k", Err("wrong-issuer")),
            ("https://b.example/", "https://a.example/k", Err("wrong-issuer")),
        ] {
            assert_eq!(found(issuer, uri), result.map(str::to_owned), "{issuer} {uri}");
        }
    }

    #[test]
    fn a_document_that_two_readers_read_differently_is_none() {
        for document in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"issuer": "https://a.example/"}"#,
            r#"{"jwks_uri": "https://a.example/k"}"#,
            r#"{"issuer": "https://a.example/", "jwks_uri": 1}"#,
            r#"{"issuer": "https://b.example/", "issuer": "https://a.example/", "jwks_uri": "https://a.example/k"}"#,
        ] {
            let refused = keys_at(document.as_bytes(), &discovery());
            assert!(refused.is_err_and(|f| f.kind == Kind::DiscoveryMalformed), "{document}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(keys_at(&bytes, &discovery()).is_err());
        }
    }
}
