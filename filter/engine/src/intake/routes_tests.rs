use super::*;

fn route(path: &str, methods: &[&str], hosts: &[&str]) -> RoutePlan {
    RoutePlan {
        id: path.into(),
        at: String::new(),
        path: path.into(),
        methods: methods.iter().map(|m| (*m).into()).collect(),
        hosts: hosts.iter().map(|h| (*h).into()).collect(),
        access: AccessPlan::Public,
        authentication: None,
        step_up: None,
        limits: vec![],
        body: 0,
        inspection: 0,
    }
}

fn table(routes: &[RoutePlan]) -> Routes {
    Routes::build(routes).unwrap()
}

#[test]
fn the_most_specific_template_wins_in_any_order() {
    let routes = [
        route("/{all...}", &[], &[]),
        route("/a/{id}", &[], &[]),
        route("/a/b", &[], &[]),
        route("/a/{id}/c", &[], &[]),
    ];
    let forwards = table(&routes);
    let backwards = table(&routes.iter().rev().cloned().collect::<Vec<_>>());
    for (path, want) in [
        ("/a/b", "/a/b"),
        ("/a/x", "/a/{id}"),
        ("/a/b/c", "/a/{id}/c"),
        ("/a/b/d", "/{all...}"),
        ("/", "/{all...}"),
        ("/a/", "/{all...}"),
    ] {
        let Found::Route(index) = forwards.find("GET", "h", path) else { panic!("{path}") };
        assert_eq!(routes[index].path, want, "{path}");
        let Found::Route(index) = backwards.find("GET", "h", path) else { panic!("{path}") };
        assert_eq!(routes[routes.len() - 1 - index].path, want, "{path}");
    }
}

#[test]
fn two_spellings_of_a_literal_are_one_route() {
    let routes = table(&[route("/a:b/{rest...}", &[], &[]), route("/{rest...}", &[], &[])]);
    assert_eq!(routes.find("GET", "h", "/a:b/x"), Found::Route(0));
    assert_eq!(routes.find("GET", "h", "/a%3Ab/x"), Found::Route(0));
}

#[test]
fn a_trailing_slash_is_another_path() {
    let routes = table(&[route("/a", &[], &[]), route("/b/", &[], &[]), route("/f/{rest...}", &[], &[])]);
    assert_eq!(routes.find("GET", "h", "/a/"), Found::Nothing);
    assert_eq!(routes.find("GET", "h", "/b"), Found::Nothing);
    assert_eq!(routes.find("GET", "h", "/b/"), Found::Route(1));
    assert_eq!(routes.find("GET", "h", "/f"), Found::Nothing);
    assert_eq!(routes.find("GET", "h", "/f/"), Found::Route(2));
    assert_eq!(routes.find("GET", "h", "/f/x/y"), Found::Route(2));
}

#[test]
fn other_methods_are_listed() {
    let routes = table(&[route("/a", &["POST"], &[]), route("/a", &["GET", "HEAD"], &[])]);
    assert_eq!(routes.find("POST", "h", "/a"), Found::Route(0));
    assert_eq!(routes.find("GET", "h", "/a"), Found::Route(1));
    assert_eq!(routes.find("PUT", "h", "/a"), Found::OtherMethods("GET, HEAD, POST".into()));
}

#[test]
fn hosts_go_from_named_to_wildcard_to_any() {
    let routes = table(&[
        route("/a", &[], &[]),
        route("/a", &[], &["*.b.example"]),
        route("/a", &[], &["*.example"]),
        route("/a", &[], &["x.b.example"]),
        route("/only", &[], &["x.b.example"]),
    ]);
    assert_eq!(routes.find("GET", "x.b.example", "/a"), Found::Route(3));
    assert_eq!(routes.find("GET", "y.b.example", "/a"), Found::Route(1));
    assert_eq!(routes.find("GET", "b.example", "/a"), Found::Route(2));
    assert_eq!(routes.find("GET", "example", "/a"), Found::Route(0));
    assert_eq!(routes.find("GET", "y.b.example", "/only"), Found::Nothing);
}

#[test]
fn the_host_that_matched_counts_not_the_best_of_the_route() {
    let strict = route("/a", &[], &["api.other.example"]);
    let wide = route("/a", &[], &["x.example", "*.other.example"]);
    for routes in [[wide.clone(), strict.clone()], [strict, wide]] {
        let Found::Route(index) = table(&routes).find("GET", "api.other.example", "/a") else { panic!() };
        assert_eq!(routes[index].hosts, ["api.other.example"]);
        let Found::Route(index) = table(&routes).find("GET", "b.other.example", "/a") else { panic!() };
        assert_eq!(routes[index].hosts.len(), 2);
    }
}

