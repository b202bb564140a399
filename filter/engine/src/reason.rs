//! Every reason for which Bartizan refuses a request: one table, from which the docs page is made.
//!
//! A reason code is a promise: clients branch on it, dashboards count it. A code may be added, never
//! renamed or given another meaning. What a client reads here says nothing about the policy.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:literal, $title:literal;)+) => {
        /// A stable reason for a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All reasons, in the order of the pipeline.
            pub const ALL: &[Reason] = &[$(Reason::$name,)+];

            /// The stable code, as it stands in the problem document, in metrics and in events.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Reason::$name => $code,)+ }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Reason::$name => $status,)+ }
            }

            /// The `title` of the problem document (RFC 9457, section 3.1.4).
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Reason::$name => $title,)+ }
            }

            /// What the docs page says about it.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Reason::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

reasons! {
    /// The filter has no policy yet, or the one it was given could not be used.
    NoPolicy = "no-policy", 503, "No policy is in force";
    /// The path is not a valid absolute path: bad percent-encoding, control characters, invalid UTF-8.
    PathMalformed = "path-malformed", 400, "The path is malformed";
    /// The path could be read in two ways: an encoded slash or backslash, a double encoding, dot segments
    /// that climb above the root, or a `;` parameter.
    PathAmbiguous = "path-ambiguous", 400, "The path is ambiguous";
    /// The path or the query is longer than the policy allows.
    UriTooLong = "uri-too-long", 414, "The URI is too long";
    /// The query string is malformed or has too many parameters.
    QueryMalformed = "query-malformed", 400, "The query is malformed";
    /// There are too many request headers, or they are too large together or alone.
    HeadersTooLarge = "headers-too-large", 431, "The request headers are too large";
    /// A header name or value has bytes that no header may have.
    HeaderMalformed = "header-malformed", 400, "A request header is malformed";
    /// A header that must be unique for the request to have one meaning was sent twice.
    HeaderDuplicate = "header-duplicate", 400, "A request header is repeated";
    /// The host is missing or malformed.
    HostMalformed = "host-malformed", 400, "The host is malformed";
    /// No route of the policy matches, and what no route matches is refused.
    RouteUnknown = "route-unknown", 404, "There is nothing here";
    /// The path is known, the method is not; `Allow` lists the ones that are.
    MethodNotAllowed = "method-not-allowed", 405, "The method is not allowed";
    /// The client's address is on a deny list, or not on the allow list.
    AddressDenied = "address-denied", 403, "The address is not allowed";
    /// The client's address cannot be told: the proxy knows no peer, or a trusted hop sent none.
    AddressUnknown = "address-unknown", 400, "The client address cannot be determined";
    /// The client has used up its budget; `Retry-After` says when to come back.
    LimitExceeded = "limit-exceeded", 429, "Too many requests";
    /// The shared state of the limits, or of what may be used once, cannot be read or written.
    LimitsUnavailable = "limits-unavailable", 503, "Limits cannot be checked";
    /// The route needs a token and the request has none.
    TokenMissing = "token-missing", 401, "A token is required";
    /// The token is malformed, forged, for somebody else, or otherwise not acceptable.
    TokenInvalid = "token-invalid", 401, "The token is not valid";
    /// The token was good, and has expired.
    TokenExpired = "token-expired", 401, "The token has expired";
    /// The request carries more than one token, so it has no single meaning.
    TokenAmbiguous = "token-ambiguous", 400, "More than one token was sent";
    /// The token, or whoever sends it, was revoked before its time. API keys and passwords are then `invalid`: they can be guessed.
    TokenRevoked = "token-revoked", 401, "The credential has been revoked";
    /// The route needs a credential, of one of several kinds or one that is no token, and the request has none.
    CredentialsMissing = "credentials-missing", 401, "A credential is required";
    /// The API key is not known, not good yet, revoked, or not taken here.
    ApiKeyInvalid = "api-key-invalid", 401, "The API key is not valid";
    /// The API key was good, and has expired.
    ApiKeyExpired = "api-key-expired", 401, "The API key has expired";
    /// The request carries more than one API key, so it has no single meaning.
    ApiKeyAmbiguous = "api-key-ambiguous", 400, "More than one API key was sent";
    /// Name and password are malformed, not those of a user, or of a user who was revoked.
    PasswordInvalid = "password-invalid", 401, "The name or the password is not valid";
    /// The proxy has as much of slow work as it takes on at once, such as verifying passwords: try again later.
    Busy = "busy", 503, "Too busy to check this now";
    /// The identity is good, and was not authenticated strongly or recently enough for this route; the challenge says
    /// what is asked for (RFC 9470).
    StepUpRequired = "step-up-required", 401, "A stronger or more recent authentication is required";
    /// The route needs a one-time code and the request has none.
    SecondFactorMissing = "second-factor-missing", 401, "A one-time code is required";
    /// The one-time code is not right, was used before, or is of somebody who has no second factor.
    SecondFactorInvalid = "second-factor-invalid", 401, "The one-time code is not valid";
    /// Too many one-time codes of this user were not right; `Retry-After` says when the next may be tried.
    SecondFactorExhausted = "second-factor-exhausted", 429, "Too many one-time codes were tried";
    /// The route needs a client certificate, and none was presented that counts.
    CertificateMissing = "certificate-missing", 401, "A client certificate is required";
    /// The client certificate is nobody's who is known here, has expired, was revoked, or what was told of it is malformed.
    CertificateDenied = "certificate-denied", 401, "The client certificate is not accepted";
    /// The token is bound to a key, and the DPoP proof that the key is the client's is missing or not acceptable.
    ProofInvalid = "proof-invalid", 401, "The proof of possession is not valid";
    /// The DPoP proof was used before: each is good for one request.
    ProofReplayed = "proof-replayed", 401, "The proof of possession was used before";
    /// The DPoP proof needs the nonce that `DPoP-Nonce` gives.
    ProofNonce = "proof-nonce", 401, "The proof of possession needs a nonce";
    /// The shared memory of what was used before cannot be read or written.
    ReplaysUnavailable = "replays-unavailable", 503, "Replays cannot be checked";
    /// The route needs a signed request, and the request has no signature.
    SignatureMissing = "signature-missing", 401, "A signature is required";
    /// The signature is malformed or forged, covers too little, or is of a key that does not count here.
    SignatureInvalid = "signature-invalid", 401, "The signature is not valid";
    /// The signature was made too long ago, or has expired by its own word.
    SignatureExpired = "signature-expired", 401, "The signature has expired";
    /// The signature, or its nonce, was used before.
    SignatureReplayed = "signature-replayed", 401, "The signature was used before";
    /// The request carries more than one signature that could be meant.
    SignatureAmbiguous = "signature-ambiguous", 400, "More than one signature was sent";
    /// The body is not the one whose digest was signed, or the digest cannot be compared.
    DigestMismatch = "digest-mismatch", 400, "The body is not the one that was signed";
    /// The keys to check the token with are not available: try again later.
    KeysUnavailable = "keys-unavailable", 503, "Keys are not available";
    /// The identity is good, and may not do this.
    PermissionDenied = "permission-denied", 403, "This is not permitted";
    /// The body is larger than the route accepts.
    BodyTooLarge = "body-too-large", 413, "The body is too large";
    /// The body is of a type that the route does not accept, or says nothing about its type.
    BodyTypeUnsupported = "body-type-unsupported", 415, "The content type is not supported";
    /// The body is not what its content type says.
    BodyMalformed = "body-malformed", 400, "The body is malformed";
    /// The body is well-formed and exceeds a limit on depth, lengths or counts.
    BodyLimits = "body-limits", 400, "The body exceeds a limit";
    /// The body does not satisfy its schema; `errors` lists where.
    BodySchema = "body-schema", 400, "The body does not match its schema";
    /// The route needs a body and the request has none.
    BodyMissing = "body-missing", 400, "A body is required";
    /// Something in the request reads as SQL injection.
    AttackSqli = "attack-sqli", 403, "The request was refused";
    /// Something in the request reads as cross-site scripting.
    AttackXss = "attack-xss", 403, "The request was refused";
    /// Something in the request reads as path traversal or access to a system file.
    AttackTraversal = "attack-traversal", 403, "The request was refused";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_lower_case_words() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for code in codes {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
        }
    }

    #[test]
    fn every_reason_is_a_refusal() {
        for reason in Reason::ALL {
            assert!((400..600).contains(&reason.status()), "{}", reason.code());
            assert!(!reason.explanation().trim().is_empty());
        }
    }
}
