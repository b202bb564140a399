//! Signs requests as a client would, and spoils them. It shares no code with what judges them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bartizan_engine::authentication::plan::Algorithm;
use bartizan_engine::authentication::signed::plan::{
    FormPlan, HmacHeaders, KeyMaterial, SignatureAlgorithm, SignedRequestsPlan,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::keys::{self, KeyName, Slot};
use crate::format::{Sign, SignTamper};
use crate::wire::Wire;

/// The slot of a key of a method, by its place in the file.
pub(crate) const fn slot_of(index: usize) -> Slot {
    if index.is_multiple_of(2) { Slot::First } else { Slot::Second }
}

/// The test key for a key of a plan.
pub(crate) const fn test_key(algorithm: SignatureAlgorithm, slot: Slot) -> KeyName {
    let algorithm = match algorithm {
        SignatureAlgorithm::HmacSha256 => Algorithm::HS256,
        SignatureAlgorithm::Ed25519 => Algorithm::EdDSA,
        SignatureAlgorithm::EcdsaP256Sha256 => Algorithm::ES256,
        SignatureAlgorithm::RsaPssSha512 => Algorithm::PS512,
        SignatureAlgorithm::RsaV15Sha256 => Algorithm::RS256,
    };
    KeyName { algorithm, slot }
}

/// Gives the keys of a method to the mint: public ones are replaced, and secrets told.
pub(crate) fn use_test_keys(
    plan: &mut SignedRequestsPlan,
    secrets: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    for (index, key) in plan.keys.iter_mut().enumerate() {
        let slot = slot_of(index);
        match &mut key.material {
            KeyMaterial::Jwks(set) => *set = keys::jwks(&[test_key(key.algorithm, slot)])?,
            KeyMaterial::Secret { env } => drop(secrets.insert(env.clone(), keys::secret(slot))),
            KeyMaterial::Sealed { key_env, .. } => {
                let env = format!("{key_env}_SIGNING_{index}");
                secrets.insert(env.clone(), keys::secret(slot));
                key.material = KeyMaterial::Secret { env };
            }
        }
    }
    Ok(())
}

/// What is signed of a request.
struct Message<'w> {
    method: &'w str,
    scheme: &'w str,
    host: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message<'_> {
    fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.trim()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The value of a component by RFC 9421, as far as cases need it.
    fn value(&self, component: &str) -> Result<String, String> {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, query),
            None => (self.target.as_str(), ""),
        };
        Ok(match component {
            "@method" => self.method.to_owned(),
            "@scheme" => self.scheme.to_owned(),
            "@authority" => self.host.to_ascii_lowercase(),
            "@path" => path.to_owned(),
            "@query" => format!("?{query}"),
            "@request-target" => self.target.clone(),
            "host" => self.host.clone(),
            "@target-uri" => format!("{}://{}{}", self.scheme, self.host.to_ascii_lowercase(), self.target),
            other => match other.strip_prefix("@query-param;name=\"").and_then(|rest| rest.strip_suffix('"'))
            {
                Some(name) => {
                    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
                    value.unwrap_or_default().to_owned()
                }
                // What is not there is covered as nothing: such a request must be refused.
                None => self.header(other.split(';').next().unwrap_or_default()).unwrap_or_default(),
            },
        })
    }
}

impl Sign {
    fn leaves_out(&self, parameter: &str) -> bool {
        self.without.iter().any(|name| name == parameter)
    }
}

