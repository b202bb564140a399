use super::*;

fn bearer() -> TokenSource {
    TokenSource::Header { name: "authorization".into(), scheme: Some("Bearer".into()) }
}

fn cookie() -> TokenSource {
    TokenSource::Cookie { name: "session".into() }
}

fn query() -> TokenSource {
    TokenSource::Query { name: "access_token".into() }
}

fn sources(from: &[TokenSource]) -> Sources {
    Sources::new(&[("from".into(), from)]).unwrap().0
}

type Pairs<'a> = &'a [(&'a [u8], &'a [u8])];

fn find<'r>(
    from: &[TokenSource],
    headers: Pairs<'r>,
    query: Option<&'r str>,
) -> Result<Option<&'r [u8]>, Ambiguous> {
    Ok(sources(from).find(Places::MAX, Headers::new(headers), query)?.map(|found| found.token))
}

#[test]
fn schemes_are_compared_in_any_case() {
    for value in ["Bearer t", "bearer t", "BEARER t", "bEaReR   t", "Bearer t "] {
        assert_eq!(
            find(&[bearer()], &[(b"authorization", value.as_bytes())], None),
            Ok(Some(&b"t"[..])),
            "{value}"
        );
    }
    for value in ["Basic t", "Bearert", "Bear", "", "Token bearer t"] {
        assert_eq!(find(&[bearer()], &[(b"authorization", value.as_bytes())], None), Ok(None), "{value}");
    }
    assert_eq!(find(&[bearer()], &[(b"authorization", b"Bearer")], None), Ok(Some(&b""[..])));
}

#[test]
fn a_header_without_a_scheme_is_taken_whole() {
    let from = [TokenSource::Header { name: "x-token".into(), scheme: None }];
    assert_eq!(find(&from, &[(b"x-token", b" t ")], None), Ok(Some(&b"t"[..])));
    assert_eq!(find(&from, &[(b"x-other", b"t")], None), Ok(None));
}

#[test]
fn cookies_are_found_in_every_cookie_header() {
    let found = |headers: Pairs<'_>| find(&[cookie()], headers, None).map(|t| t.map(<[u8]>::to_vec));
    assert_eq!(found(&[(b"cookie", b"a=1; session=t; b=2")]), Ok(Some(b"t".to_vec())));
    assert_eq!(found(&[(b"cookie", b"a=1"), (b"cookie", b"session=t")]), Ok(Some(b"t".to_vec())));
    assert_eq!(found(&[(b"cookie", b"Session=t; xsession=t; session")]), Ok(None));
    assert_eq!(found(&[(b"cookie", b"session=a; session=b")]), Err(Ambiguous));
    assert_eq!(found(&[(b"cookie", b"session=a"), (b"cookie", b"session=a")]), Err(Ambiguous));
}

#[test]
fn parameters_are_compared_decoded() {
    assert_eq!(find(&[query()], &[], Some("a=1&access_token=t&b")), Ok(Some(&b"t"[..])));
    assert_eq!(find(&[query()], &[], Some("%61ccess_token=t")), Ok(Some(&b"t"[..])));
    assert_eq!(find(&[query()], &[], Some("access_token=t&%61ccess_token=u")), Err(Ambiguous));
    assert_eq!(find(&[query()], &[], Some("Access_Token=t&x_access_token=t")), Ok(None));
}

#[test]
fn more_than_one_token_is_ambiguous() {
    let all = [bearer(), cookie(), query()];
    let (auth, session) = ((&b"authorization"[..], &b"Bearer t"[..]), (&b"cookie"[..], &b"session=t"[..]));
    assert_eq!(find(&all, &[auth], None), Ok(Some(&b"t"[..])));
    assert_eq!(find(&all, &[auth, session], None), Err(Ambiguous));
    assert_eq!(find(&all, &[auth], Some("access_token=t")), Err(Ambiguous));
    assert_eq!(find(&all, &[session], Some("access_token=")), Err(Ambiguous));
    assert_eq!(find(&all, &[auth, auth], None), Err(Ambiguous));
    assert_eq!(find(&all, &[auth, (b"authorization", b"Basic x")], None), Err(Ambiguous));
}

#[test]
fn places_are_shared_by_issuers() {
    let lower = TokenSource::Header { name: "authorization".into(), scheme: Some("bearer".into()) };
    let (all, places) = Sources::new(&[("a".into(), &[bearer()]), ("b".into(), &[cookie(), lower])]).unwrap();
    assert_eq!(all.list.len(), 2);
    assert_eq!(places, [0b01, 0b11]);
}

#[test]
fn bad_places_are_refused() {
    let header = |name: &str, scheme: Option<&str>| TokenSource::Header {
        name: name.into(),
        scheme: scheme.map(str::to_owned),
    };
    for from in [
        vec![],
        vec![header("Authorization", None)],
        vec![header("", None)],
        vec![header("x y", None)],
        vec![header(":path", None)],
        vec![header("cookie", None)],
        vec![header("authorization", Some("Bearer token"))],
        vec![header("authorization", Some(""))],
        vec![header("authorization", Some("Bearer")), header("authorization", None)],
        vec![TokenSource::Cookie { name: "a=b".into() }],
        vec![TokenSource::Query { name: String::new() }],
        (0..65).map(|i| TokenSource::Cookie { name: format!("c{i}") }).collect(),
    ] {
        assert!(Sources::new(&[("from".into(), &from[..])]).is_err(), "{from:?}");
    }
}

#[test]
fn tokens_are_taken_out_and_nothing_else_is() {
    let sources = sources(&[bearer(), cookie(), query()]);
    let removed = |headers: Pairs<'_>, query: Option<&str>| {
        let mut edits = Vec::new();
        sources.remove(u64::MAX, Headers::new(headers), query, &mut edits);
        edits.into_iter().map(|e| format!("{e:?}")).collect::<Vec<_>>()
    };
    assert_eq!(removed(&[(b"authorization", b"Bearer t")], None), [r#"Header("authorization")"#]);
    assert!(removed(&[(b"authorization", b"Basic t"), (b"cookie", b"a=1")], Some("a=1")).is_empty());
    let cookie_text = |value: &[u8]| format!("Cookie(Some({value:?}))");
    assert_eq!(removed(&[(b"cookie", b"a=1; session=t; b=2")], None), [cookie_text(b"a=1; b=2")]);
    assert_eq!(
        removed(&[(b"cookie", b"a=1"), (b"cookie", b"session=t;b=2")], None),
        [cookie_text(b"a=1; b=2")]
    );
    assert_eq!(removed(&[(b"cookie", b"session=t")], None), ["Cookie(None)"]);
    assert_eq!(removed(&[], Some("a=%20&access_token=t&b")), [r#"Query(Some("a=%20&b"))"#]);
    assert_eq!(removed(&[], Some("%61ccess_token=t")), ["Query(None)"]);
    let mut edits = Vec::new();
    sources.remove(0, Headers::new(&[(b"authorization", b"Bearer t")]), Some("access_token=t"), &mut edits);
    assert!(edits.is_empty());
}
