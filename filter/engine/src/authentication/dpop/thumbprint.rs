//! Thumbprints of keys (RFC 7638; RFC 8037, section 2).

use serde_json::{Map, Value};
use superboring::reexports::hmac_sha256::Hash;

use crate::authentication::binding::Thumbprint;

/// The thumbprint of a public key whose members are in canonical form, as [`crate::authentication::keys`] wants them.
pub(in crate::authentication) fn of(jwk: &Map<String, Value>) -> Option<Thumbprint> {
    // RFC 7638, section 3.2: the required members, in the order of their names.
    let members: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let mut json = String::from("{");
    for (index, member) in members.iter().enumerate() {
        let value = jwk.get(*member)?.as_str()?;
        // Section 3.1: written out as it is. Nothing in a key of these types needs an escape.
        if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return None;
        }
        let comma = if index == 0 { "" } else { "," };
        json.push_str(&format!(r#"{comma}"{member}":"{value}""#));
    }
    json.push('}');
    Some(Hash::hash(json.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::binding::written;
    use serde_json::json;

    fn thumbprint(jwk: Value) -> Option<String> {
        of(jwk.as_object().unwrap()).map(|t| written(&t))
    }

    #[test]
    fn rfc_7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        assert_eq!(thumbprint(key).as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    }

    #[test]
    fn rfc_8037_appendix_a_3() {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(thumbprint(key).as_deref(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
    }

    #[test]
    fn rfc_9449_section_6_1() {
        let key = json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
                         "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"});
        assert_eq!(thumbprint(key).as_deref(), Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"));
    }

    #[test]
    fn only_public_keys_of_known_types() {
        for bad in [
            json!({}),
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"kty": "EC", "crv": "P-256", "x": "a"}),
            json!({"kty": "OKP", "crv": "a\"b", "x": "a"}),
            json!({"kty": 1}),
        ] {
            assert_eq!(thumbprint(bad.clone()), None, "{bad}");
        }
    }
}
