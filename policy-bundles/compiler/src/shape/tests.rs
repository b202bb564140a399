use super::*;
use crate::yaml;

fn checked(text: &str) -> (Option<Bundle>, Vec<crate::diagnostic::Diagnostic>) {
    let mut report = Report::default();
    let mut tree = yaml::load("bundle.yaml", text, &mut report).expect("YAML");
    check_bundle(&mut tree, &mut report);
    let bundle = bundle(&tree, &mut report);
    (bundle, report.finish())
}

const HEAD: &str = "apiVersion: bartizan/v1\nname: test\n";

#[test]
fn a_bundle_with_the_right_shape_is_read() {
    let (bundle, diagnostics) = checked(&format!("{HEAD}routes: [{{path: /, access: public}}]\n"));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    assert_eq!(bundle.unwrap().routes.len(), 1);
}

#[test]
fn what_is_wrong_is_cut_away_and_the_rest_is_kept() {
    let text = format!(
        "{HEAD}limits:\n  a: {{key: everybody, rate: 5/s}}\n  b: {{key: nobody, rate: 5/s}}\nroutes:\n  - {{path: /a, access: public, limts: []}}\n  - {{path: /b}}\n  - {{path: /c, access: {{permision: x:y}}}}\n"
    );
    let (bundle, diagnostics) = checked(&text);
    let codes: Vec<_> = diagnostics.iter().map(|d| (d.code, d.span.line)).collect();
    let expected = [("unknown-word", 5), ("unknown-field", 7), ("missing-field", 8), ("unknown-field", 9)];
    assert_eq!(codes, expected, "{diagnostics:#?}");
    let bundle = bundle.unwrap();
    assert_eq!(bundle.routes.len(), 1);
    assert_eq!(bundle.limits.0.len(), 1);
}

#[test]
fn every_type_of_the_schema_is_one_the_walk_knows() {
    fn visit(schema: &Json) {
        if let Some(kind) = schema.get("type") {
            let known = ["object", "array", "string", "integer", "boolean"];
            assert!(known.iter().any(|k| kind == k), "{kind}");
        }
        for part in ["properties", "$defs"] {
            schema.get(part).and_then(Json::as_object).into_iter().flatten().for_each(|(_, s)| visit(s));
        }
        for part in ["oneOf", "anyOf"] {
            schema.get(part).and_then(Json::as_array).into_iter().flatten().for_each(visit);
        }
        for part in ["items", "additionalProperties"] {
            schema.get(part).filter(|s| s.is_object()).into_iter().for_each(visit);
        }
    }
    visit(&bartizan_spec::schema::bundle_schema());
}
