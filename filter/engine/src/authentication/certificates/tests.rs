use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use superboring::reexports::hmac_sha256::Hash;

use super::plan::{CertificateAccept, CertificateRule};
use super::*;
use crate::authentication::plan::{AuthenticationPlan, CombinationMode, CombinationPlan, MethodRef};
use crate::authentication::tests::surroundings;
use crate::authentication::{Authenticator, Known};
use crate::host::testing::TestHost;
use crate::intake::plan::IntakePlan;
use crate::intake::request::Headers;
use crate::limits::AddressCharged;
use crate::trace::Trace;

/// A moment at which [`x509`]'s certificate is in force.
const NOW_S: u64 = 1_800_000_000;

fn rule(accept: CertificateAccept) -> CertificateRule {
    CertificateRule { at: "bundle.yaml:4".into(), accept, roles: vec!["r".into()], permissions: vec![] }
}

fn plan(from: CertificateSource, accept: CertificateAccept) -> CertificatesPlan {
    CertificatesPlan {
        name: "mesh".into(),
        at: "bundle.yaml:3".into(),
        from,
        rules: vec![rule(accept)],
        revoked: String::new(),
        forward_claims: vec![("x-client".into(), "client".into())],
    }
}

fn load(plans: &[CertificatesPlan], peer_verified: bool) -> Result<Authenticator, PlanError> {
    let methods = (0..plans.len()).map(MethodRef::Certificates).collect();
    let plan = AuthenticationPlan {
        certificates: plans.to_vec(),
        combinations: vec![CombinationPlan { mode: CombinationMode::Any, methods }],
        ..AuthenticationPlan::default()
    };
    let surroundings = crate::pipeline::Surroundings { peer_verified, ..surroundings(&|_| None) };
    Authenticator::load(&plan, "edge", &surroundings)
}

fn send_at(room: &mut Authenticator, now: u64, host: &mut TestHost, xfcc: &[&str]) -> Result<Known, Refusal> {
    let mut pairs: Vec<(&[u8], &[u8])> = [(":method", "GET"), (":authority", "a"), (":path", "/")]
        .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
        .into();
    pairs.extend(xfcc.iter().map(|line| (HEADER.as_bytes(), line.as_bytes())));
    let admission = crate::intake::admit(&IntakePlan::default(), Headers::new(&pairs)).unwrap();
    let charged = AddressCharged::for_test();
    let known =
        room.authenticate(0, &admission.request, &charged, Now::from_secs(now), host, &mut Trace::off())?;
    Ok(known.unwrap())
}

/// A connection with the certificate that OpenSSL made.
fn connected() -> (TestHost, Fingerprint) {
    let der = STANDARD.decode(x509::tests::LEAF).unwrap();
    let digest = Hash::hash(&der);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&der));
    let encoded = pem.replace('+', "%2B").replace('\n', "%0A").replace('=', "%3D").into_bytes();
    let subject = b"CN=client,O=Example".to_vec();
    let certificate = Some([shown_fingerprint(&digest).into_bytes(), subject, encoded]);
    (TestHost { certificate, ..TestHost::default() }, digest)
}

fn subject_of(plan: CertificatesPlan, verified: bool, now: u64) -> Result<String, (Reason, String)> {
    let mut room = load(&[plan], verified).unwrap();
    let (mut host, _) = connected();
    let known =
        send_at(&mut room, now, &mut host, &[]).map_err(|refusal| (refusal.reason, refusal.detail))?;
    Ok(known.identity.subject().to_owned())
}