impl super::Mint {
    /// Adds the headers of a signature to a request. `now` is in seconds.
    ///
    /// # Errors
    /// If it cannot be signed as written: no such method or key.
    pub fn sign(&self, sign: &Sign, now: u64, subject: &str, wire: &mut Wire) -> Result<(), String> {
        let mut methods = self.signed.iter();
        let plan = match &sign.method {
            None => methods.next().ok_or("the bundle has no signed_requests: take `sign` away")?,
            Some(name) => methods
                .find(|plan| plan.name == *name)
                .ok_or_else(|| format!("no method of signed_requests is called `{name}`"))?,
        };
        let key = sign.key.as_deref().or(plan.keys.first().map(|key| key.id.as_str())).unwrap_or_default();
        let signer = signer(plan, key, sign.with.as_deref())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let whole = wire.whole_body();
        let body = sign.instead.body.as_ref().map_or(Ok(whole), |body| body.bytes())?;
        let lines = wire.headers.iter().map(|(name, value)| (text(name).to_ascii_lowercase(), text(value)));
        let mut message = Message {
            method: sign.instead.method.as_deref().unwrap_or(&wire.method),
            scheme: &wire.scheme,
            host: sign.instead.host.clone().unwrap_or_else(|| text(wire.host.as_deref().unwrap_or_default())),
            target: sign.instead.path.clone().unwrap_or_else(|| text(&wire.path)),
            headers: lines.collect(),
            body,
        };
        for (name, value) in &sign.instead.headers {
            message.headers.retain(|(own, _)| own != name);
            message.headers.push((name.clone(), text(&value.bytes()?)));
        }
        let word = sign.parameters.get("nonce").and_then(Value::as_str).unwrap_or("n");
        let nonce = (!sign.leaves_out("nonce")).then(|| format!("{word}-{subject}"));
        let made = match &plan.form {
            FormPlan::Hmac { headers } => simple(headers, sign, &signer, key, nonce, now, &message)?,
            FormPlan::MessageSignatures { label, tag, cover, .. } => {
                let label = sign.label.clone().or_else(|| label.clone()).unwrap_or_else(|| "sig1".into());
                let cover = sign.cover.clone().unwrap_or_else(|| usual(cover, &message, sign));
                let parameters = parameters(sign, key, nonce, tag.as_deref(), now)?;
                messages(sign, &signer, &label, &cover, &parameters, &mut message)?
            }
        };
        wire.headers.extend(made.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())));
        Ok(())
    }
}

/// What a client covers that does what the policy wants: the digest only where there is a body.
fn usual(cover: &[String], message: &Message<'_>, sign: &Sign) -> Vec<String> {
    let digest = !message.body.is_empty() && sign.digest.as_deref() != Some("none");
    cover.iter().filter(|name| *name != "content-digest" || digest).cloned().collect()
}

fn signer(plan: &SignedRequestsPlan, named: &str, with: Option<&str>) -> Result<KeyName, String> {
    let find = |id: &str| {
        let found = plan.keys.iter().enumerate().find(|(_, key)| key.id == id);
        found.map(|(index, key)| test_key(key.algorithm, slot_of(index)))
    };
    match with {
        Some("stranger") => {
            let algorithm = find(named).map_or(Algorithm::HS256, |key| key.algorithm);
            Ok(KeyName { algorithm, slot: Slot::Stranger })
        }
        Some(id) => find(id).ok_or_else(|| format!("`{}` has no key `{id}`", plan.name)),
        // A key that nobody has is signed with too, by somebody.
        None => Ok(find(named).unwrap_or(KeyName { algorithm: Algorithm::HS256, slot: Slot::Stranger })),
    }
}

fn moment(text: &str, now: u64) -> Option<u64> {
    if text == "hour" { Some(now / 3600 * 3600) } else { super::relative(text, now) }
}

/// The parameters as they stand behind the components.
fn parameters(
    sign: &Sign,
    key: &str,
    nonce: Option<String>,
    tag: Option<&str>,
    now: u64,
) -> Result<String, String> {
    let mut all: Vec<(&str, Value)> = vec![("created", json!(now)), ("keyid", json!(key))];
    all.extend(nonce.map(|nonce| ("nonce", json!(nonce))));
    all.extend(tag.map(|tag| ("tag", json!(tag))));
    for (name, value) in sign.parameters.iter().filter(|(name, _)| *name != "nonce") {
        all.retain(|(own, _)| own != name);
        let time = matches!(name.as_str(), "created" | "expires");
        match value {
            Value::String(text) if time => match moment(text, now) {
                Some(moment) => all.push((name, json!(moment))),
                None => all.push((name, json!(text))),
            },
            other => all.push((name, other.clone())),
        }
    }
    all.retain(|(name, _)| !sign.leaves_out(name));
    let mut text = String::new();
    for (name, value) in all {
        // The text of a JSON string of plain ASCII is that of a structured field.
        write!(text, ";{name}={value}").map_err(|e| e.to_string())?;
    }
    Ok(text)
}

