//! The rules that say which certificate is whose.

use super::digests::{Digests, Fingerprint, shown};
use super::plan::{CertificateAccept, CertificateRule};
use super::spiffe::{self, Pattern};

/// A certificate, from wherever it was told.
#[derive(Debug, Default)]
pub(super) struct Certificate {
    pub(super) fingerprint: Fingerprint,
    pub(super) subject: String,
    pub(super) uris: Vec<String>,
    pub(super) dns: Vec<String>,
    /// Whether somebody who is trusted issued it. If not, only its fingerprint says anything: whoever made it could
    /// write any name into it, but holds the key.
    pub(super) verified: bool,
}

impl Certificate {
    /// The SPIFFE id: of a certificate with exactly one URI (X509-SVID, section 2), by trust domain and path.
    pub(super) fn spiffe_id(&self) -> Option<(&str, (&str, &str))> {
        match self.uris.as_slice() {
            [uri] => Some((uri, spiffe::read(uri).ok()?)),
            _ => None,
        }
    }
}

/// A rule, made ready.
#[derive(Debug)]
pub(super) struct Rule {
    accept: Accept,
    pub(super) roles: Vec<String>,
    pub(super) permissions: Vec<String>,
}

#[derive(Debug)]
enum Accept {
    Spiffe(Pattern),
    /// In lower case; whether it was written with `*.`, which is then left out and its dot is not.
    Dns(String, bool),
    Uri(String),
    Subject(String),
    Fingerprints(Digests, Vec<String>),
}

impl Rule {
    pub(super) fn load(plan: &CertificateRule) -> Result<Self, (&'static str, String)> {
        let wrong = |what: &'static str| move |problem: &str| (what, problem.to_owned());
        let accept = match &plan.accept {
            CertificateAccept::Spiffe(pattern) => {
                Accept::Spiffe(Pattern::read(pattern).map_err(wrong("accept.spiffe"))?)
            }
            CertificateAccept::Dns(name) => {
                check_dns(name).map_err(wrong("accept.dns"))?;
                let below = name.strip_prefix('*');
                Accept::Dns(below.unwrap_or(name).to_ascii_lowercase(), below.is_some())
            }
            CertificateAccept::Uri(uri) if uri.is_empty() => return Err(("accept.uri", "is empty".into())),
            CertificateAccept::Uri(uri) => Accept::Uri(uri.clone()),
            CertificateAccept::Subject(subject) if subject.is_empty() => {
                return Err(("accept.subject", "is empty, and so is that of many certificates".into()));
            }
            CertificateAccept::Subject(subject) => Accept::Subject(subject.clone()),
            CertificateAccept::Fingerprints { digests, clients } => {
                let digests = Digests::load(digests).map_err(|problem| ("accept.fingerprints", problem))?;
                if !clients.is_empty() && clients.len() != digests.len() {
                    let problem = format!("{} clients for {} fingerprints", clients.len(), digests.len());
                    return Err(("accept.fingerprints.clients", problem));
                }
                Accept::Fingerprints(digests, clients.clone())
            }
        };
        Ok(Self { accept, roles: plan.roles.clone(), permissions: plan.permissions.clone() })
    }

    /// Whom the rule makes of a certificate, if it matches.
    pub(super) fn subject(&self, certificate: &Certificate) -> Option<String> {
        match &self.accept {
            Accept::Fingerprints(digests, clients) => {
                let index = digests.find(&certificate.fingerprint)?;
                let client = clients.get(index).filter(|client| !client.is_empty());
                Some(client.cloned().unwrap_or_else(|| shown(&certificate.fingerprint)))
            }
            _ if !certificate.verified => None,
            Accept::Spiffe(pattern) => {
                let (whole, id) = certificate.spiffe_id()?;
                pattern.matches(id).then(|| whole.to_owned())
            }
            Accept::Dns(wanted, below) => certificate.dns.iter().find_map(|name| {
                // There are many rules and many names: nothing is copied before one fits.
                let (labels, end) = name.split_at_checked(name.len().checked_sub(wanted.len())?)?;
                if !end.eq_ignore_ascii_case(wanted) || labels.is_empty() == *below {
                    return None;
                }
                // A name with a star is for many servers, and nobody's own.
                let plain = |label: &str| !label.is_empty() && !label.contains('*');
                (!*below || labels.split('.').all(plain)).then(|| name.to_ascii_lowercase())
            }),
            Accept::Uri(wanted) => certificate.uris.iter().find(|uri| *uri == wanted).cloned(),
            Accept::Subject(wanted) => (certificate.subject == *wanted).then(|| wanted.clone()),
        }
    }
}

