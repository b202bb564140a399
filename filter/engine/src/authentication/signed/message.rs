//! HTTP Message Signatures (RFC 9421): which signature of a request counts, and what it says of itself.

use super::super::error::excerpt;
use super::Claim;
use super::components::{self, Component, DIGEST};
use super::digest::BodyDigest;
use super::plan::SignatureAlgorithm;
use super::problem::Problem;
use super::target::Target;
use crate::intake::request::Headers;
use crate::structured::{self, Bare, Dictionary, InnerList, Member, parameter};

/// The longest key id, nonce or tag.
const MAX_TEXT: usize = 256;

/// The most bytes of each of the two fields: anybody may send them, and they are read before any key is asked.
const MAX_FIELD: usize = 8 * 1024;

/// What the policy says of signatures.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) label: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) cover: Vec<String>,
    pub(super) scheme: Option<String>,
}

impl Rules {
    /// The signature of a request that could be one of this method: its label and the key it names. `None` if there
    /// is none.
    pub(super) fn sight(&self, inputs: &Dictionary) -> Result<Option<(String, String)>, Problem> {
        let Some(label) = self.choose(inputs)? else { return Ok(None) };
        let key = Said::read(input(inputs, label)?)?.key.to_owned();
        Ok(Some((label.to_owned(), key)))
    }

    /// What the signature of this label claims, as far as that can be told without its key.
    pub(super) fn claim(
        &self,
        headers: Headers<'_>,
        inputs: &Dictionary,
        label: &str,
    ) -> Result<Claim, Problem> {
        let signatures = dictionary(headers, "signature")?;
        let input = input(inputs, label)?;
        let signature = signatures.iter().find_map(|(name, member)| match member {
            Member::Item(item) if name == label => item.value.as_bytes(),
            _ => None,
        });
        let signature = signature.ok_or_else(|| Problem::invalid("the label has no signature"))?;
        let said = Said::read(input)?;
        if self.tag.as_deref().is_some_and(|tag| said.tag != Some(tag)) {
            return Err(Problem::invalid("the signature has another tag than the policy wants"));
        }
        let components = components::read(input)?;
        for wanted in self.cover.iter().filter(|wanted| *wanted != DIGEST) {
            if !components::covers(&components, wanted) {
                return Err(Problem::invalid(format!("the signature does not cover `{wanted}`")));
            }
        }
        let target = Target::of(headers, self.scheme.as_deref())?;
        Ok(Claim {
            signature: signature.to_vec(),
            algorithm: said.algorithm,
            made: said.created,
            ends: said.expires,
            nonce: said.nonce.map(str::to_owned),
            base: components::base(input, &components, &target, headers)?.into_bytes(),
            digest: self.digest(&components, headers),
        })
    }

    /// The label that counts. `None` if the policy names one, or a tag, and there is no such signature.
    fn choose<'i>(&self, inputs: &'i Dictionary) -> Result<Option<&'i str>, Problem> {
        let tagged = |member: &Member| match (member, &self.tag) {
            (Member::Inner(list), Some(tag)) => {
                parameter(&list.parameters, "tag").and_then(Bare::as_string) == Some(tag.as_str())
            }
            _ => true,
        };
        let mut candidates = inputs.iter().filter(|(name, member)| match &self.label {
            Some(label) => name == label,
            None => tagged(member),
        });
        let first = candidates.next().map(|(name, _)| name.as_str());
        if candidates.next().is_some() {
            return Err(Problem::Ambiguous(
                "more than one signature could be meant; give the policy a label or a tag",
            ));
        }
        Ok(first)
    }

    /// What is said of the body: what is covered is compared. Where the policy wants it covered and it is not, there
    /// must be no body, or anybody could add one.
    fn digest(&self, components: &[Component], headers: Headers<'_>) -> Result<Option<BodyDigest>, Problem> {
        if components::covers_digest(components)? {
            BodyDigest::read(headers).map(Some)
        } else if self.cover.iter().any(|wanted| wanted == DIGEST) {
            Ok(Some(BodyDigest::of_nothing()))
        } else {
            Ok(None)
        }
    }
}

