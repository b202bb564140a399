//! YAML as a tree in which every value knows where it was written.
//!
//! The language uses the plain part of YAML 1.2: mappings, lists, scalars, comments. Anchors, aliases,
//! tags, merge keys, several documents and duplicate keys are refused: each of them lets two readers of
//! one file see two policies, and aliases let a small file become a huge one.

mod load;
mod node;

pub(crate) use load::explain;
pub use load::{load, load_file};
pub(crate) use node::shorten;
pub use node::{Cursor, Key, Meaning, Node, Scalar, Value};
