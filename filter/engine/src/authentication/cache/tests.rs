use super::*;
use crate::authentication::method::Kind;

fn identity(subject: &str) -> Rc<Identity> {
    Rc::new(Identity::new(Kind::Jwt, 0, "corp", subject.into()))
}

/// A token whose end is as random as a signature.
fn token(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state >> 58) as usize]
        })
        .collect()
}

#[test]
fn what_was_stored_is_found_and_nothing_else() {
    let mut cache = TokenCache::default();
    let stored = token(1, 800);
    assert!(cache.get(&stored).is_none());
    cache.insert(&stored, identity("alice"));
    assert_eq!(cache.get(&stored).unwrap().subject(), "alice");
    // Same hash, another token: the head differs and the tail does not.
    let mut forged = stored.clone();
    forged[10] ^= 1;
    assert!(cache.get(&forged).is_none());
    assert!(cache.get(&stored[..799]).is_none());
    assert!(cache.get(b"").is_none());
    assert_eq!((cache.len(), cache.bytes), (1, cost(&stored, &identity("alice"))));
}

#[test]
fn the_number_of_tokens_is_bounded() {
    let mut cache = TokenCache::default();
    for seed in 0..20_000 {
        cache.insert(&token(seed, 60), identity("x"));
    }
    assert!(cache.len() <= TOKENS);
    assert!(cache.len() > TOKENS * 9 / 10, "{}", cache.len());
    assert!(cache.bytes <= BYTES);
}

#[test]
fn the_bytes_are_bounded() {
    let mut cache = TokenCache::default();
    for seed in 0..500 {
        cache.insert(&token(seed, 16_000), identity("x"));
        assert!(cache.bytes <= BYTES);
        let counted: usize = cache.slots.iter().flatten().map(|e| e.cost).sum();
        assert_eq!(cache.bytes, counted);
    }
    assert_eq!(cache.len(), BYTES / cost(&token(0, 16_000), &identity("x")));
    let huge = vec![b'A'; BYTES];
    cache.insert(&huge, identity("x"));
    assert!(cache.get(&huge).is_none());
}

#[test]
fn a_token_in_use_survives_a_flood_of_others() {
    let mut cache = TokenCache::default();
    let busy = token(0, 200);
    cache.insert(&busy, identity("busy"));
    for seed in 1..10_000 {
        assert!(cache.get(&busy).is_some(), "after {seed}");
        cache.insert(&token(seed, 200), identity("x"));
    }
}

#[test]
fn a_set_that_is_full_of_used_tokens_still_takes_a_new_one() {
    let mut cache = TokenCache::default();
    let same_set: Vec<_> =
        (0..).map(|seed| token(seed, 64)).filter(|t| hash(t) as usize % SETS == 7).take(9).collect();
    for t in &same_set[..8] {
        cache.insert(t, identity("x"));
        assert!(cache.get(t).is_some());
    }
    cache.insert(&same_set[8], identity("new"));
    assert!(cache.get(&same_set[8]).is_some());
    assert_eq!(cache.len(), 8);
}

#[test]
fn claims_are_weighed_as_they_lie_in_memory() {
    let weigh = |claims: serde_json::Value| {
        let mut identity = Rc::into_inner(identity("x")).unwrap();
        let text = claims.to_string();
        identity.claims = claims.as_object().unwrap().clone();
        (text.len(), cost(b"", &identity))
    };
    let (plain_text, plain) = weigh(serde_json::json!({"a": "x".repeat(8000)}));
    let nested: Vec<_> = (0..900).map(|_| serde_json::json!({"a": {}})).collect();
    let (nested_text, nested) = weigh(serde_json::json!({"a": nested}));
    assert!(plain_text.abs_diff(nested_text) < 1000, "about the same text");
    assert!(plain < 12_000, "{plain}");
    let measured = allocation_counter::measure(|| {
        let list: Vec<_> = (0..900).map(|_| serde_json::json!({"a": {}})).collect();
        drop(std::hint::black_box(serde_json::json!({"a": list})));
    });
    let held = usize::try_from(measured.bytes_max).unwrap();
    assert!(nested >= held / 2, "weighed {nested}, held {held}");
    assert!(nested <= held * 3, "weighed {nested}, held {held}");
}
