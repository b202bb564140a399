//! The targets under libFuzzer. `make fuzz` builds and runs this; by hand, name the target in `BARTIZAN_FUZZ`.
#![no_main]

use std::process::exit;
use std::sync::LazyLock;

use bartizan_fuzz::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("BARTIZAN_FUZZ").unwrap_or_default();
    TARGETS.iter().copied().find(|target| target.name == name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("error: BARTIZAN_FUZZ=`{name}` is no target; it is one of: {}", names.join(", "));
        exit(2)
    })
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    (TARGET.run)(data);
});
