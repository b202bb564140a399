//! Log, clock, ticks, contexts.

use std::time::Duration;

use super::{Functions, offer};
use crate::Status;
use crate::environment::{LogLevel, nanos};
use crate::module::AbiVersion;

pub(super) fn register(functions: &mut Functions, abi: AbiVersion) -> wasmtime::Result<()> {
    offer! { functions;
        "proxy_log" => |host, level: u32, message: u32, length: u32| {
            let level = LogLevel::from_number(level).ok_or(Status::BadArgument)?;
            let message = host.read(message, length)?;
            host.state().log(level, &message);
            Ok(())
        };
        "proxy_get_current_time_nanoseconds" => |host, at: u32| {
            let now = nanos(host.state().env.now());
            host.write_u64(at, now)
        };
        "proxy_set_tick_period_milliseconds" => |host, period: u32| {
            host.state().set_tick(Duration::from_millis(period.into()));
            Ok(())
        };
        "proxy_set_effective_context" => |host, context: u32| {
            let state = host.state();
            // Zero is the context of the VM itself, and means none.
            if context != 0 && !state.contexts.contains_key(&context) {
                return Err(Status::BadArgument.into());
            }
            state.effective = context;
            Ok(())
        };
        "proxy_done" => |host| Ok(host.state().done()?);
    }
    if abi == AbiVersion::V0_1_0 {
        offer! { functions;
            "proxy_get_configuration" => |host, address_at: u32, length_at: u32| {
                let configuration = host.state().configuration_or_vm().to_vec();
                host.hand_over(&configuration, address_at, length_at)
            };
        }
    }
    if abi == AbiVersion::V0_2_1 {
        offer! { functions;
            "proxy_get_log_level" => |host, at: u32| {
                let level = host.state().env.settings.log_level.number();
                host.write_u32(at, level)
            };
        }
    }
    Ok(())
}
