//! What an identity may do.
//!
//! Permissions are `type:action` or `type:action:resource`. Everything that does not depend on the request
//! is worked out when the plan is loaded (for roles) or when a token is first seen (for the permissions it
//! carries); a request then costs a few bit tests.

mod permission;
pub mod plan;
mod roles;

pub use permission::{Grant, Requirement};
pub use roles::{Authorization, Authorized, Grants};
