//! Bundles: any bytes are a policy or get diagnostics, and a plan that comes out is one that the filter loads.

use bartizan_compiler::{BUNDLE_FILE, canonical, compile_files, render};
use bartizan_engine::plan::Plan;

use crate::fixture;

/// Any bytes as `bundle.yaml`, beside `keys.json` and `item.json`.
pub fn run(data: &[u8]) -> bool {
    let mut files = fixture::files();
    files.insert(BUNDLE_FILE.to_owned(), data.to_vec());
    let compiled = compile_files(files);
    assert_eq!(compiled.plan.is_none(), compiled.errors() > 0, "no plan and no error, or both");
    for colour in [false, true] {
        let _ = compiled.render(colour);
    }
    let _ = render::json(&compiled.diagnostics);
    for diagnostic in &compiled.diagnostics {
        // The compiler loads each plan it makes. If the engine refuses it, that is a bug of the compiler.
        assert_ne!(diagnostic.code, "plan-refused", "{}", compiled.render(false));
    }
    let Some(plan) = compiled.plan else { return false };
    let text = canonical::plan(&plan).expect("a plan can be written");
    let read =
        Plan::parse(text.as_bytes()).unwrap_or_else(|error| panic!("the filter cannot read it: {error}"));
    assert_eq!(canonical::plan(&read).ok().as_deref(), Some(text.as_str()), "the filter reads another plan");
    assert!(fixture::load(read).is_some(), "the filter refuses the plan");
    true
}
