//! The commands, one file each.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod reasons;
pub(crate) mod schema;
pub(crate) mod test;