fn messages(
    sign: &Sign,
    signer: &KeyName,
    label: &str,
    cover: &[String],
    parameters: &str,
    message: &mut Message<'_>,
) -> Result<Vec<(String, String)>, String> {
    let mut made = Vec::new();
    let wanted = sign.digest.is_some()
        || !message.body.is_empty()
        || cover.iter().any(|c| c.starts_with("content-digest"));
    if wanted && message.header("content-digest").is_none() && sign.digest.as_deref() != Some("none") {
        let name = sign.digest.as_deref().unwrap_or("sha-256");
        let digest = match name {
            "sha-512" => STANDARD.encode(hmac_sha512::Hash::hash(&message.body)),
            _ => STANDARD.encode(hmac_sha256::Hash::hash(&message.body)),
        };
        let name = if sign.tamper.contains(&SignTamper::UnknownDigest) { "md5" } else { name };
        let value = format!("{name}=:{digest}:");
        message.headers.push(("content-digest".into(), value.clone()));
        if !sign.tamper.contains(&SignTamper::NoDigest) {
            made.push(("content-digest".into(), value));
        }
    }
    let quoted = |component: &String| match component.split_once(';') {
        Some((name, rest)) => format!("\"{name}\";{rest}"),
        None => format!("\"{component}\""),
    };
    let mut base = String::new();
    for component in cover {
        writeln!(base, "{}: {}", quoted(component), message.value(component)?).map_err(|e| e.to_string())?;
    }
    let covered: Vec<String> = cover.iter().map(quoted).collect();
    let params = format!("({}){parameters}", covered.join(" "));
    write!(base, "\"@signature-params\": {params}").map_err(|e| e.to_string())?;
    let mut signature = signer.sign(signer.algorithm, base.as_bytes())?;
    spoil(&sign.tamper, &mut signature);
    let has = |tamper| sign.tamper.contains(&tamper);
    let mut signature = format!("{label}=:{}:", STANDARD.encode(&signature));
    let mut input = format!("{label}={params}");
    if has(SignTamper::SecondLabel) {
        signature = format!("{signature}, {}", signature.replacen(label, "other", 1));
        input = format!("{input}, {}", input.replacen(label, "other", 1));
    }
    made.extend(times(has(SignTamper::NoInput), has(SignTamper::InputTwice), "signature-input", &input));
    made.extend(times(
        has(SignTamper::NoSignature),
        has(SignTamper::SignatureTwice),
        "signature",
        &signature,
    ));
    Ok(made)
}

fn simple(
    names: &HmacHeaders,
    sign: &Sign,
    signer: &KeyName,
    key: &str,
    nonce: Option<String>,
    now: u64,
    message: &Message<'_>,
) -> Result<Vec<(String, String)>, String> {
    let created = match sign.parameters.get("created") {
        None => now.to_string(),
        Some(Value::String(text)) => {
            moment(text, now).map_or_else(|| text.clone(), |moment| moment.to_string())
        }
        Some(other) => other.to_string(),
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let digest = hex(&hmac_sha256::Hash::hash(&message.body));
    let host = message.host.to_ascii_lowercase();
    let nonce_line = nonce.as_deref().unwrap_or_default();
    let text = [message.method, &host, &message.target, &created, nonce_line, &digest].join("\n");
    let mut signature = signer.sign(Algorithm::HS256, text.as_bytes())?;
    spoil(&sign.tamper, &mut signature);
    let has = |tamper| sign.tamper.contains(&tamper);
    let mut signature = hex(&signature);
    if has(SignTamper::UpperCase) {
        signature = signature.to_ascii_uppercase();
    }
    let mut made = vec![(names.timestamp.clone(), created)];
    made.extend(nonce.map(|nonce| (names.nonce.clone(), nonce)));
    if !has(SignTamper::NoDigest) && sign.digest.as_deref() != Some("none") {
        made.push((names.digest.clone(), digest));
    }
    made.extend(times(has(SignTamper::NoInput), has(SignTamper::InputTwice), &names.key, key));
    made.extend(times(
        has(SignTamper::NoSignature),
        has(SignTamper::SignatureTwice),
        &names.signature,
        &signature,
    ));
    Ok(made)
}

fn spoil(tamper: &[SignTamper], signature: &mut Vec<u8>) {
    for step in tamper {
        match step {
            SignTamper::FlipSignature => {
                let middle = signature.len() / 2;
                if let Some(byte) = signature.get_mut(middle) {
                    *byte ^= 1;
                }
            }
            SignTamper::ShortSignature => drop(signature.pop()),
            SignTamper::EmptySignature => signature.clear(),
            _ => {}
        }
    }
}

/// A header: not at all, once or twice.
fn times(never: bool, twice: bool, name: &str, value: &str) -> Vec<(String, String)> {
    let count = if never { 0 } else { 1 + usize::from(twice) };
    vec![(name.to_owned(), value.to_owned()); count]
}
