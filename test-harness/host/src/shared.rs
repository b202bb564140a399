//! Shared data and shared queues: the only memory that the VMs of one Envoy have in common.
//!
//! Both are global to the process and guarded by one lock each, and both are told apart by `vm_id` only: two
//! plugins with the same `vm_id`, or with none, see each other's keys.
//!
//! Sources: `src/shared_data.cc`, `src/shared_data.h`, `src/shared_queue.cc` and the functions of `src/context.cc`
//! that call them, all of proxy-wasm-cpp-host.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Status;

/// Keys with values and versions, for each `vm_id`. Clones are handles on the same data.
#[derive(Debug, Clone, Default)]
pub struct SharedData(Arc<Mutex<Data>>);

#[derive(Debug, Default)]
struct Data {
    /// The version handed out last. Envoy counts for the whole process, so versions of one key have gaps.
    last_version: u32,
    spaces: BTreeMap<Vec<u8>, Space>,
}

/// The keys of one `vm_id`, each with its value and version.
type Space = BTreeMap<Vec<u8>, (Vec<u8>, u32)>;

impl SharedData {
    /// A value and its version, which is never zero.
    ///
    /// # Errors
    /// [`Status::NotFound`] if the key was never set.
    pub fn get(&self, vm_id: &[u8], key: &[u8]) -> Result<(Vec<u8>, u32), Status> {
        let data = lock(&self.0);
        data.spaces.get(vm_id).and_then(|space| space.get(key)).cloned().ok_or(Status::NotFound)
    }

    /// Sets a value if its version is still `expected`; zero sets it without looking.
    ///
    /// A key that is absent is set whatever is expected: two workers that both find nothing both win, and the
    /// first insert is lost. There is no way to remove a key.
    ///
    /// # Errors
    /// [`Status::CasMismatch`] if the version is another one.
    pub fn set(&self, vm_id: &[u8], key: &[u8], value: &[u8], expected: u32) -> Result<(), Status> {
        let mut data = lock(&self.0);
        let present = data.spaces.get(vm_id).and_then(|space| space.get(key)).map(|(_, version)| *version);
        if expected != 0 && present.is_some_and(|version| version != expected) {
            return Err(Status::CasMismatch);
        }
        // Zero means "any" and is left out when the counter comes round.
        data.last_version = data.last_version.checked_add(1).unwrap_or(1);
        let entry = (value.to_vec(), data.last_version);
        data.spaces.entry(vm_id.to_vec()).or_default().insert(key.to_vec(), entry);
        Ok(())
    }

    /// Forgets everything of a `vm_id`, as Envoy does when the last VM of that id is gone (`deleteByVmId`).
    pub fn forget(&self, vm_id: &[u8]) {
        lock(&self.0).spaces.remove(vm_id);
    }

    /// The keys of a `vm_id`, sorted, for reports: modules cannot list them.
    pub fn keys(&self, vm_id: &[u8]) -> Vec<Vec<u8>> {
        lock(&self.0).spaces.get(vm_id).map(|space| space.keys().cloned().collect()).unwrap_or_default()
    }
}

/// Who is told of new items in a queue: the VM that registered the queue last, and its root context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Which VM; the number means what the caller makes it mean.
    pub vm: u64,
    /// The root context in that VM, also if a stream context registered the queue.
    pub context: u32,
}

/// Queues by `vm_id` and name. Clones are handles on the same queues.
#[derive(Debug, Clone, Default)]
pub struct SharedQueues(Arc<Mutex<Queues>>);

#[derive(Debug, Default)]
struct Queues {
    last_token: u32,
    tokens: BTreeMap<(Vec<u8>, Vec<u8>), u32>,
    queues: BTreeMap<u32, Queue>,
}

#[derive(Debug)]
struct Queue {
    listener: Listener,
    items: VecDeque<Vec<u8>>,
}

impl SharedQueues {
    /// Makes a queue, or takes over one that is there, with what is in it: from now on only this listener hears
    /// of new items. The token is the same for everybody and never zero.
    pub fn register(&self, vm_id: &[u8], name: &[u8], listener: Listener) -> u32 {
        let mut state = lock(&self.0);
        let key = (vm_id.to_vec(), name.to_vec());
        let token = match state.tokens.get(&key) {
            Some(token) => *token,
            None => {
                let token = state.next_token();
                state.tokens.insert(key, token);
                token
            }
        };
        state
            .queues
            .entry(token)
            .and_modify(|queue| queue.listener = listener)
            .or_insert_with(|| Queue { listener, items: VecDeque::new() });
        token
    }