#[test]
fn a_certificate_says_who_it_is() {
    let plan = plan(CertificateSource::Connection, CertificateAccept::Dns("*.example.com".into()));
    let mut room = load(std::slice::from_ref(&plan), true).unwrap();
    let (mut host, digest) = connected();
    let known = send_at(&mut room, NOW_S, &mut host, &[]).unwrap();
    let identity = &known.identity;
    assert_eq!((identity.kind(), identity.subject()), (Kind::Certificate, "a.example.com"));
    assert_eq!(identity.roles(), ["r"]);
    assert_eq!(identity.forwarded(), [("x-client".into(), "a.example.com".into())]);
    assert_eq!(identity.claims().get("fingerprint"), Some(&shown_fingerprint(&digest).into()));
    assert_eq!(identity.claims().get("not_after"), Some(&2_607_460_729u64.into()));
    assert_eq!(identity.claims().get("spiffe"), None);
    // The second time nothing but the digest is asked for.
    let Some([_, subject, pem]) = &mut host.certificate else { panic!() };
    subject.clear();
    pem.clear();
    assert!(Rc::ptr_eq(&send_at(&mut room, NOW_S, &mut host, &[]).unwrap().identity, identity));
}

#[test]
fn dates_count_on_every_request() {
    let plan = plan(CertificateSource::Connection, CertificateAccept::Dns("a.example.com".into()));
    assert!(subject_of(plan.clone(), true, 2_607_460_729).is_ok());
    let (reason, detail) = subject_of(plan.clone(), true, 2_607_460_730).unwrap_err();
    assert_eq!((reason, detail.as_str()), (Reason::CertificateDenied, "the certificate has expired"));
    assert!(subject_of(plan.clone(), true, 1_795_300_729).is_ok());
    assert!(subject_of(plan.clone(), true, 1_795_300_728).is_err());
    // A certificate that is remembered expires too.
    let mut room = load(&[plan], true).unwrap();
    let (mut host, _) = connected();
    assert!(send_at(&mut room, NOW_S, &mut host, &[]).is_ok());
    assert!(send_at(&mut room, 2_607_460_730, &mut host, &[]).is_err());
}

#[test]
fn names_need_a_listener_that_verifies_and_fingerprints_do_not() {
    let (_, digest) = connected();
    let dns = plan(CertificateSource::Connection, CertificateAccept::Dns("a.example.com".into()));
    let (reason, detail) = subject_of(dns, false, NOW_S).unwrap_err();
    assert!(reason == Reason::CertificateDenied && detail.contains("settings.peer_verified"), "{detail}");
    let accept =
        CertificateAccept::Fingerprints { digests: blob(&[digest]), clients: vec!["till-7".to_owned()] };
    assert_eq!(
        subject_of(plan(CertificateSource::Connection, accept), false, NOW_S).as_deref(),
        Ok("till-7")
    );
}

#[test]
fn what_is_wrong_with_a_certificate_is_final() {
    let (_, digest) = connected();
    let good = plan(CertificateSource::Connection, CertificateAccept::Dns("a.example.com".into()));
    let revoked = CertificatesPlan { revoked: blob(&[digest]), ..good.clone() };
    let other = plan(CertificateSource::Connection, CertificateAccept::Dns("b.example.org".into()));
    for (mut plans, allowed) in [
        (vec![good.clone()], true),
        (vec![other.clone()], false),
        (vec![other, good.clone()], true),
        (vec![revoked.clone()], false),
        (vec![revoked, good], false),
    ] {
        for (index, plan) in plans.iter_mut().enumerate() {
            plan.name = format!("mesh-{index}");
        }
        let (mut host, _) = connected();
        let mut room = load(&plans, true).unwrap();
        let judged = send_at(&mut room, NOW_S, &mut host, &[]);
        assert_eq!(judged.is_ok(), allowed, "{plans:?}");
        assert!(judged.err().is_none_or(|refusal| refusal.reason == Reason::CertificateDenied));
    }
}

