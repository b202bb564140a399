//! `compress` and `uncompress`: bytes in the format of zlib (RFC 1950).
//!
//! Envoy calls zlib itself. What another implementation compresses may be other bytes of another length, so compare what
//! comes out of both ways, not the bytes between them.

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

use crate::Status;

/// The most that `uncompress` makes. Envoy has no limit; without one a bomb would end the test, not the module.
const LIMIT: usize = 256 * 1024 * 1024;

/// The level that zlib takes if nobody says another.
const LEVEL: u8 = 6;

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec_zlib(bytes, LEVEL)
}

/// Bytes behind the end of the compressed ones are ignored, as zlib's `uncompress` does; too few are an error.
pub(super) fn uncompress(bytes: &[u8]) -> Result<Vec<u8>, Status> {
    decompress_to_vec_zlib_with_limit(bytes, LIMIT).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => Status::InternalFailure,
        _ => Status::SerializationFailure,
    })
}
