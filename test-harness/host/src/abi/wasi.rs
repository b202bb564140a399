//! The few functions of WASI that Envoy offers, under both names of preview 1.
//!
//! Source: the functions `wasi_unstable_*` of `src/exports.cc` in proxy-wasm-cpp-host. There are no files and no
//! arguments; standard output and standard error are log lines; the only clock is the wall clock (and the monotonic one in
//! newer hosts, which `getMonotonicTimeNanoseconds` serves).

use wasmtime::{Caller, FuncType, ValType};

use super::{Functions, Host, Stop, cost};
use crate::Status;
use crate::environment::{LogLevel, nanos};
use crate::vm::State;

const SUCCESS: u32 = 0;
const BAD_FILE: u32 = 8;
const FAULT: u32 = 21;
const NO_ENTRY: u32 = 44;
const NO_SYSTEM_CALL: u32 = 52;
const NOT_SUPPORTED: u32 = 58;

/// The right to write, the only one that standard output has.
const RIGHT_TO_WRITE: u64 = 64;

pub(super) fn register(functions: &mut Functions) -> wasmtime::Result<()> {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        register_as(functions, module)?;
    }
    let signature = FuncType::new(functions.linker.engine(), [ValType::I32, ValType::I32], [ValType::I32]);
    functions.signatures.insert("env.pthread_equal".to_owned(), signature);
    functions.linker.func_wrap("env", "pthread_equal", |left: u32, right: u32| u32::from(left == right))?;
    Ok(())
}

/// Counts a call and runs it. Memory that is not there is `EFAULT`, and so is a fault that was asked for.
fn serve(
    caller: &mut Caller<'_, State>,
    name: &'static str,
    run: impl FnOnce(&mut Host<'_, '_>) -> Result<u32, Stop>,
) -> wasmtime::Result<u32> {
    let state = caller.data_mut();
    state.count_call(name);
    super::allow(state, name)?;
    if state.env.faults.strike(name).is_some() {
        return Ok(FAULT);
    }
    let mut host = Host { caller };
    match host.charge(cost::CALL).and_then(|()| run(&mut host)) {
        Ok(number) => Ok(number),
        Err(Stop::Status(_)) => Ok(FAULT),
        Err(Stop::Trap(error)) => Err(error),
    }
}

macro_rules! wasi {
    ($functions:expr, $module:expr; $( $name:literal => |$host:ident $(, $arg:ident : $ty:ty)*| $body:expr; )*) => {
        $(
            let parameters: Vec<ValType> = vec![$(<$ty as super::Parameter>::TYPE),*];
            let signature = FuncType::new($functions.linker.engine(), parameters, [ValType::I32]);
            $functions.signatures.insert(format!("{}.{}", $module, $name), signature);
            $functions.linker.func_wrap($module, $name, |mut caller: Caller<'_, State> $(, $arg: $ty)*| {
                serve(&mut caller, $name, |$host| $body)
            })?;
        )*
    };
}

