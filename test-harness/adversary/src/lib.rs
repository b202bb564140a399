//! What a hostile or unlucky world can do to the built module, in the simulated Envoy.
//!
//! Each suite makes something happen that a real proxy makes hard: workers that race for a budget in thousands of orders,
//! each host call failing in turn, clients that go away between any two callbacks, policies that change while requests are
//! in flight, a million requests in one run. None of it may trap, hang or leak, and none may let a request through that the
//! policy refuses.
//!
//! The suites need `dist/bartizan.wasm` and are a program for that reason, `bartizan-adversary`: a test without the module
//! would have to pass or fail for no reason of its own. `make test` and `make e2e` build the module and then run it.

pub mod artifacts;
pub mod delivery;
pub mod disconnects;
pub mod faults;
pub mod keys;
pub mod kinds;
pub mod large;
pub mod load;
pub mod memory;
pub mod module;
pub mod observe;
pub mod policy;
pub mod races;
pub mod reloads;
pub mod script;
pub mod start;
pub mod traps;
pub mod updates;
