use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::sources::Sources;
use super::*;
use crate::authentication::plan::TokenSource;
use crate::authentication::revocation::plan::{ListPlan, NamesPlan, RevocationPlan};
use crate::host::testing::TestHost;
use crate::intake::admit;
use crate::intake::plan::IntakePlan;
use crate::intake::request::Headers;
use crate::trace::Trace;
use plan::{KeyTablePlan, PeriodPlan, ProfilePlan};

const NOW_S: u64 = 1_800_000_000;

/// A key, its client, from when and until when.
type Entry<'e> = (&'e str, &'e str, Option<u64>, Option<u64>);

fn keys(name: &str, digester: &Digester, entries: &[Entry<'_>]) -> ApiKeysPlan {
    let mut rows: Vec<_> = entries.iter().map(|entry| (digester.digest(entry.0.as_bytes()), entry)).collect();
    rows.sort_unstable();
    let digests: Vec<[u8; 32]> = rows.iter().map(|(digest, _)| *digest).collect();
    let profile = ProfilePlan {
        kind: Some("device".into()),
        roles: vec!["sensor".into()],
        permissions: vec!["telemetry:write".into()],
        claims: json!({"site": "berlin", "tags": ["a", "b"]}).as_object().cloned().unwrap(),
    };
    ApiKeysPlan {
        name: name.into(),
        at: "bundle.yaml:4".into(),
        from: vec![TokenSource::Header { name: "x-api-key".into(), scheme: None }],
        forward_key: false,
        pepper: None,
        keys: KeyTablePlan {
            digests: STANDARD.encode(digests.as_flattened()),
            clients: rows.iter().map(|(_, entry)| entry.1).collect::<Vec<_>>().join("\n"),
            profile: vec![0; rows.len()],
            period: (0..rows.len() as u32).collect(),
            profiles: vec![profile],
            periods: rows
                .iter()
                .map(|(_, (.., from, to))| PeriodPlan { not_before: *from, expires: *to, revoked: false })
                .collect(),
        },
        forward: vec![("x-client".into(), "client".into()), ("x-site".into(), "site".into())],
    }
}

fn plain(entries: &[Entry<'_>]) -> ApiKeysPlan {
    keys("devices", &Digester::Plain, entries)
}

struct Bed {
    keys: ApiKeys,
    sources: Sources,
}

fn bed(plans: &[ApiKeysPlan]) -> Bed {
    let lists: Vec<_> = plans.iter().map(|plan| (String::new(), &*plan.from)).collect();
    let (sources, places) = Sources::new(&lists).unwrap();
    let keys = ApiKeys::load(plans, &places, &|name| (name == "PEPPER").then(|| vec![7; 32])).unwrap();
    Bed { keys, sources }
}

impl Bed {
    fn send(
        &mut self,
        allowed: Allowed,
        now: u64,
        headers: &[(&str, &str)],
    ) -> Result<Option<Rc<Identity>>, String> {
        let pseudo = [(":method", "GET"), (":authority", "api.example.com"), (":path", "/")];
        let pairs: Vec<_> = pseudo.iter().chain(headers).map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let admission = admit(&IntakePlan::default(), Headers::new(&pairs)).unwrap();
        let mut attempt = Attempt {
            request: &admission.request,
            sources: &self.sources,
            now: Now::from_secs(now),
            host: &mut TestHost::default(),
            trace: &mut Trace::off(),
            once: Vec::new(),
        };
        self.keys
            .identify(allowed, &mut attempt)
            .map_err(|refusal| format!("{}: {}", refusal.reason.code(), refusal.detail))
    }

    fn key(&mut self, key: &str) -> Result<Option<Rc<Identity>>, String> {
        self.send(!0, NOW_S, &[("x-api-key", key)])
    }
}

#[test]
fn a_key_says_whose_it_is_and_what_he_may() {
    let mut bed = bed(&[plain(&[
        ("secret-1", "device-1", None, None),
        ("secret-2", "device-2", None, Some(NOW_S + 1)),
    ])]);
    let identity = bed.key("secret-2").unwrap().unwrap();
    assert_eq!((identity.kind(), identity.method(), identity.issuer_name()), (Kind::ApiKey, 0, "devices"));
    assert_eq!(identity.subject(), "device-2");
    assert_eq!(
        (identity.roles(), identity.permissions()),
        (&["sensor".to_owned()][..], &["telemetry:write".to_owned()][..])
    );
    assert_eq!(
        json!(identity.claims()),
        json!({"client": "device-2", "kind": "device", "site": "berlin", "tags": ["a", "b"]})
    );
    assert_eq!(
        identity.forwarded(),
        [("x-client".to_owned(), "device-2".to_owned()), ("x-site".to_owned(), "berlin".to_owned())]
    );
    assert_eq!(identity.expires_at().map(NumericDate::nanos), Some((NOW_S + 1) * 1_000_000_000));
    // The second time it is the same identity, and the other key is another one.
    assert!(Rc::ptr_eq(&identity, &bed.key("secret-2").unwrap().unwrap()));
    let other = bed.key("secret-1").unwrap().unwrap();
    assert_eq!(other.subject(), "device-1");
    // What a factor remembers of one key is not for another of the same client.
    assert_ne!(other.credential, identity.credential);
}

#[test]
fn what_is_no_key_is_refused() {
    // Of the empty text there is a digest too, and a script may have put it into a table.
    let mut bed = bed(&[plain(&[("secret-1", "device-1", None, None), ("", "nobody", None, None)])]);
    assert!(bed.send(!0, NOW_S, &[]).unwrap().is_none());
    for (key, detail) in [
        ("secret-2", "nobody has"),
        ("", "nobody has"),
        ("Secret-1", "nobody has"),
        (&"x".repeat(1025), "1025 bytes"),
    ] {
        let refused = bed.key(key).unwrap_err();
        assert!(refused.starts_with("api-key-invalid: ") && refused.contains(detail), "{refused}");
        assert!(!refused.contains("ecret"), "{refused}");
    }
    let twice = [("x-api-key", "secret-1"), ("x-api-key", "secret-1")];
    assert_eq!(bed.send(!0, NOW_S, &twice).unwrap_err(), "api-key-ambiguous: more than one API key was sent");
    assert!(bed.key(" secret-1 ").is_ok(), "white space around a value is none of it");
}

#[test]
fn a_key_has_its_time_whether_it_is_remembered_or_not() {
    let mut bed = bed(&[plain(&[("old", "device-1", None, Some(100)), ("new", "device-1", Some(90), None)])]);
    for (now, old, new) in [
        (89, Ok(()), Err("invalid")),
        (90, Ok(()), Ok(())),
        (99, Ok(()), Ok(())),
        (100, Err("expired"), Ok(())),
        (95, Ok(()), Ok(())),
        (50, Ok(()), Err("invalid")),
    ] {
        for (key, expected) in [("old", old), ("new", new)] {
            let found = bed.send(!0, now, &[("x-api-key", key)]).map(|_| ());
            match expected {
                Ok(()) => assert_eq!(found, Ok(()), "{key} at {now}"),
                Err(word) => {
                    assert!(found.clone().unwrap_err().starts_with(&format!("api-key-{word}: ")), "{found:?}")
                }
            }
        }
    }
}

#[test]
fn a_revoked_key_is_told_from_an_unknown_one_only_to_operators() {
    let mut plan = plain(&[("secret-1", "device-1", None, None)]);
    plan.keys.periods[0].revoked = true;
    assert_eq!(
        bed(&[plan]).key("secret-1").unwrap_err(),
        "api-key-invalid: the key of `device-1` is revoked"
    );
}

#[test]
fn keys_of_a_table_are_good_where_it_serves_and_nowhere_else() {
    let other = Digester::peppered(&[7; 32]).unwrap();
    let mut partners = keys("partners", &other, &[("secret-2", "partner-1", None, None)]);
    partners.pepper = Some("PEPPER".into());
    partners.from = vec![TokenSource::Header { name: "x-partner-key".into(), scheme: None }];
    let mut bed = bed(&[plain(&[("secret-1", "device-1", None, None)]), partners]);
    let mut send = |allowed, header, key| {
        bed.send(allowed, NOW_S, &[(header, key)]).map(|i| i.unwrap().subject().to_owned())
    };
    assert_eq!(send(0b11, "x-api-key", "secret-1"), Ok("device-1".into()));
    assert_eq!(send(0b11, "x-partner-key", "secret-2"), Ok("partner-1".into()));
    assert!(send(0b11, "x-partner-key", "secret-1").unwrap_err().contains("not taken from where it was"));
    assert!(send(0b10, "x-api-key", "secret-1").unwrap_err().contains("the route does not take"));
    assert!(send(0b01, "x-partner-key", "secret-2").unwrap_err().contains("the route does not take"));
    assert_eq!(send(0b10, "x-partner-key", "secret-2"), Ok("partner-1".into()));
}

#[test]
fn a_pepper_that_is_missing_keeps_the_plan_out() {
    let mut plan = plain(&[("secret-1", "device-1", None, None)]);
    plan.pepper = Some("OTHER".into());
    let (_, places) = Sources::new(&[(String::new(), &*plan.from)]).unwrap();
    let error = ApiKeys::load(&[plan], &places, &|_| None).unwrap_err();
    assert!(
        error.to_string().starts_with("authentication.api_keys[0].pepper: the environment variable `OTHER`"),
        "{error}"
    );
}

#[test]
fn who_shares_a_place_is_not_mistaken() {
    let names: Vec<(String, String)> =
        (0..3 * REMEMBERED).map(|n| (format!("k{n}"), format!("c{n}"))).collect();
    let entries: Vec<Entry<'_>> =
        names.iter().map(|(key, client)| (key.as_str(), client.as_str(), None, None)).collect();
    let mut bed = bed(&[plain(&entries)]);
    for _ in 0..2 {
        for (key, client) in &names {
            assert_eq!(bed.key(key).unwrap().unwrap().subject(), client);
        }
    }
    assert_eq!(bed.keys.remembered.len(), REMEMBERED);
}

/// The whole room: keys beside revocation.
#[test]
fn a_subject_that_is_revoked_has_no_key() {
    use crate::authentication::Authenticator;
    use crate::authentication::plan::{AuthenticationPlan, CombinationMode, CombinationPlan, MethodRef};
    let plan = AuthenticationPlan {
        api_keys: vec![plain(&[("secret-1", "device-1", None, None), ("secret-2", "device-2", None, None)])],
        combinations: vec![CombinationPlan {
            mode: CombinationMode::Any,
            methods: vec![MethodRef::ApiKeys(0)],
        }],
        revoked: Some(RevocationPlan {
            at: "bundle.yaml:9".into(),
            require: vec!["jti".into()],
            feed: None,
            list: ListPlan {
                issued_before: Some(NOW_S),
                subjects: NamesPlan {
                    count: 1,
                    names: "device-2".into(),
                    until: vec![NOW_S + 10],
                    ..NamesPlan::default()
                },
                ..ListPlan::default()
            },
        }),
        ..AuthenticationPlan::default()
    };
    let mut room =
        Authenticator::load(&plan, "edge", &crate::authentication::tests::surroundings(&|_| None)).unwrap();
    let mut send = |key: &str, now| {
        let pairs: [(&[u8], &[u8]); 4] =
            [(b":method", b"GET"), (b":authority", b"a"), (b":path", b"/"), (b"x-api-key", key.as_bytes())];
        let admission = admit(&IntakePlan::default(), Headers::new(&pairs)).unwrap();
        let charged = crate::limits::AddressCharged::for_test();
        let (host, trace) = (&mut TestHost::default(), &mut Trace::off());
        room.authenticate(0, &admission.request, &charged, Now::from_secs(now), host, trace)
            .map(|known| known.unwrap().identity.subject().to_owned())
            .map_err(|refusal| (refusal.reason, refusal.headers.clone()))
    };
    let challenge = vec![("www-authenticate".into(), r#"ApiKey realm="api""#.into())];
    assert_eq!(send("secret-1", NOW_S), Ok("device-1".into()));
    assert_eq!(send("secret-2", NOW_S), Err((Reason::ApiKeyInvalid, challenge)));
    assert_eq!(send("secret-2", NOW_S + 10), Ok("device-2".into()));
}
