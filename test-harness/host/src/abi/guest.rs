//! The module's memory as host functions see it.

use wasmtime::{Caller, Memory, TypedFunc};

use crate::Status;
use crate::vm::State;

/// Why a host function ends early.
pub(crate) enum Stop {
    /// It answers with this status.
    Status(Status),
    /// The module trapped while it allocated memory for the host, or has used up what the host does for one callback.
    Trap(wasmtime::Error),
}

/// What a callback may make the host do is counted in units of fuel, apart from the fuel of the module: a module that
/// calls the host without end, or has it copy without end, is stopped as one that never returns.
pub(crate) mod cost {
    /// A host call.
    pub(crate) const CALL: u64 = 1000;
    /// A byte that crosses the border.
    pub(crate) const BYTE: u64 = 8;
}

/// The host has done all that it does for one callback.
#[derive(Debug)]
pub(crate) struct Overworked;

impl std::fmt::Display for Overworked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it made the host work too long")
    }
}

impl std::error::Error for Overworked {}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// Where a module keeps its bytes and how it allocates more.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) memory: Memory,
    pub(crate) allocate: TypedFunc<u32, u32>,
}

/// A call from the module into the host.
pub(crate) struct Host<'c, 'a> {
    pub(crate) caller: &'c mut Caller<'a, State>,
}

impl Host<'_, '_> {
    pub(crate) fn state(&mut self) -> &mut State {
        self.caller.data_mut()
    }

    /// Takes from what the host does for one callback.
    pub(crate) fn charge(&mut self, work: u64) -> Result<(), Stop> {
        let state = self.state();
        match state.work.checked_sub(work) {
            Some(left) => {
                state.work = left;
                Ok(())
            }
            None => Err(Stop::Trap(wasmtime::Error::new(Overworked))),
        }
    }

    fn memory(&mut self) -> Result<Memory, Status> {
        let guest = self.caller.data().guest.as_ref();
        guest.map(|guest| guest.memory).ok_or(Status::InvalidMemoryAccess)
    }

    /// A copy of bytes of the module.
    pub(crate) fn read(&mut self, address: u32, length: u32) -> Result<Vec<u8>, Stop> {
        self.check(address, length)?;
        self.charge(u64::from(length).saturating_mul(cost::BYTE))?;
        let memory = self.memory()?;
        let (start, length) = (address as usize, length as usize);
        let bytes = memory.data(&*self.caller).get(start..).and_then(|rest| rest.get(..length));
        Ok(bytes.ok_or(Status::InvalidMemoryAccess)?.to_vec())
    }

    /// Whether this is memory of the module.
    pub(crate) fn check(&mut self, address: u32, length: u32) -> Result<(), Status> {
        let end = u64::from(address).saturating_add(length.into());
        let size = self.memory()?.data_size(&*self.caller) as u64;
        if end <= size { Ok(()) } else { Err(Status::InvalidMemoryAccess) }
    }

    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Stop> {
        self.charge((bytes.len() as u64).saturating_mul(cost::BYTE))?;
        let memory = self.memory()?;
        let written = memory.write(&mut *self.caller, address as usize, bytes);
        Ok(written.map_err(|_| Status::InvalidMemoryAccess)?)
    }

    pub(crate) fn write_u32(&mut self, address: u32, value: u32) -> Result<(), Stop> {
        self.write(address, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, address: u32, value: u64) -> Result<(), Stop> {
        self.write(address, &value.to_le_bytes())
    }

    /// Gives bytes to the module in memory that it allocates itself, as `copyToPointerSize` in
    /// `include/proxy-wasm/wasm.h` does: an empty value is address 0 and length 0, without an allocation.
    pub(crate) fn hand_over(&mut self, bytes: &[u8], address_at: u32, length_at: u32) -> Result<(), Stop> {
        let address = if bytes.is_empty() { 0 } else { self.place(bytes)? };
        let length = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        self.write_u32(address_at, address)?;
        self.write_u32(length_at, length)?;
        Ok(())
    }

    /// Copies bytes into freshly allocated memory of the module and says where.
    pub(crate) fn place(&mut self, bytes: &[u8]) -> Result<u32, Stop> {
        let length = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        let allocate = self.caller.data().guest.as_ref().map(|guest| guest.allocate.clone());
        let allocate = allocate.ok_or(Status::InvalidMemoryAccess)?;
        let address = allocate.call(&mut *self.caller, length).map_err(Stop::Trap)?;
        if address == 0 {
            return Err(Status::InvalidMemoryAccess.into());
        }
        self.write(address, bytes)?;
        Ok(address)
    }
}