/// What all signatures of a request are made over; nothing if it has none.
pub(super) fn inputs(headers: Headers<'_>) -> Result<Dictionary, Problem> {
    let inputs = dictionary(headers, "signature-input")?;
    // A signature without its input has no label that could be another method's.
    if inputs.is_empty() && (headers.get("signature-input").is_some() || headers.get("signature").is_some()) {
        return Err(Problem::invalid("`signature-input` is missing"));
    }
    Ok(inputs)
}

/// The key that a signature names.
pub(super) fn key_of(input: &Member) -> Option<&str> {
    match input {
        Member::Inner(list) => parameter(&list.parameters, "keyid")?.as_string(),
        Member::Item(_) => None,
    }
}

/// What the signature of a label is made over.
fn input<'i>(inputs: &'i Dictionary, label: &str) -> Result<&'i InnerList, Problem> {
    match inputs.iter().find(|(name, _)| name == label) {
        Some((_, Member::Inner(list))) => Ok(list),
        _ => Err(Problem::invalid("the signature's input is no list of components")),
    }
}

/// The parameters of a signature (RFC 9421, section 2.3).
struct Said<'i> {
    created: u64,
    expires: Option<u64>,
    nonce: Option<&'i str>,
    algorithm: Option<SignatureAlgorithm>,
    key: &'i str,
    tag: Option<&'i str>,
}

impl<'i> Said<'i> {
    fn read(input: &'i InnerList) -> Result<Self, Problem> {
        let (mut created, mut expires, mut nonce, mut algorithm, mut key, mut tag) =
            (None, None, None, None, None, None);
        for (name, value) in &input.parameters {
            let wrong = || Problem::invalid(format!("the parameter `{}` is malformed", excerpt(name)));
            let text = || match value.as_string() {
                Some(text) if !text.is_empty() && text.len() <= MAX_TEXT => Ok(text),
                _ => Err(wrong()),
            };
            let time = || value.as_integer().and_then(|time| u64::try_from(time).ok()).ok_or_else(wrong);
            match name.as_str() {
                "created" => created = Some(time()?),
                "expires" => expires = Some(time()?),
                "nonce" => nonce = Some(text()?),
                "alg" => algorithm = Some(named(text()?)?),
                "keyid" => key = Some(text()?),
                "tag" => tag = Some(text()?),
                // What nobody knows may restrict what the signature is good for.
                _ => return Err(Problem::invalid(format!("nobody knows the parameter `{}`", excerpt(name)))),
            }
        }
        let created =
            created.ok_or_else(|| Problem::invalid("the signature does not say when it was created"))?;
        let key = key.ok_or_else(|| Problem::invalid("the signature names no key"))?;
        Ok(Self { created, expires, nonce, algorithm, key, tag })
    }
}

fn named(name: &str) -> Result<SignatureAlgorithm, Problem> {
    use SignatureAlgorithm as A;
    [A::HmacSha256, A::Ed25519, A::EcdsaP256Sha256, A::RsaPssSha512, A::RsaV15Sha256]
        .into_iter()
        .find(|algorithm| algorithm.name() == name)
        .ok_or_else(|| Problem::invalid("the signature is of an algorithm that is not accepted"))
}

/// The members of one of the two fields. A label that is there twice has no signature that is the one of it.
fn dictionary(headers: Headers<'_>, name: &str) -> Result<Dictionary, Problem> {
    let lines: Vec<&[u8]> = headers.all(name).map(<[u8]>::trim_ascii).collect();
    if lines.iter().map(|line| line.len() + 2).sum::<usize>() > MAX_FIELD {
        return Err(Problem::invalid(format!("`{name}` has more than {MAX_FIELD} bytes")));
    }
    let parsed = structured::dictionary(&lines.join(&b", "[..]))
        .map_err(|_| Problem::invalid(format!("`{name}` is no dictionary (RFC 9651)")))?;
    if parsed.repeated {
        return Err(Problem::Ambiguous("a label or a parameter is there twice"));
    }
    Ok(parsed.value)
}
