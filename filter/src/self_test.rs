//! Whether Envoy's signature check can be trusted with ours: it must accept what is good and refuse what is
//! not, on tokens whose answer is known.

use bartizan_engine::authentication::jws::Jws;
use bartizan_engine::authentication::keys::KeySet;
use bartizan_engine::authentication::plan::Algorithm;
use bartizan_engine::authentication::signature;
use bartizan_engine::host::{Digest, Host, Loaded, Stored};
use std::net::IpAddr;

/// RFC 7515, appendix A.2: RS256.
const RSA: (Algorithm, &str, &str) = (
    Algorithm::RS256,
    concat!(
        r#"{"keys":[{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddx"#,
        "HmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0",
        "LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_",
        r#"I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#,
    ),
    concat!(
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y",
        "b290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8",
        "W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Q",
        "e7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6Lbg",
        "GY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
);

/// RFC 7515, appendix A.3: ES256.
const EC: (Algorithm, &str, &str) = (
    Algorithm::ES256,
    concat!(
        r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#,
        r#""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#,
    ),
    concat!(
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y",
        "b290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
);

/// Envoy, and what it answered.
#[derive(Default)]
struct Witness {
    answer: Option<bool>,
}

impl Host for Witness {
    fn peer_address(&mut self) -> Option<IpAddr> {
        None
    }

    fn load(&mut self, _: &str, _: &mut Vec<u8>) -> Loaded {
        Loaded::Failed
    }

    fn store(&mut self, _: &str, _: &[u8], _: Option<u32>) -> Stored {
        Stored::Failed
    }

    fn verify_signature(
        &mut self,
        digest: Digest,
        spki: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Option<bool> {
        self.answer = crate::signature::verify(digest, spki, signature, message);
        // Without an answer the engine must not go on to check by itself: that is not what is tested.
        self.answer.or(Some(false))
    }
}

/// Whether Envoy tells good signatures from bad ones.
pub(crate) fn passes() -> bool {
    [RSA, EC].into_iter().all(|(algorithm, keys, token)| {
        let Ok(keys) = KeySet::from_jwks(keys, &[algorithm]) else { return false };
        // The same signature over another payload: one letter of the issuer's name.
        let forged = token.replacen(".eyJpc3MiOiJqb2Ui", ".eyJpc3MiOiJqb2Yi", 1);
        answer(token, &keys) == Some(true) && forged != token && answer(&forged, &keys) == Some(false)
    })
}

fn answer(token: &str, keys: &KeySet) -> Option<bool> {
    let jws = Jws::parse(token.as_bytes()).ok()?;
    let mut witness = Witness::default();
    let verdict = signature::verify(&jws, keys, &mut witness);
    // The engine's verdict must be the host's answer, or the host was not what was asked.
    (witness.answer == Some(verdict.is_ok())).then_some(verdict.is_ok())
}
