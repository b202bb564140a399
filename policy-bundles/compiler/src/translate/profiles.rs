//! The ready-made sets of response headers.

/// Everything a browser can be told to lock. For pages as much as for APIs: what a page needs beyond this
/// (scripts, frames, features) is a decision that its team writes down under `headers.response.set`.
pub(super) const STRICT: &[(&str, &str)] = &[
    // OWASP Secure Headers: nothing loads, nothing embeds, nothing is submitted.
    (
        "content-security-policy",
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "accelerometer=(), autoplay=(), camera=(), display-capture=(), fullscreen=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=(), xr-spatial-tracking=()",
    ),
    ("referrer-policy", "no-referrer"),
    // Two years: what the preload list asks for.
    ("strict-transport-security", "max-age=63072000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
    // For browsers that do not know `frame-ancestors`.
    ("x-frame-options", "DENY"),
    ("x-permitted-cross-domain-policies", "none"),
];

/// What matters where no browser renders the answer.
pub(super) const API: &[(&str, &str)] = &[
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=63072000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
];

/// What both take away: banners that help nobody but attackers.
pub(super) const REMOVED: &[&str] = &["server", "x-powered-by"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_valid_headers_in_order() {
        for profile in [STRICT, API] {
            assert!(profile.is_sorted_by_key(|(name, _)| name));
            for (name, value) in profile {
                assert!(name.parse::<bartizan_spec::text::HeaderName>().is_ok(), "{name}");
                assert!(value.parse::<bartizan_spec::text::HeaderValue>().is_ok(), "{value}");
            }
        }
    }
}
