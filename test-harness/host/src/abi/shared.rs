//! Shared data, shared queues and metrics.

use super::{Functions, offer};

pub(super) fn register(functions: &mut Functions) -> wasmtime::Result<()> {
    offer! { functions;
        "proxy_get_shared_data" => |host, key: u32, key_length: u32, address_at: u32, length_at: u32, version_at: u32| {
            let key = host.read(key, key_length)?;
            let env = &host.state().env;
            let (value, version) = env.data.get(&env.settings.vm_id, &key)?;
            host.hand_over(&value, address_at, length_at)?;
            host.write_u32(version_at, version)
        };
        "proxy_set_shared_data" => |host, key: u32, key_length: u32, value: u32, value_length: u32, version: u32| {
            let (key, value) = (host.read(key, key_length)?, host.read(value, value_length)?);
            let env = &host.state().env;
            Ok(env.data.set(&env.settings.vm_id, &key, &value, version)?)
        };
        "proxy_register_shared_queue" => |host, name: u32, name_length: u32, token_at: u32| {
            let name = host.read(name, name_length)?;
            let state = host.state();
            let listener = state.listener();
            let token = state.env.queues.register(&state.env.settings.vm_id, &name, listener);
            host.write_u32(token_at, token)
        };
        "proxy_resolve_shared_queue" => |host, vm_id: u32, vm_id_length: u32, name: u32, name_length: u32, token_at: u32| {
            let (vm_id, name) = (host.read(vm_id, vm_id_length)?, host.read(name, name_length)?);
            let env = &host.state().env;
            let token = env.queues.resolve(&env.settings.vm_id, &vm_id, &name)?;
            host.write_u32(token_at, token)
        };
        "proxy_enqueue_shared_queue" => |host, token: u32, data: u32, length: u32| {
            let data = host.read(data, length)?;
            let env = &host.state().env;
            let listener = env.queues.enqueue(token, &data)?;
            env.post(listener, token);
            Ok(())
        };
        "proxy_dequeue_shared_queue" => |host, token: u32, address_at: u32, length_at: u32| {
            let data = host.state().env.queues.dequeue(token)?;
            host.hand_over(&data, address_at, length_at)
        };
        "proxy_define_metric" => |host, kind: u32, name: u32, name_length: u32, id_at: u32| {
            let name = host.read(name, name_length)?;
            let id = host.state().metrics.define(kind, &name)?;
            host.write_u32(id_at, id)
        };
        "proxy_increment_metric" => |host, id: u32, offset: i64| Ok(host.state().metrics.increment(id, offset)?);
        "proxy_record_metric" => |host, id: u32, value: u64| Ok(host.state().metrics.record(id, value)?);
        "proxy_get_metric" => |host, id: u32, value_at: u32| {
            let value = host.state().metrics.get(id)?;
            host.write_u64(value_at, value)
        };
    }
    Ok(())
}
