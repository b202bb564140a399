//! Networks.

use bartizan_engine::network::plan::{NetworkEntry, NetworkPlan};
use bartizan_spec::text::Network;

use super::Input;
use crate::yaml::Cursor;

pub(super) fn translate(input: &Input<'_>) -> NetworkPlan {
    let network = &input.bundle.network;
    let at = input.root().get("network");
    NetworkPlan {
        trusted_hops: network.client_address.trusted_hops,
        deny: entries(&network.deny, at.get("deny")),
        allow: entries(&network.allow, at.get("allow")),
    }
}

fn entries(networks: &[Network], at: Cursor<'_>) -> Vec<NetworkEntry> {
    networks
        .iter()
        .enumerate()
        .map(|(index, network)| NetworkEntry { network: network.cidr(), at: at.item(index).at() })
        .collect()
}
