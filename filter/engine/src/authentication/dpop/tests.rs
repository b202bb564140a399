use super::*;
use crate::host::testing::TestHost;

fn plan() -> DpopPlan {
    DpopPlan {
        algorithms: vec![Algorithm::ES256],
        max_age_s: 60,
        leeway_s: 5,
        origins: Vec::new(),
        nonce: None,
        replay_entries: 1024,
    }
}

fn load(plan: &DpopPlan) -> Result<Dpop, String> {
    let secret =
        |name: &str| (name != "UNSET").then(|| if name == "SHORT" { vec![1; 31] } else { vec![1; 32] });
    let surroundings =
        Surroundings { secret: &secret, seed: [1, 2], peer_appended: false, peer_verified: false };
    Dpop::load(plan, "corp", "authentication.jwt[0].binding.dpop", &surroundings).map_err(|e| e.to_string())
}

#[test]
fn plans_are_checked() {
    assert_eq!(load(&plan()).unwrap().challenge(None), r#"DPoP realm="api", algs="ES256""#);
    let nonce = |lifetime_s, key_env: Option<&str>| {
        Some(plan::NoncePlan { lifetime_s, key_env: key_env.map(str::to_owned) })
    };
    for (bad, place) in [
        (DpopPlan { algorithms: vec![], ..plan() }, "algorithms"),
        (DpopPlan { algorithms: vec![Algorithm::ES256, Algorithm::HS256], ..plan() }, "algorithms"),
        (DpopPlan { max_age_s: 0, ..plan() }, "max_age_s"),
        (DpopPlan { max_age_s: 3601, ..plan() }, "max_age_s"),
        (DpopPlan { leeway_s: 3601, ..plan() }, "leeway_s"),
        (DpopPlan { origins: vec!["https://a/".into()], ..plan() }, "origins[0]"),
        (DpopPlan { nonce: nonce(0, None), ..plan() }, "nonce.lifetime_s"),
        (DpopPlan { nonce: nonce(60, Some("UNSET")), ..plan() }, "nonce.key_env"),
        (DpopPlan { nonce: nonce(60, Some("SHORT")), ..plan() }, "nonce.key_env"),
        (DpopPlan { replay_entries: 3, ..plan() }, "replay_entries"),
    ] {
        let problem = load(&bad).unwrap_err();
        assert!(problem.contains(place), "{problem}");
    }
    assert!(load(&DpopPlan { nonce: nonce(60, Some("KEY")), ..plan() }).is_ok());
    assert!(load(&DpopPlan { nonce: nonce(60, None), ..plan() }).is_ok());
}

#[test]
fn exactly_one_proof() {
    let dpop = load(&plan()).unwrap();
    let line = |name: &'static str, value: &'static str| (name.as_bytes(), value.as_bytes());
    let head = [line(":method", "GET"), line(":authority", "a"), line(":path", "/")];
    for (proofs, wrong) in [(0, "no proof"), (1, "well-formed"), (2, "two proofs")] {
        let mut pairs = head.to_vec();
        pairs.extend((0..proofs).map(|_| line("dpop", "x")));
        let headers = crate::intake::request::Headers::new(&pairs);
        let admission = crate::intake::admit(&crate::intake::plan::IntakePlan::default(), headers).unwrap();
        let refused =
            dpop.judge(&admission.request, b"t", [0; 32], Now::from_secs(1), &mut TestHost::default());
        assert!(
            matches!(refused, Err(ProofError::Invalid(why)) if why.contains(wrong)),
            "{proofs}: {refused:?}"
        );
    }
}
