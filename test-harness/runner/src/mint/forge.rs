//! Puts a token together and spoils it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::format::Tamper;

/// Signs header and payload and applies what shall be spoiled.
pub(super) fn forge(
    header: &str,
    payload: &str,
    tamper: &[Tamper],
    sign: impl Fn(&[u8]) -> Result<Vec<u8>, String>,
) -> Result<String, String> {
    let header = URL_SAFE_NO_PAD.encode(header);
    let mut payload = URL_SAFE_NO_PAD.encode(payload);
    let mut signature = sign(format!("{header}.{payload}").as_bytes())?;
    let mut encoded: Option<String> = None;
    let (mut front, mut back) = (String::new(), String::new());
    let mut separator = ".";
    for step in tamper {
        match step {
            Tamper::FlipSignature => flip(&mut signature),
            Tamper::EmptySignature => signature.clear(),
            Tamper::NoSignature => {
                signature.clear();
                separator = "";
            }
            Tamper::ShortSignature => drop(signature.pop()),
            Tamper::LongSignature => signature.push(0),
            Tamper::ZeroSignature => signature.fill(0),
            Tamper::DerSignature => signature = der(&signature),
            Tamper::FlipPayload => payload = edit(&payload, flip),
            Tamper::SwapPayload => payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"root","exp":9999999999}"#),
            Tamper::PadPayload => payload.push('='),
            Tamper::LineBreak => payload.insert(payload.len() / 2, '\n'),
            Tamper::PadSignature => encoded = Some(URL_SAFE_NO_PAD.encode(&signature) + "="),
            Tamper::StandardAlphabet => encoded = Some(standard(&signature)),
            Tamper::LooseBits => encoded = Some(loose(&URL_SAFE_NO_PAD.encode(&signature))?),
            Tamper::TrailingDot => back.push('.'),
            Tamper::LeadingDot => front.push('.'),
            Tamper::FiveParts => back.push_str(".AAAA.AAAA"),
            Tamper::LeadingSpace => front.push(' '),
        }
    }
    let signature = encoded.unwrap_or_else(|| URL_SAFE_NO_PAD.encode(&signature));
    Ok(format!("{front}{header}.{payload}{separator}{signature}{back}"))
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
}

fn edit(part: &str, with: impl Fn(&mut [u8])) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    with(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The other base64 alphabet. A signature that happens to need neither `-` nor `_` gets a `+` in front.
fn standard(signature: &[u8]) -> String {
    let encoded = STANDARD_NO_PAD.encode(signature);
    if encoded.contains(['+', '/']) { encoded } else { format!("+{encoded}") }
}

/// Sets bits that carry no data in the last character: another text for the same bytes.
fn loose(encoded: &str) -> Result<String, String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if encoded.len().is_multiple_of(4) {
        return Err("loose-bits needs a signature whose length is no multiple of three".into());
    }
    let mut bytes = encoded.as_bytes().to_vec();
    let last = bytes.pop().and_then(|last| ALPHABET.iter().position(|&c| c == last));
    let next = last.and_then(|last| ALPHABET.get(last + 1)).ok_or("the last character leaves no room")?;
    bytes.push(*next);
    String::from_utf8(bytes).map_err(|e| e.to_string())
}

/// `SEQUENCE { r INTEGER, s INTEGER }`, short lengths only: enough for P-256.
fn der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let mut body = Vec::new();
    for integer in [r, s] {
        let start = integer.iter().position(|&b| b != 0).unwrap_or(integer.len());
        let digits = integer.get(start..).unwrap_or_default();
        let sign = digits.first().is_none_or(|&b| b >= 0x80);
        body.push(2);
        body.push(u8::try_from(digits.len()).unwrap_or(0) + u8::from(sign));
        body.extend(sign.then_some(0));
        body.extend_from_slice(digits);
    }
    let mut out = vec![0x30, u8::try_from(body.len()).unwrap_or(0)];
    out.append(&mut body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(tamper: &[Tamper]) -> String {
        forge("{}", r#"{"a":1}"#, tamper, |_| Ok(vec![0x81, 2, 3, 0xfb])).unwrap()
    }

    #[test]
    fn every_way_to_spoil_changes_the_token() {
        let good = made(&[]);
        assert_eq!(good.split('.').count(), 3);
        for tamper in [
            Tamper::FlipSignature,
            Tamper::FlipPayload,
            Tamper::EmptySignature,
            Tamper::NoSignature,
            Tamper::ShortSignature,
            Tamper::LongSignature,
            Tamper::ZeroSignature,
            Tamper::DerSignature,
            Tamper::PadSignature,
            Tamper::PadPayload,
            Tamper::StandardAlphabet,
            Tamper::LooseBits,
            Tamper::TrailingDot,
            Tamper::LeadingDot,
            Tamper::FiveParts,
            Tamper::LineBreak,
            Tamper::LeadingSpace,
            Tamper::SwapPayload,
        ] {
            assert_ne!(made(&[tamper]), good, "{tamper:?}");
        }
    }

    #[test]
    fn loose_bits_decode_to_the_same_bytes_in_a_lenient_decoder() {
        let (good, loose) = (made(&[]), made(&[Tamper::LooseBits]));
        assert_eq!(good.len(), loose.len());
        let differing = good.bytes().zip(loose.bytes()).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 1);
    }
}