    /// The token of a queue. An empty `vm_id` stands for the caller's own.
    ///
    /// # Errors
    /// [`Status::NotFound`] if nobody registered it.
    pub fn resolve(&self, own_vm_id: &[u8], vm_id: &[u8], name: &[u8]) -> Result<u32, Status> {
        let vm_id = if vm_id.is_empty() { own_vm_id } else { vm_id };
        let key = (vm_id.to_vec(), name.to_vec());
        lock(&self.0).tokens.get(&key).copied().ok_or(Status::NotFound)
    }

    /// Puts an item at the end and says whom to tell (`proxy_on_queue_ready`, once for each item, later and
    /// on the listener's own thread).
    ///
    /// # Errors
    /// [`Status::NotFound`] if there is no such token.
    pub fn enqueue(&self, token: u32, item: &[u8]) -> Result<Listener, Status> {
        let mut state = lock(&self.0);
        let queue = state.queues.get_mut(&token).ok_or(Status::NotFound)?;
        queue.items.push_back(item.to_vec());
        Ok(queue.listener)
    }

    /// Takes the first item. Anybody with the token may.
    ///
    /// # Errors
    /// [`Status::NotFound`] if there is no such token, [`Status::Empty`] if there is no item.
    pub fn dequeue(&self, token: u32) -> Result<Vec<u8>, Status> {
        let mut state = lock(&self.0);
        let queue = state.queues.get_mut(&token).ok_or(Status::NotFound)?;
        queue.items.pop_front().ok_or(Status::Empty)
    }

    /// Removes the queues of a `vm_id`, as Envoy does when the last VM of that id is gone (`deleteByVmId`).
    pub fn forget(&self, vm_id: &[u8]) {
        let mut state = lock(&self.0);
        let Queues { tokens, queues, .. } = &mut *state;
        tokens.retain(|(owner, _), token| {
            let stays = owner != vm_id;
            if !stays {
                queues.remove(token);
            }
            stays
        });
    }
}

impl Queues {
    fn next_token(&mut self) -> u32 {
        loop {
            self.last_token = self.last_token.checked_add(1).unwrap_or(1);
            if !self.queues.contains_key(&self.last_token) {
                return self.last_token;
            }
        }
    }
}

