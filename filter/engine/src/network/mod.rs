//! The second room: the client's address, which no client can choose, and the networks it may come from.

mod address;
mod list;
pub mod plan;

pub use address::client_address;
pub use list::Networks;

use std::net::IpAddr;

use crate::host::Host;
use crate::intake::request::Request;
use crate::pipeline::Room;
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::{Finding, Trace};
use plan::NetworkPlan;

/// Proof that the request came through this room.
#[derive(Debug)]
pub struct Placed {
    address: Option<IpAddr>,
}

impl Placed {
    /// A proof without the walk, for the tests of later rooms.
    #[cfg(test)]
    pub(crate) fn at(address: Option<IpAddr>) -> Self {
        Self { address }
    }

    /// The client address, if this room or a limit of the route needs it.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

/// The room, loaded.
#[derive(Debug)]
pub struct Network {
    trusted_hops: u32,
    peer_appended: bool,
    deny: Networks,
    allow: Networks,
}

impl Network {
    /// Loads the room. `peer_appended` says that the proxy itself appends the peer to `x-forwarded-for`.
    ///
    /// # Errors
    /// When a network is not in CIDR form.
    pub fn load(plan: &NetworkPlan, peer_appended: bool) -> Result<Self, PlanError> {
        Ok(Self {
            trusted_hops: plan.trusted_hops,
            peer_appended,
            deny: Networks::build(&plan.deny)
                .map_err(|(i, e)| PlanError::new(format!("network.deny[{i}]"), e))?,
            allow: Networks::build(&plan.allow)
                .map_err(|(i, e)| PlanError::new(format!("network.allow[{i}]"), e))?,
        })
    }

    /// Finds and judges the client address. `wanted` says that a limit of the route is kept by address;
    /// without any use for the address the host is not even asked.
    ///
    /// # Errors
    /// A refusal with a reason of this room.
    pub fn place(
        &self,
        request: &Request<'_>,
        wanted: bool,
        host: &mut dyn Host,
        trace: &mut Trace,
    ) -> Result<Placed, Refusal> {
        if !wanted && self.deny.is_empty() && self.allow.is_empty() {
            return Ok(Placed { address: None });
        }
        let address = client_address(request.headers(), self.trusted_hops, self.peer_appended, host)
            .map_err(|why| Refusal::new(Reason::AddressUnknown, why))?;
        trace.note(Room::Network, "", || {
            format!("the client address is {address} ({} trusted hops)", self.trusted_hops)
        });
        if let Some((network, at)) = self.deny.find(address) {
            trace.found(
                Room::Network,
                at,
                || Finding::Denied(Some(network.to_owned())),
                || format!("{address} is in the denied network {network}"),
            );
            return Err(Refusal::new(
                Reason::AddressDenied,
                format!("{address} is in {network}, denied at {at}"),
            ));
        }
        if !self.deny.is_empty() {
            trace.found(
                Room::Network,
                "",
                || Finding::Denied(None),
                || format!("{address} is in none of the denied networks"),
            );
        }
        if !self.allow.is_empty() {
            let found = self.allow.find(address);
            trace.found(
                Room::Network,
                found.map_or("", |(_, at)| at),
                || Finding::Allowed(found.map(|(network, _)| network.to_owned())),
                || match found {
                    Some((network, _)) => format!("{address} is in the allowed network {network}"),
                    None => format!("{address} is in none of the allowed networks"),
                },
            );
            if found.is_none() {
                return Err(Refusal::new(
                    Reason::AddressDenied,
                    format!("{address} is in no allowed network"),
                ));
            }
        }
        Ok(Placed { address: Some(address) })
    }
}