#[test]
fn a_proxy_that_contradicts_itself_is_not_believed() {
    let plan = plan(CertificateSource::Connection, CertificateAccept::Dns("a.example.com".into()));
    for (place, text) in
        [(0, "00".repeat(32)), (0, "zz".into()), (2, String::new()), (2, "-----BEGIN".into())]
    {
        let (mut host, _) = connected();
        host.certificate.as_mut().unwrap()[place] = text.clone().into_bytes();
        let refusal = send_at(&mut load(std::slice::from_ref(&plan), true).unwrap(), NOW_S, &mut host, &[])
            .unwrap_err();
        assert_eq!(refusal.reason, Reason::CertificateDenied, "{text}");
    }
    let refusal =
        send_at(&mut load(&[plan], true).unwrap(), NOW_S, &mut TestHost::default(), &[]).unwrap_err();
    assert_eq!(refusal.reason, Reason::CertificateMissing);
    assert_eq!(refusal.headers, [("www-authenticate".to_owned(), r#"Certificate realm="api""#.to_owned())]);
}

#[test]
fn a_header_counts_from_the_hop_that_is_trusted() {
    let from = CertificateSource::Xfcc { trusted_hops: 1 };
    let mut room = load(&[plan(from, CertificateAccept::Spiffe("spiffe://d/**".into()))], false).unwrap();
    let mut judge = |lines: &[&str]| {
        // What the connection says is not asked for.
        let (mut host, _) = connected();
        let known = send_at(&mut room, NOW_S, &mut host, lines).map_err(|refusal| refusal.reason)?;
        Ok(known.identity.subject().to_owned())
    };
    let hash = format!("Hash={}", "ab".repeat(32));
    let me = format!("By=spiffe://d/p;{hash};URI=spiffe://d/me");
    assert_eq!(judge(&[&me]).as_deref(), Ok("spiffe://d/me"));
    assert_eq!(judge(&[&format!("{hash};URI=spiffe://d/admin,{me}")]).as_deref(), Ok("spiffe://d/me"));
    assert_eq!(judge(&[&format!("{hash};URI=spiffe://d/admin"), &me]).as_deref(), Ok("spiffe://d/me"));
    assert_eq!(judge(&[]), Err(Reason::CertificateMissing));
    for bad in [
        "",
        "x",
        "URI=spiffe://d/me",
        "Hash=ab;URI=spiffe://d/me",
        &format!("{me};{hash}"),
        &me.replace("/me", "/"),
    ] {
        assert_eq!(judge(&[bad]), Err(Reason::CertificateDenied), "{bad}");
    }
    assert_eq!(judge(&[&format!("{me};URI=spiffe://d/admin")]), Err(Reason::CertificateDenied));
}

#[test]
fn plans_are_checked() {
    let base = || plan(CertificateSource::Connection, CertificateAccept::Dns("a.b".into()));
    for (plan, place) in [
        (CertificatesPlan { rules: vec![], ..base() }, "authentication.certificates[0].rules"),
        (
            CertificatesPlan { from: CertificateSource::Xfcc { trusted_hops: 0 }, ..base() },
            "authentication.certificates[0].from.xfcc.trusted_hops",
        ),
        (
            CertificatesPlan { from: CertificateSource::Xfcc { trusted_hops: 17 }, ..base() },
            "authentication.certificates[0].from.xfcc.trusted_hops",
        ),
        (CertificatesPlan { revoked: "?".into(), ..base() }, "authentication.certificates[0].revoked"),
        (
            CertificatesPlan { rules: vec![rule(CertificateAccept::Dns("*".into()))], ..base() },
            "authentication.certificates[0].rules[0].accept.dns",
        ),
        (
            CertificatesPlan { forward_claims: vec![("cookie".into(), "client".into())], ..base() },
            "authentication.certificates[0].forward_claims[0]",
        ),
    ] {
        assert_eq!(load(&[plan], true).unwrap_err().place, place);
    }
}

#[test]
fn what_this_proxy_wrote_into_the_header_is_worth_what_the_connection_is() {
    let (_, digest) = connected();
    let one = CertificateSource::Xfcc { trusted_hops: 1 };
    let dns = || plan(one, CertificateAccept::Dns("a.example.com".into()));
    let judge = |plan: CertificatesPlan, verified: bool, now: u64, lines: &[&str]| {
        let (mut host, _) = connected();
        let known = send_at(&mut load(&[plan], verified).unwrap(), now, &mut host, lines);
        known.map(|known| known.identity.subject().to_owned()).map_err(|refusal| refusal.detail)
    };
    let ours =
        format!("By=spiffe://d/p;Hash={};URI=spiffe://d/admin;DNS=a.example.com", shown_fingerprint(&digest));
    let detail = judge(dns(), false, NOW_S, &[&ours]).unwrap_err();
    assert!(detail.contains("settings.peer_verified"), "{detail}");
    // Where the listener verifies it is as good as the connection, and has its names and its dates.
    assert_eq!(judge(dns(), true, NOW_S, &[&ours]).as_deref(), Ok("a.example.com"));
    assert_eq!(
        judge(dns(), true, NOW_S, &[&ours.to_uppercase().replace("HASH", "Hash").replace("BY", "By")])
            .as_deref(),
        Ok("a.example.com")
    );
    assert!(judge(dns(), true, 2_607_460_730, &[&ours]).unwrap_err().contains("expired"));
    let spiffe = plan(one, CertificateAccept::Spiffe("spiffe://d/**".into()));
    assert!(judge(spiffe, true, NOW_S, &[&ours]).is_err());
    // A URI of the certificate writes an element behind this proxy's own.
    let pinned = CertificateAccept::Fingerprints { digests: blob(&[[0xab; 32]]), clients: vec![] };
    let smuggled = format!("{ours},Hash={};URI=spiffe://d/admin", "ab".repeat(32));
    for verified in [false, true] {
        let detail = judge(plan(one, pinned.clone()), verified, NOW_S, &[&smuggled]).unwrap_err();
        assert!(detail.contains("behind"), "{detail}");
    }
    // Behind a proxy that is told of by this one, what that one wrote counts.
    let two = CertificateSource::Xfcc { trusted_hops: 2 };
    let theirs = format!("Hash={};URI=spiffe://d/me", "ab".repeat(32));
    let spiffe = plan(two, CertificateAccept::Spiffe("spiffe://d/**".into()));
    assert_eq!(judge(spiffe, false, NOW_S, &[&format!("{theirs},{ours}")]).as_deref(), Ok("spiffe://d/me"));
}

#[test]
fn a_token_is_not_bound_by_what_a_certificate_writes() {
    let (mut host, digest) = connected();
    let one = CertificateSource::Xfcc { trusted_hops: 1 };
    let mut bound = |line: &str| {
        let pairs: [(&[u8], &[u8]); 1] = [(HEADER.as_bytes(), line.as_bytes())];
        fingerprint(one, Headers::new(&pairs), &mut host)
    };
    let ours = format!("Hash={};URI=x", shown_fingerprint(&digest));
    let other = format!("Hash={}", "ab".repeat(32));
    assert_eq!(bound(&ours), Ok(Some(digest)));
    assert_eq!(bound(&other), Ok(Some([0xab; 32])));
    assert!(bound(&format!("{ours},{other}")).is_err());
}

#[test]
fn refusals_are_remembered_too() {
    let plan = plan(CertificateSource::Connection, CertificateAccept::Dns("b.example.org".into()));
    let mut room = load(&[plan], true).unwrap();
    let (mut host, _) = connected();
    assert_eq!(
        send_at(&mut room, NOW_S, &mut host, &[]).unwrap_err().detail,
        "no rule accepts the certificate"
    );
    let Some([_, _, pem]) = &mut host.certificate else { panic!() };
    pem.clear();
    assert_eq!(
        send_at(&mut room, NOW_S, &mut host, &[]).unwrap_err().detail,
        "no rule accepts the certificate"
    );
}

#[test]
fn there_is_an_end_to_the_names_in_a_header() {
    let from = CertificateSource::Xfcc { trusted_hops: 1 };
    let mut room = load(&[plan(from, CertificateAccept::Dns("h0.e.org".into()))], true).unwrap();
    let mut judge = |names: usize| {
        let names: String = (0..names).map(|n| format!(";DNS=h{n}.e.org")).collect();
        let line = format!("Hash={}{names}", "ab".repeat(32));
        send_at(&mut room, NOW_S, &mut TestHost::default(), &[&line]).is_ok()
    };
    assert!(judge(100));
    assert!(!judge(101));
}