#[test]
fn routes_that_only_their_order_tells_apart_are_refused() {
    let a = route("/a/{id}", &["GET", "HEAD"], &[]);
    for (one, other) in [
        (a.clone(), a.clone()),
        (a.clone(), route("/a/{name}", &["HEAD", "POST"], &[])),
        (route("/a", &[], &[]), route("/a", &[], &[])),
        (route("/@", &[], &[]), route("/%40", &[], &[])),
        (route("/{rest...}", &[], &[]), route("/{more...}", &[], &[])),
        (route("/a", &[], &["x.example", "*.b.example"]), route("/a", &[], &["*.b.example"])),
    ] {
        for routes in [[one.clone(), other.clone()], [other.clone(), one.clone()]] {
            let error = Routes::build(&routes).unwrap_err();
            assert_eq!(error.place, "routes[1].path", "{routes:?}");
            assert!(error.problem.contains("routes[0]"), "{error}");
        }
    }
    // Whatever one of them names more specifically tells them apart, in whichever order they stand.
    for other in [
        route("/a/b", &["GET"], &[]),
        route("/a/{id...}", &["GET"], &[]),
        route("/a/{id}/", &["GET"], &[]),
        route("/a/{id}", &[], &[]),
        route("/a/{id}", &["POST"], &[]),
        route("/a/{id}", &["GET"], &["x.example"]),
    ] {
        for routes in [[a.clone(), other.clone()], [other.clone(), a.clone()]] {
            assert!(Routes::build(&routes).is_ok(), "{routes:?}");
        }
    }
    assert!(Routes::build(&[route("/a", &["GET", "GET"], &["h", "h"])]).is_ok());
}

#[test]
fn the_methods_of_a_plan_are_few() {
    let names: Vec<String> = (0..=MAX_METHODS).map(|number| format!("M{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (last, most) = names.split_last().unwrap();
    let routes = [route("/a", most, &[]), route("/a", &[], &[])];
    assert_eq!(table(&routes).find(most[MAX_METHODS - 1], "h", "/a"), Found::Route(0));
    let routes = [route("/a", most, &[]), route("/b", &[*last], &[])];
    assert_eq!(Routes::build(&routes).unwrap_err().place, "routes[1].methods");
    assert!(Routes::build(&[route("/a", most, &[]), route("/a", &[most[62]], &[])]).is_err());
}

#[test]
fn any_method_is_not_trace() {
    let routes = table(&[route("/a", &[], &[]), route("/t", &["TRACE"], &[])]);
    assert_eq!(routes.find("TRACE", "h", "/a"), Found::Nothing);
    assert_eq!(routes.find("TRACE", "h", "/t"), Found::Route(1));
}

#[test]
fn a_slash_at_the_end_does_not_lead_around_a_stricter_route() {
    let guarded =
        |path, methods: &[&str]| RoutePlan { access: AccessPlan::Authenticated, ..route(path, methods, &[]) };
    let routes = table(&[
        route("/{rest...}", &[], &[]),
        guarded("/admin", &[]),
        guarded("/dir/", &[]),
        guarded("/u/{id}", &[]),
        route("/open", &[], &[]),
        route("/form", &["POST"], &[]),
    ]);
    for path in ["/admin/", "/dir", "/u/7/", "/form/"] {
        assert_eq!(routes.find("GET", "h", path), Found::Shadowed, "{path}");
    }
    for path in ["/open/", "/", "/x", "/x/", "/admin/x", "/dir/x", "/admins"] {
        assert_eq!(routes.find("GET", "h", path), Found::Route(0), "{path}");
    }
    let stricter = table(&[guarded("/{rest...}", &[]), route("/open", &[], &[])]);
    assert_eq!(stricter.find("GET", "h", "/open/"), Found::Route(0), "nothing to get around");
}

#[test]
fn a_walk_that_is_cut_off_finds_nothing_rather_than_a_catch_all() {
    let mut routes = vec![route("/{all...}", &[], &[])];
    for bits in 0..1u32 << 12 {
        let path: String =
            (0..12).map(|i| if bits >> i & 1 == 0 { "/a".into() } else { format!("/{{p{i}}}") }).collect();
        routes.push(route(&path, &[], &["never.example"]));
    }
    let routes = table(&routes);
    assert_eq!(routes.find("GET", "h", &"/a".repeat(12)), Found::Nothing);
    assert_eq!(routes.find("GET", "h", "/b"), Found::Route(0));
}

#[test]
fn a_template_with_very_many_parameters_is_refused_at_once() {
    let path: String = (0..1_000_000).map(|i| format!("/{{p{i}}}")).collect();
    assert!(parse_template(&path).is_err());
}

#[test]
fn a_policy_made_to_be_slow_is_cut_off() {
    // Every level has a literal `a` and a parameter, and both lead on: 2^n leaves, none of them matching.
    let mut routes = Vec::new();
    for bits in 0..1u32 << 12 {
        let path: String =
            (0..12).map(|i| if bits >> i & 1 == 0 { "/a".into() } else { format!("/{{p{i}}}") }).collect();
        routes.push(route(&path, &[], &["never.example"]));
    }
    assert_eq!(table(&routes).find("GET", "h", &"/a".repeat(12)), Found::Nothing);
}

#[test]
fn templates_that_could_never_match_are_refused() {
    for bad in [
        "a",
        "/{",
        "/a{b}",
        "/{a}/{a}",
        "/{a...}/b",
        "/a//b",
        "/..",
        "/a;b",
        "/{}",
        "/{a-b}",
        "/%zz",
        "/a%2fb",
    ] {
        assert!(parse_template(bad).is_err(), "{bad}");
    }
    for good in ["/", "/a", "/a/", "/{a}", "/a/{b}/c/{d...}", "/.well-known/x", "/caf%C3%A9", "/a b|c"] {
        let result = parse_template(good);
        assert_eq!(result.is_ok(), !good.contains(' '), "{good}: {result:?}");
    }
}
