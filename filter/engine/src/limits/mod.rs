//! Budgets: how often somebody may come.
//!
//! This room is entered twice: before authentication, to charge what is kept by address (a flood never
//! reaches the cryptography), and after it, to charge what is kept by subject. Charging is exact across
//! workers: under no interleaving is one request too many admitted.

mod bucket;
mod charge;
mod fields;
pub mod plan;
mod table;

pub use charge::{AddressCharged, Key, Ledger, Limits, Principal, SubjectCharged};
pub use fields::Told;
