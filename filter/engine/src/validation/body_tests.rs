use super::*;

fn limits() -> JsonLimits {
    JsonLimits {
        max_depth: 4,
        max_string_bytes: 100,
        max_key_bytes: 20,
        max_array_items: 10,
        max_object_members: 10,
        max_values: 50,
    }
}

fn content(media_type: &str, read: ReadPlan) -> ContentPlan {
    ContentPlan { media_type: media_type.into(), read }
}

fn plan() -> ValidationPlan {
    let body =
        |max_bytes, required, content| BodyPlan { at: "bundle.yaml:1".into(), max_bytes, required, content };
    let all = super::super::plan::InspectionPlan {
        sqli: true,
        xss: true,
        traversal: true,
        path: true,
        query: true,
        headers: vec!["user-agent".into()],
        cookies: true,
        body: true,
    };
    ValidationPlan {
        bodies: vec![
            body(0, false, vec![]),
            body(
                64,
                true,
                vec![
                    content("application/json", ReadPlan::Json { limits: limits(), schema: None }),
                    content("application/*+json", ReadPlan::Json { limits: limits(), schema: None }),
                    content(
                        "application/x-www-form-urlencoded",
                        ReadPlan::Form { max_fields: 3, max_value_bytes: 20 },
                    ),
                    content("image/*", ReadPlan::Opaque),
                ],
            ),
            body(
                64,
                false,
                vec![content("application/json", ReadPlan::Json { limits: limits(), schema: None })],
            ),
        ],
        schemas: vec![],
        inspections: vec![all.clone(), super::super::plan::InspectionPlan { body: false, ..all }],
    }
}

fn validator() -> Validator {
    Validator::load(&plan()).unwrap()
}

fn head(body: usize, headers: &[(&str, &str)], end: bool) -> Result<BodyDuty, Reason> {
    let pairs: Vec<(&[u8], &[u8])> = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    validator().head(body, 0, Headers::new(&pairs), end, &mut Trace::off()).map_err(|r| r.reason)
}