/// A panic elsewhere leaves no half-written state here, so the lock may be taken over.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::{Listener, SharedData, SharedQueues, lock};
    use crate::Status;

    #[test]
    fn a_value_comes_back_with_a_version_that_grows_for_the_whole_process() {
        let data = SharedData::default();
        assert_eq!(data.get(b"vm", b"a"), Err(Status::NotFound));
        data.set(b"vm", b"a", b"1", 0).unwrap();
        data.set(b"other", b"a", b"2", 0).unwrap();
        data.set(b"vm", b"b", b"3", 0).unwrap();
        data.set(b"vm", b"a", b"4", 0).unwrap();
        assert_eq!(data.get(b"other", b"a").unwrap(), (b"2".to_vec(), 2));
        assert_eq!(data.get(b"vm", b"b").unwrap(), (b"3".to_vec(), 3));
        assert_eq!(data.get(b"vm", b"a").unwrap(), (b"4".to_vec(), 4));
        assert_eq!(data.keys(b"vm"), [b"a", b"b"]);
    }

    #[test]
    fn compare_and_swap_needs_the_version_that_was_read() {
        let data = SharedData::default();
        data.set(b"", b"k", b"old", 0).unwrap();
        let (_, version) = data.get(b"", b"k").unwrap();
        data.set(b"", b"k", b"new", version).unwrap();
        assert_eq!(data.set(b"", b"k", b"late", version), Err(Status::CasMismatch));
        assert_eq!(data.set(b"", b"k", b"late", version + 7), Err(Status::CasMismatch));
        assert_eq!(data.get(b"", b"k").unwrap(), (b"new".to_vec(), 2), "a refused set takes no version");
        data.set(b"", b"k", b"forced", 0).unwrap();
        assert_eq!(data.get(b"", b"k").unwrap().0, b"forced");
    }

    #[test]
    fn the_first_insert_is_not_guarded() {
        let data = SharedData::default();
        data.set(b"", b"k", b"v", 1234).unwrap();
        assert_eq!(data.get(b"", b"k").unwrap(), (b"v".to_vec(), 1));
    }

    #[test]
    fn versions_come_round_without_zero() {
        let data = SharedData::default();
        lock(&data.0).last_version = u32::MAX;
        data.set(b"", b"k", b"v", 0).unwrap();
        assert_eq!(data.get(b"", b"k").unwrap().1, 1);
    }

    #[test]
    fn a_vm_id_that_is_gone_leaves_no_keys() {
        let data = SharedData::default();
        data.set(b"a", b"k", b"v", 0).unwrap();
        data.set(b"b", b"k", b"v", 0).unwrap();
        data.forget(b"a");
        assert_eq!(data.get(b"a", b"k"), Err(Status::NotFound));
        assert!(data.get(b"b", b"k").is_ok());
    }

    #[test]
    fn racing_threads_lose_no_guarded_update() {
        let data = SharedData::default();
        data.set(b"", b"n", &0u64.to_le_bytes(), 0).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..250 {
                        loop {
                            let (value, version) = data.get(b"", b"n").unwrap();
                            let next = u64::from_le_bytes(value.try_into().unwrap()) + 1;
                            if data.set(b"", b"n", &next.to_le_bytes(), version).is_ok() {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(data.get(b"", b"n").unwrap().0, 1000u64.to_le_bytes());
    }

    #[test]
    fn a_queue_keeps_its_token_and_items_and_tells_the_last_who_registered() {
        let queues = SharedQueues::default();
        let (first, second) = (Listener { vm: 0, context: 1 }, Listener { vm: 1, context: 2 });
        let token = queues.register(b"vm", b"q", first);
        assert_eq!(token, 1);
        assert_eq!(queues.enqueue(token, b"a").unwrap(), first);
        assert_eq!(queues.register(b"vm", b"q", second), token);
        assert_eq!(queues.enqueue(token, b"b").unwrap(), second);
        assert_eq!(queues.dequeue(token).unwrap(), b"a");
        assert_eq!(queues.dequeue(token).unwrap(), b"b");
        assert_eq!(queues.dequeue(token), Err(Status::Empty));
        assert_eq!(queues.register(b"vm", b"r", first), 2);
        assert_eq!(queues.register(b"other", b"q", first), 3);
    }

    #[test]
    fn a_queue_is_found_by_its_owner_s_id_or_by_none_for_one_s_own() {
        let queues = SharedQueues::default();
        let token = queues.register(b"vm", b"q", Listener { vm: 0, context: 1 });
        assert_eq!(queues.resolve(b"other", b"vm", b"q"), Ok(token));
        assert_eq!(queues.resolve(b"vm", b"", b"q"), Ok(token));
        assert_eq!(queues.resolve(b"other", b"", b"q"), Err(Status::NotFound));
        assert_eq!(queues.resolve(b"vm", b"vm", b"r"), Err(Status::NotFound));
    }

    #[test]
    fn a_token_that_nobody_registered_is_not_found() {
        let queues = SharedQueues::default();
        assert_eq!(queues.enqueue(0, b"x"), Err(Status::NotFound));
        assert_eq!(queues.dequeue(7), Err(Status::NotFound));
        let token = queues.register(b"vm", b"q", Listener { vm: 0, context: 1 });
        let kept = queues.register(b"other", b"q", Listener { vm: 0, context: 1 });
        queues.forget(b"vm");
        assert_eq!(queues.enqueue(token, b"x"), Err(Status::NotFound));
        assert_eq!(queues.resolve(b"vm", b"", b"q"), Err(Status::NotFound));
        assert!(queues.enqueue(kept, b"x").is_ok());
    }

    #[test]
    fn tokens_come_round_without_zero_and_without_those_in_use() {
        let queues = SharedQueues::default();
        let listener = Listener { vm: 0, context: 1 };
        assert_eq!(queues.register(b"vm", b"a", listener), 1);
        lock(&queues.0).last_token = u32::MAX;
        assert_eq!(queues.register(b"vm", b"b", listener), 2);
    }
}
