//! Gives a plan's issuers the mint's keys, so that a bundle with real keys can be tested.

use std::collections::BTreeMap;

use bartizan_engine::authentication::plan::{JwtPlan, KeySource};
use bartizan_engine::authentication::signed::plan::KeyMaterial;
use bartizan_engine::plan::Plan;

use crate::mint::keys::{KeyName, Slot, jwks, secret};
use crate::mint::sign;

/// The pepper of every table of API keys: the digests in a case file are made with it.
pub const PEPPER: &str = "bartizan test pepper, known to all who read this";

/// Values for the environment variables that a plan names.
pub type Secrets = BTreeMap<String, String>;

/// Replaces the key set of every issuer by test keys, one for each algorithm it accepts, and returns the
/// secrets that the plan asks the environment for.
///
/// # Errors
/// If a test key cannot be read.
pub fn use_test_keys(plan: &mut Plan) -> Result<Secrets, String> {
    let mut secrets = peppers(plan);
    for signed in &mut plan.authentication.signed_requests {
        sign::use_test_keys(signed, &mut secrets)?;
    }
    for (index, issuer) in plan.authentication.jwt.iter_mut().enumerate() {
        let slot = Slot::of_issuer(index);
        secrets.extend(of_nonces(issuer));
        match &mut issuer.keys {
            KeySource::Jwks(set) => {
                let names: Vec<_> =
                    issuer.algorithms.iter().map(|&algorithm| KeyName { algorithm, slot }).collect();
                *set = jwks(&names)?;
            }
            KeySource::Secret { env } => {
                secrets.insert(env.clone(), secret(slot));
            }
            // Nobody fetches anything for a test of what is behind it; cases that are about fetching say `remote`.
            KeySource::Remote { .. } => {
                let names: Vec<_> =
                    issuer.algorithms.iter().map(|&algorithm| KeyName { algorithm, slot }).collect();
                issuer.keys = KeySource::Jwks(jwks(&names)?);
            }
            // The mint cannot open it, and has a secret of its own to give.
            KeySource::Sealed { key_env, .. } => {
                // One key may open the secrets of several issuers.
                let env = format!("{key_env}_{index}");
                secrets.insert(env.clone(), secret(slot));
                issuer.keys = KeySource::Secret { env };
            }
        }
    }
    Ok(secrets)
}

/// The secrets for a plan whose keys stay as they are.
#[must_use]
pub fn secrets(plan: &Plan) -> Secrets {
    let issuers = plan.authentication.jwt.iter().enumerate();
    let of_issuers = issuers.filter_map(|(index, issuer)| match &issuer.keys {
        KeySource::Secret { env } => Some((env.clone(), secret(Slot::of_issuer(index)))),
        KeySource::Jwks(_) | KeySource::Sealed { .. } | KeySource::Remote { .. } => None,
    });
    let of_nonces = plan.authentication.jwt.iter().filter_map(of_nonces);
    let keys = plan.authentication.signed_requests.iter().flat_map(|signed| signed.keys.iter().enumerate());
    let of_keys = keys.filter_map(|(index, key)| match &key.material {
        KeyMaterial::Secret { env } => Some((env.clone(), secret(sign::slot_of(index)))),
        KeyMaterial::Jwks(_) | KeyMaterial::Sealed { .. } => None,
    });
    peppers(plan).into_iter().chain(of_issuers).chain(of_nonces).chain(of_keys).collect()
}

/// The key with which an issuer's nonces for DPoP proofs are made.
fn of_nonces(issuer: &JwtPlan) -> Option<(String, String)> {
    let env = issuer.binding.dpop.as_ref()?.nonce.as_ref()?.key_env.as_ref()?;
    Some((env.clone(), secret(Slot::First)))
}

fn peppers(plan: &Plan) -> Secrets {
    let named = plan.authentication.api_keys.iter().filter_map(|keys| keys.pepper.clone());
    named.map(|env| (env, PEPPER.to_owned())).collect()
}

#[cfg(test)]
pub(crate) fn sample_plan() -> Plan {
    let plan = serde_json::json!({
        "plan_version": bartizan_engine::plan::PLAN_VERSION, "name": "t", "revision": 1,
        "intake": {"max_path_bytes": 4096, "max_query_bytes": 8192, "max_query_parameters": 100,
            "max_headers": 100, "max_headers_bytes": 49152, "max_header_value_bytes": 16384},
        "network": {"trusted_hops": 0, "deny": [], "allow": []},
        "authentication": {"jwt": [{
            "name": "corp", "at": "bundle.yaml:5", "issuer": "https://login.example.com/",
            "audiences": ["iot-api"], "algorithms": ["RS256", "ES256"], "keys": {"jwks": "{\"keys\":[]}"},
            "from": [{"header": {"name": "authorization", "scheme": "Bearer"}}], "forward_token": false,
            "require_expiry": true, "max_lifetime_s": null, "leeway_s": 0, "require_type": "at+jwt",
            "require_claims": [["type", "access"]], "subject": "sub", "roles": ["realm_access.roles"],
            "permissions": [], "forward_claims": []}]},
        "authorization": {"roles": [], "requirements": []},
        "limits": [], "validation": {"bodies": [], "schemas": [], "inspections": []},
        "headers": {"request": {"remove": [], "set": [], "add": []}, "response": {"remove": [], "set": [], "add": []}},
        "routes": []
    });
    Plan::parse(plan.to_string().as_bytes()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_gets_one_key_for_each_algorithm() {
        let mut plan = sample_plan();
        assert!(use_test_keys(&mut plan).unwrap().is_empty());
        let Some(KeySource::Jwks(set)) = plan.authentication.jwt.first().map(|i| i.keys.clone()) else {
            panic!()
        };
        assert!(set.contains("rs256-0") && set.contains("es256-0") && !set.contains("stranger"));
    }

    #[test]
    fn a_secret_is_long_enough_and_its_own() {
        let mut plan = sample_plan();
        for issuer in &mut plan.authentication.jwt {
            issuer.keys = KeySource::Secret { env: "CORP_SECRET".into() };
        }
        let secrets = use_test_keys(&mut plan).unwrap();
        assert!(secrets.get("CORP_SECRET").unwrap().len() >= 64);
        assert_ne!(secret(Slot::First), secret(Slot::Second));
    }
}