/// A DNS name of a rule: labels of letters, digits, `-` and `_`, with `*.` before them or not.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn check_dns(name: &str) -> Result<(), &'static str> {
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let fine = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if labels.len() <= 253 && labels.split('.').all(fine) {
        Ok(())
    } else {
        Err("is not a DNS name, or `*.` and one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(accept: CertificateAccept) -> Rule {
        let plan = CertificateRule { at: String::new(), accept, roles: vec![], permissions: vec![] };
        Rule::load(&plan).unwrap()
    }

    fn certificate(uris: &[&str], dns: &[&str]) -> Certificate {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Certificate {
            fingerprint: [7; 32],
            subject: "CN=a,O=b".into(),
            uris: list(uris),
            dns: list(dns),
            verified: true,
        }
    }

    #[test]
    fn a_spiffe_id_is_the_only_uri() {
        let rule = rule(CertificateAccept::Spiffe("spiffe://d/*".into()));
        assert_eq!(rule.subject(&certificate(&["spiffe://d/a"], &[])).as_deref(), Some("spiffe://d/a"));
        for uris in [
            &["spiffe://d/a", "spiffe://d/b"][..],
            &["spiffe://d/a", "https://x/"],
            &[],
            &["spiffe://d/a/b"],
            &["SPIFFE://d/a"],
        ] {
            assert_eq!(rule.subject(&certificate(uris, &[])), None, "{uris:?}");
        }
    }

    #[test]
    fn dns_names_match_whole_labels() {
        let below = rule(CertificateAccept::Dns("*.Example.com".into()));
        let exact = rule(CertificateAccept::Dns("example.com".into()));
        for name in ["a.example.com", "a.b.example.com", "A.EXAMPLE.COM"] {
            assert_eq!(below.subject(&certificate(&[], &["x", name])), Some(name.to_ascii_lowercase()));
            assert_eq!(exact.subject(&certificate(&[], &[name])), None);
        }
        for name in [
            "example.com",
            ".example.com",
            "badexample.com",
            "*.example.com",
            "a.*.example.com",
            "a.example.com.",
            "a.example.com.evil.net",
        ] {
            assert_eq!(below.subject(&certificate(&[], &[name])), None, "{name}");
        }
        assert!(exact.subject(&certificate(&[], &["EXAMPLE.com"])).is_some());
    }

    #[test]
    fn exact_means_exact() {
        let uri = rule(CertificateAccept::Uri("https://a/b".into()));
        assert!(uri.subject(&certificate(&["x", "https://a/b"], &[])).is_some());
        assert!(uri.subject(&certificate(&["https://a/b/"], &[])).is_none());
        let subject = rule(CertificateAccept::Subject("CN=a,O=b".into()));
        assert!(subject.subject(&certificate(&[], &[])).is_some());
        let other = rule(CertificateAccept::Subject("CN=a".into()));
        assert!(other.subject(&certificate(&[], &[])).is_none());
    }

    #[test]
    fn without_an_issuer_only_fingerprints_count() {
        let mut unverified = certificate(&["spiffe://d/a"], &["example.com"]);
        unverified.verified = false;
        for accept in [
            CertificateAccept::Spiffe("spiffe://d/**".into()),
            CertificateAccept::Dns("example.com".into()),
            CertificateAccept::Uri("spiffe://d/a".into()),
            CertificateAccept::Subject("CN=a,O=b".into()),
        ] {
            assert_eq!(rule(accept).subject(&unverified), None);
        }
        let pins = |clients: &[&str]| CertificateAccept::Fingerprints {
            digests: super::super::digests::blob(&[[3; 32], [7; 32]]),
            clients: clients.iter().map(|c| (*c).to_owned()).collect(),
        };
        assert_eq!(rule(pins(&[])).subject(&unverified), Some("07".repeat(32)));
        assert_eq!(rule(pins(&["three", "seven"])).subject(&unverified).as_deref(), Some("seven"));
        assert_eq!(rule(pins(&["three", ""])).subject(&unverified), Some("07".repeat(32)));
    }

    #[test]
    fn plans_are_checked() {
        for accept in [
            CertificateAccept::Spiffe("spiffe://*/a".into()),
            CertificateAccept::Dns("*".into()),
            CertificateAccept::Dns("a.*.com".into()),
            CertificateAccept::Dns("*.".into()),
            CertificateAccept::Uri(String::new()),
            CertificateAccept::Subject(String::new()),
            CertificateAccept::Fingerprints { digests: "x".into(), clients: vec![] },
            CertificateAccept::Fingerprints { digests: String::new(), clients: vec!["a".into()] },
        ] {
            let plan = CertificateRule { at: String::new(), accept, roles: vec![], permissions: vec![] };
            assert!(Rule::load(&plan).is_err(), "{plan:?}");
        }
    }
}