fn register_as(functions: &mut Functions, module: &str) -> wasmtime::Result<()> {
    wasi! { functions, module;
        "fd_write" => |host, file: u32, pieces: u32, count: u32, written_at: u32| {
            fd_write(host, file, pieces, count, written_at)
        };
        "fd_read" => |_host, _file: u32, _pieces: u32, _count: u32, _read_at: u32| Ok(NO_SYSTEM_CALL);
        "fd_seek" => |_host, _file: u32, _offset: i64, _whence: u32, _position_at: u32| Ok(SUCCESS);
        "fd_close" => |_host, _file: u32| Ok(SUCCESS);
        "fd_fdstat_get" => |host, file: u32, at: u32| {
            if !matches!(file, 1 | 2) {
                return Ok(BAD_FILE);
            }
            let mut fields = [0; 24];
            let (_, rights) = fields.split_at_mut(8);
            for (field, byte) in rights.iter_mut().zip(RIGHT_TO_WRITE.to_le_bytes()) {
                *field = byte;
            }
            // Envoy does not look whether this could be written.
            host.write(at, &fields).ok();
            Ok(SUCCESS)
        };
        "environ_sizes_get" => |host, count_at: u32, size_at: u32| {
            let variables = host.state().variables();
            let size: usize = variables.iter().map(Vec::len).sum();
            host.write_u32(count_at, u32::try_from(variables.len()).unwrap_or(u32::MAX))?;
            host.write_u32(size_at, u32::try_from(size).unwrap_or(u32::MAX))?;
            Ok(SUCCESS)
        };
        "environ_get" => |host, addresses_at: u32, text_at: u32| {
            let (mut addresses_at, mut text_at) = (addresses_at, text_at);
            for variable in host.state().variables() {
                host.write_u32(addresses_at, text_at)?;
                host.write(text_at, &variable)?;
                addresses_at = addresses_at.wrapping_add(4);
                text_at = text_at.wrapping_add(u32::try_from(variable.len()).unwrap_or(u32::MAX));
            }
            Ok(SUCCESS)
        };
        "args_get" => |_host, _addresses_at: u32, _text_at: u32| Ok(SUCCESS);
        "args_sizes_get" => |host, count_at: u32, size_at: u32| {
            host.write_u32(count_at, 0)?;
            host.write_u32(size_at, 0)?;
            Ok(SUCCESS)
        };
        "clock_time_get" => |host, clock: u32, _precision: u64, at: u32| {
            // 0 is the wall clock, 1 the monotonic one; both show simulated time here.
            if clock > 1 {
                return Ok(NOT_SUPPORTED);
            }
            let now = nanos(host.state().env.now());
            host.write_u64(at, now)?;
            Ok(SUCCESS)
        };
        "random_get" => |host, at: u32, length: u32| {
            // Checked before it is filled: the module may ask for more than its memory.
            host.check(at, length)?;
            let mut bytes = vec![0; length as usize];
            host.state().env.fill_random(&mut bytes);
            host.write(at, &bytes)?;
            Ok(SUCCESS)
        };
        "path_open" => |_host, _directory: u32, _lookup: u32, _path: u32, _length: u32, _open: u32, _rights: u64,
                _inherited: u64, _flags: u32, _file_at: u32| Ok(NO_ENTRY);
        "fd_prestat_get" => |_host, _file: u32, _at: u32| Ok(BAD_FILE);
        "fd_prestat_dir_name" => |_host, _file: u32, _path: u32, _length: u32| Ok(NO_SYSTEM_CALL);
    }
    let signature = FuncType::new(functions.linker.engine(), [ValType::I32], []);
    functions.signatures.insert(format!("{module}.proc_exit"), signature);
    functions.linker.func_wrap(module, "proc_exit", |mut caller: Caller<'_, State>, _code: u32| {
        // Envoy writes a trace line and returns; the module runs on, usually into an `unreachable`.
        serve(&mut caller, "proc_exit", |host| {
            host.state().log(LogLevel::Trace, b"wasi_unstable proc_exit");
            Ok(SUCCESS)
        })
        .map(drop)
    })?;
    Ok(())
}

/// Writes to standard output (a line of level info) or standard error (error), without the last line break.
fn fd_write(
    host: &mut Host<'_, '_>,
    file: u32,
    pieces: u32,
    count: u32,
    written_at: u32,
) -> Result<u32, Stop> {
    let level = match file {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return Ok(BAD_FILE),
    };
    let mut text = Vec::new();
    for index in 0..count {
        let entry = host.read(pieces.wrapping_add(index.wrapping_mul(8)), 8)?;
        let (address, length) = entry.split_at_checked(4).ok_or(Status::InvalidMemoryAccess)?;
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
        text.extend(host.read(number(address), number(length))?);
    }
    let written = u32::try_from(text.len()).unwrap_or(u32::MAX);
    if written > 0 {
        let line = text.strip_suffix(b"\n").unwrap_or(&text);
        host.state().log(level, line);
    }
    host.write_u32(written_at, written)?;
    Ok(SUCCESS)
}