fn judge(headers: &[(&str, &str)], bytes: &[u8]) -> Result<(), Reason> {
    let duty = head(1, headers, false)?;
    validator().body(&duty, None, bytes, &mut Trace::off()).map_err(|r| r.reason)
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn no_body_is_no_duty_unless_it_is_required() {
    assert_eq!(head(0, &[], true), Ok(BodyDuty::None));
    assert_eq!(head(2, &[("content-length", "0")], true), Ok(BodyDuty::None));
    assert_eq!(head(1, &[], true), Err(Reason::BodyMissing));
    assert_eq!(head(0, &[("content-length", "5")], true), Err(Reason::BodyMalformed));
}

#[test]
fn a_route_without_body_tolerates_an_empty_one_and_nothing_else() {
    let duty = head(0, &[], false).unwrap();
    assert!(matches!(duty, BodyDuty::Hold { max: 0, .. }));
    let validator = validator();
    assert_eq!(validator.body(&duty, None, b"", &mut Trace::off()), Ok(()));
    assert_eq!(validator.size(&duty, 1, false).unwrap_err().reason, Reason::BodyTooLarge);
    assert_eq!(head(0, &[("content-length", "1")], false), Err(Reason::BodyTooLarge));
    assert_eq!(validator.size(&BodyDuty::None, 1, true).unwrap_err().reason, Reason::BodyMalformed);
}

#[test]
fn a_chunked_body_that_turns_out_empty_is_missing_where_it_is_required() {
    assert_eq!(judge(&[JSON], b""), Err(Reason::BodyMissing));
    assert_eq!(judge(&[], b""), Err(Reason::BodyMissing));
    let duty = head(2, &[JSON], false).unwrap();
    assert_eq!(validator().body(&duty, None, b"", &mut Trace::off()), Ok(()));
}

#[test]
fn sizes_are_judged_before_and_while_the_body_comes() {
    assert!(head(1, &[JSON, ("content-length", "64")], false).is_ok());
    assert_eq!(head(1, &[JSON, ("content-length", "65")], false), Err(Reason::BodyTooLarge));
    let duty = head(1, &[JSON], false).unwrap();
    assert_eq!(validator().size(&duty, 64, false), Ok(()));
    assert_eq!(validator().size(&duty, 65, false).unwrap_err().reason, Reason::BodyTooLarge);
    for bad in ["", "+5", "-1", "5, 5", "0x10", " 5", "99999999999999999999"] {
        assert_eq!(head(1, &[JSON, ("content-length", bad)], false), Err(Reason::BodyMalformed), "{bad}");
    }
    let twice = [JSON, ("content-length", "5"), ("content-length", "5")];
    assert_eq!(head(1, &twice, false), Err(Reason::BodyMalformed));
}

#[test]
fn types_are_matched_and_everything_else_is_refused() {
    let of = |value: &'static str| head(1, &[("content-type", value), ("content-length", "5")], false);
    assert!(matches!(of("Application/JSON; charset=UTF-8"), Ok(BodyDuty::Hold { max: 64, .. })));
    assert!(matches!(of("application/merge-patch+json"), Ok(BodyDuty::Hold { .. })));
    assert!(matches!(of("image/png"), Ok(BodyDuty::Count { max: 64, .. })));
    for bad in
        ["text/plain", "application/json; charset=utf-16", "application/jsonx", "application", "", "*/*"]
    {
        assert_eq!(of(bad), Err(Reason::BodyTypeUnsupported), "{bad}");
    }
    assert_eq!(head(1, &[("content-length", "5")], false), Err(Reason::BodyTypeUnsupported));
    assert_eq!(head(1, &[JSON, JSON], false), Err(Reason::BodyTypeUnsupported));
    assert_eq!(judge(&[], b"{}"), Err(Reason::BodyTypeUnsupported));
}

#[test]
fn a_compressed_body_is_refused_where_it_is_read_and_passes_where_it_is_not() {
    assert_eq!(head(1, &[JSON, ("content-encoding", "gzip")], false), Err(Reason::BodyTypeUnsupported));
    assert_eq!(
        head(1, &[JSON, ("content-encoding", "identity, br")], false),
        Err(Reason::BodyTypeUnsupported)
    );
    assert_eq!(
        head(1, &[JSON, ("transfer-encoding", "gzip, chunked")], false),
        Err(Reason::BodyTypeUnsupported)
    );
    assert!(
        head(1, &[JSON, ("content-encoding", "Identity"), ("transfer-encoding", "chunked")], false).is_ok()
    );
    assert!(head(1, &[("content-type", "image/png"), ("content-encoding", "gzip")], false).is_ok());
}

#[test]
fn each_verdict_has_its_reason() {
    assert_eq!(judge(&[JSON], br#"{"a": "O'Brien"}"#), Ok(()));
    assert_eq!(judge(&[JSON], br#"{"a": 1,}"#), Err(Reason::BodyMalformed));
    assert_eq!(judge(&[JSON], br#"[[[[[]]]]]"#), Err(Reason::BodyLimits));
    assert_eq!(judge(&[JSON], br#"{"a": "1' or '1'='1"}"#), Err(Reason::AttackSqli));
    assert_eq!(judge(&[JSON], br#"{"<script>": 1}"#), Err(Reason::AttackXss));
    assert_eq!(judge(&[JSON], br#"{"a": ["../../etc/passwd"]}"#), Err(Reason::AttackTraversal));
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(judge(&[FORM], b"a=1&b=2"), Ok(()));
    assert_eq!(judge(&[FORM], b"a=%zz"), Err(Reason::BodyMalformed));
    assert_eq!(judge(&[FORM], b"a=1&a=1&a=1&a=1"), Err(Reason::BodyLimits));
    assert_eq!(judge(&[FORM], b"a=%3Cscript%3E"), Err(Reason::AttackXss));
}

#[test]
fn details_name_the_place_and_never_the_value() {
    let duty = head(1, &[JSON], false).unwrap();
    let hostile = br#"{"a": ["x", {"b\n": "1' or '1'='1"}]}"#;
    let refusal = validator().body(&duty, None, hostile, &mut Trace::off()).unwrap_err();
    assert_eq!(refusal.detail, r"sql injection in the body at `/a/1/b\n`");
}

#[test]
fn a_route_may_switch_inspection_of_bodies_off() {
    let pairs: [(&[u8], &[u8]); 1] = [(b"content-type", b"application/json")];
    let validator = validator();
    let duty = validator.head(1, 1, Headers::new(&pairs), false, &mut Trace::off()).unwrap();
    assert_eq!(validator.body(&duty, None, br#"{"a": "1' or '1'='1"}"#, &mut Trace::off()), Ok(()));
}

#[test]
fn a_plan_that_cannot_work_is_refused() {
    let broken = |change: &dyn Fn(&mut ValidationPlan)| {
        let mut plan = plan();
        change(&mut plan);
        Validator::load(&plan).unwrap_err().to_string()
    };
    let set_read = |read: ReadPlan| move |p: &mut ValidationPlan| p.bodies[1].content[0].read = read.clone();
    let error = broken(&set_read(ReadPlan::Json { limits: limits(), schema: Some(0) }));
    assert!(error.starts_with("validation.bodies[1].content[0].read: points to a schema"), "{error}");
    for max_depth in [0, 129] {
        let limits = JsonLimits { max_depth, ..limits() };
        let error = broken(&set_read(ReadPlan::Json { limits, schema: None }));
        assert!(error.contains("max_depth"), "{error}");
    }
    assert!(broken(&|p| p.bodies[1].content[0].media_type = "JSON".into()).contains("media type"));
    assert!(broken(&|p| p.bodies[1].max_bytes = MAX_HELD_BYTES + 1).contains("held back"));
    let twice = broken(&|p| p.bodies[1].content.push(content("application/json", ReadPlan::Opaque)));
    assert_eq!(
        twice,
        "validation.bodies[1].content[4].media_type: `application/json` is there twice; keep one, a body is read in one way"
    );
}
