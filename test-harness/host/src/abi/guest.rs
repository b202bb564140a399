//! The module's memory as host functions see it.

use wasmtime::{Caller, Extern, Memory, TypedFunc};

use crate::Status;
use crate::vm::State;

/// Why a host function ends early.
pub(crate) enum Stop {
    /// It answers with this status.
    Status(Status),
    /// The module trapped while it allocated memory for the host.
    Trap(wasmtime::Error),
}

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

    fn memory(&mut self) -> Result<Memory, Status> {
        if let Some(guest) = &self.caller.data().guest {
            return Ok(guest.memory);
        }
        // While the module is instantiated, its start function may already call.
        match self.caller.get_export("memory") {
            Some(Extern::Memory(memory)) => Ok(memory),
            _ => Err(Status::InvalidMemoryAccess),
        }
    }

    /// A copy of bytes of the module.
    pub(crate) fn read(&mut self, address: u32, length: u32) -> Result<Vec<u8>, Status> {
        let memory = self.memory()?;
        let start = address as usize;
        let end = start.checked_add(length as usize).ok_or(Status::InvalidMemoryAccess)?;
        let bytes = memory.data(&*self.caller).get(start..end).ok_or(Status::InvalidMemoryAccess)?;
        Ok(bytes.to_vec())
    }

    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Status> {
        let memory = self.memory()?;
        memory.write(&mut *self.caller, address as usize, bytes).map_err(|_| Status::InvalidMemoryAccess)
    }

    pub(crate) fn write_u32(&mut self, address: u32, value: u32) -> Result<(), Status> {
        self.write(address, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, address: u32, value: u64) -> Result<(), Status> {
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
