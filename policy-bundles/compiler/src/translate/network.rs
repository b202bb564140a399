//! Networks.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bartizan_engine::network::plan::{NetworkEntry, NetworkPlan};
use bartizan_spec::text::Network;

use super::Input;
use crate::diagnostic::Report;
use crate::yaml::Cursor;

pub(super) fn translate(input: &Input<'_>, report: &mut Report) -> NetworkPlan {
    let network = &input.bundle.network;
    let at = input.root().get("network");
    for (list, networks) in [("deny", &network.deny), ("allow", &network.allow)] {
        let mut seen = BTreeSet::new();
        for (index, entry) in networks.iter().enumerate() {
            if !seen.insert(entry.cidr()) {
                let message = format!("the network `{entry}` is listed twice");
                report.error("listed-twice", at.get(list).item(index).span(), message, "remove one of them");
            }
        }
    }
    never_let_in(network, at, report);
    NetworkPlan {
        trusted_hops: network.client_address.trusted_hops,
        deny: entries(&network.deny, at.get("deny")),
        allow: entries(&network.allow, at.get("allow")),
    }
}

/// Networks that are allowed and denied: deny beats allow, so the line under `allow` says what is not so.
fn never_let_in(network: &bartizan_spec::network::Network, at: Cursor<'_>, report: &mut Report) {
    // Each allowed network is held against each denied one; lists are long on one side only, if at all.
    if network.allow.len().saturating_mul(network.deny.len()) > 1_000_000 {
        return;
    }
    for (index, allowed) in network.allow.iter().enumerate() {
        if let Some(denied) = network.deny.iter().find(|denied| covers(denied, allowed)) {
            report.warning(
                "network-never-let-in",
                at.get("allow").item(index).span(),
                format!("`{allowed}` is allowed here and denied by `{denied}`, and deny beats allow"),
                "remove it here, or make the network under `deny` smaller",
            );
        }
    }
}

fn covers(outer: &Network, inner: &Network) -> bool {
    let (Some((outer, outer_length)), Some((inner, inner_length))) = (outer.parts(), inner.parts()) else {
        return false;
    };
    let (outer, inner, bits) = match (outer, inner) {
        (IpAddr::V4(outer), IpAddr::V4(inner)) => {
            (u128::from(outer.to_bits()), u128::from(inner.to_bits()), 32_u8)
        }
        (IpAddr::V6(outer), IpAddr::V6(inner)) => (outer.to_bits(), inner.to_bits(), 128),
        _ => return false,
    };
    let host_bits = u32::from(bits.saturating_sub(outer_length));
    let prefix = |address: u128| address.checked_shr(host_bits).unwrap_or(0);
    outer_length <= inner_length && prefix(outer) == prefix(inner)
}

fn entries(networks: &[Network], at: Cursor<'_>) -> Vec<NetworkEntry> {
    networks
        .iter()
        .enumerate()
        .map(|(index, network)| NetworkEntry { network: network.cidr(), at: at.item(index).at() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_covers_what_is_in_it() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        for (outer, inner, expected) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("10.0.0.0/8", "11.0.0.0/8", false),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("::/0", "2001:db8::/32", true),
            ("0.0.0.0/0", "::/0", false),
            ("2001:db8::1", "2001:db8::1", true),
        ] {
            assert_eq!(covers(&network(outer), &network(inner)), expected, "{outer} {inner}");
        }
    }
}
