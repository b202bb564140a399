//! JSON bodies: one pass over the bytes that parses, enforces limits and inspects every string.

pub(crate) mod number;
pub(crate) mod parse;
pub(crate) mod tape;

#[cfg(test)]
mod tests;
