//! The answers that host functions give.

/// What a host function answers, with the codes of `WasmResult` in proxy-wasm.
///
/// Source: `proxy_wasm_common.h` of the C++ SDK, which Envoy's host includes; the same table stands in the
/// text of ABI 0.2.1 as `proxy_status_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Status {
    /// The call did what was asked.
    Ok = 0,
    /// What was asked for does not exist: a key, a property, a queue, a foreign function.
    NotFound = 1,
    /// An argument is outside of what the function takes, or the function does not apply now.
    BadArgument = 2,
    /// A value cannot be written into the form the module would read.
    SerializationFailure = 3,
    /// A value of the module cannot be read.
    ParseFailure = 4,
    /// An expression is wrong.
    BadExpression = 5,
    /// An address or a length points outside of the module's memory.
    InvalidMemoryAccess = 6,
    /// There is nothing to take from a queue.
    Empty = 7,
    /// The value was changed by somebody else since it was read.
    CasMismatch = 8,
    /// The result has another type or size than the one asked for.
    ResultMismatch = 9,
    /// Something failed inside of the host.
    InternalFailure = 10,
    /// The connection that the call needs is gone.
    BrokenConnection = 11,
    /// This host does not do that.
    Unimplemented = 12,
}

impl Status {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 13] = [
        Self::Ok,
        Self::NotFound,
        Self::BadArgument,
        Self::SerializationFailure,
        Self::ParseFailure,
        Self::BadExpression,
        Self::InvalidMemoryAccess,
        Self::Empty,
        Self::CasMismatch,
        Self::ResultMismatch,
        Self::InternalFailure,
        Self::BrokenConnection,
        Self::Unimplemented,
    ];

    /// The number that the module gets.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The status with this code, if there is one.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::NotFound => "not found",
            Self::BadArgument => "bad argument",
            Self::SerializationFailure => "serialization failure",
            Self::ParseFailure => "parse failure",
            Self::BadExpression => "bad expression",
            Self::InvalidMemoryAccess => "invalid memory access",
            Self::Empty => "empty",
            Self::CasMismatch => "compare-and-swap mismatch",
            Self::ResultMismatch => "result mismatch",
            Self::InternalFailure => "internal failure",
            Self::BrokenConnection => "broken connection",
            Self::Unimplemented => "unimplemented",
        })
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn codes_are_their_places_and_read_back() {
        for (place, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status.code() as usize, place);
            assert_eq!(Status::from_code(status.code()), Some(status));
        }
        assert_eq!(Status::from_code(13), None);
    }
}
