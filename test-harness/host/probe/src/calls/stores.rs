//! What VMs share: data, queues and metrics.

use crate::Here;
use crate::abi::{self, NOWHERE, at, given, number};

pub(super) fn shared(here: &Here) {
    let key = format!("probe {}", here.name());
    let ((key, length), (one, size)) = (at(key.as_bytes()), at(b"one"));
    let get = |what: &str, key: usize, length: usize| {
        let mut version = 0;
        // SAFETY: the key lives until the call returns, or is where no memory is.
        let (status, value) = given(|address, size| unsafe {
            abi::proxy_get_shared_data(key, length, address, size, &raw mut version)
        });
        here.tell(
            &format!("shared data {what}"),
            status,
            format!("{} {}", value.escape_ascii(), version != 0),
        );
        version as u32
    };
    get("absent", key, length);
    // SAFETY: keys and values live until the calls return, or are where no memory is.
    unsafe {
        let set = abi::proxy_set_shared_data;
        here.tell("shared data of a version that is not", set(key, length, one, size, 77_777), "");
        let version = get("first", key, length);
        here.tell("shared data as it was", set(key, length, one, 0, version), "");
        let newer = get("second", key, length);
        here.tell("shared data grows older", u32::from(newer <= version), "");
        here.tell("shared data of an old version", set(key, length, one, size, version), "");
        here.tell("shared data of any version", set(key, length, one, size, 0), "");
        here.tell("shared data without a key", set(key, 0, one, size, 0), "");
        get("without a key", key, 0);
        here.tell("shared data from nowhere", set(NOWHERE, 32, one, size, 0), "");
        here.tell("shared data from nowhere", set(key, length, NOWHERE, 32, 0), "");
        get("from nowhere", NOWHERE, 32);
        let nowhere = abi::proxy_get_shared_data(key, length, NOWHERE as _, NOWHERE as _, NOWHERE as _);
        here.tell("shared data to nowhere", nowhere, "");
    }
}

pub(super) fn queues(here: &Here) {
    let name = format!("probe {}", here.name());
    let ((name, length), (item, size)) = (at(name.as_bytes()), at(b"item"));
    // SAFETY: names and items live until the calls return, or are where no memory is.
    unsafe {
        let resolve = |what: &str, vm: &[u8]| {
            let (vm, vm_length) = at(vm);
            let (status, token) =
                number(|token| abi::proxy_resolve_shared_queue(vm, vm_length, name, length, token));
            here.tell(&format!("queue {what}"), status, token.to_string());
        };
        resolve("that is not", b"");
        let (status, token) = number(|token| abi::proxy_register_shared_queue(name, length, token));
        here.tell("queue registered", status, token.to_string());
        let (status, again) = number(|token| abi::proxy_register_shared_queue(name, length, token));
        here.tell("queue registered again", status, again.to_string());
        resolve("resolved", b"");
        resolve("resolved by vm", b"probe");
        resolve("of another vm", b"other");
        let token = token as u32;
        here.tell(
            "queue empty",
            given(|address, size| abi::proxy_dequeue_shared_queue(token, address, size)).0,
            "",
        );
        here.tell("enqueue", abi::proxy_enqueue_shared_queue(token, item, size), "");
        here.tell("enqueue nothing", abi::proxy_enqueue_shared_queue(token, item, 0), "");
        here.tell("enqueue from nowhere", abi::proxy_enqueue_shared_queue(token, NOWHERE, 32), "");
        here.tell("enqueue into none", abi::proxy_enqueue_shared_queue(9999, item, size), "");
        for _ in 0..3 {
            let (status, item) = given(|address, size| abi::proxy_dequeue_shared_queue(token, address, size));
            here.tell("dequeue", status, item);
        }
        here.tell(
            "dequeue from none",
            given(|address, size| abi::proxy_dequeue_shared_queue(9999, address, size)).0,
            "",
        );
        here.tell(
            "register from nowhere",
            number(|token| abi::proxy_register_shared_queue(NOWHERE, 32, token)).0,
            "",
        );
        here.tell("register to nowhere", abi::proxy_register_shared_queue(name, length, NOWHERE as _), "");
        here.tell(
            "resolve to nowhere",
            abi::proxy_resolve_shared_queue(NOWHERE, 0, name, length, NOWHERE as _),
            "",
        );
    }
}

pub(super) fn metrics(here: &Here) {
    // SAFETY: names live until the calls return, or are where no memory is.
    unsafe {
        for kind in 0..4 {
            let name = format!("probe_{}_{kind}", here.name());
            let (name, length) = at(name.as_bytes());
            let (status, id) = number(|id| abi::proxy_define_metric(kind, name, length, id));
            here.tell(&format!("metric {kind} defined"), status, (id % 4).to_string());
            let id = id as u32;
            for by in [2, 0, -1] {
                here.tell(&format!("metric {kind} increment {by}"), abi::proxy_increment_metric(id, by), "");
            }
            here.tell(&format!("metric {kind} record"), abi::proxy_record_metric(id, 5), "");
            let mut value = 0_u64;
            here.tell(&format!("metric {kind} get"), abi::proxy_get_metric(id, &raw mut value), "");
            here.tell(&format!("metric {kind} value"), 0, value.to_string());
            here.tell(&format!("metric {kind} get to nowhere"), abi::proxy_get_metric(id, NOWHERE as _), "");
        }
        for id in [3, 4000, 4001, 4002] {
            here.tell(&format!("metric id {id} increment"), abi::proxy_increment_metric(id, 1), "");
            here.tell(&format!("metric id {id} record"), abi::proxy_record_metric(id, 1), "");
            let mut value = 0_u64;
            here.tell(&format!("metric id {id} get"), abi::proxy_get_metric(id, &raw mut value), "");
        }
        here.tell("metric from nowhere", number(|id| abi::proxy_define_metric(0, NOWHERE, 32, id)).0, "");
    }
}
