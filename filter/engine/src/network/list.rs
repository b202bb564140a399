//! A list of networks, looked up by binary search.

use std::net::IpAddr;

use super::plan::NetworkEntry;

/// An address on one number line, IPv4 before IPv6: so one search serves both families, and `::/0` does
/// not let IPv4 in.
type Point = (bool, u128);

/// Sorted, disjoint ranges.
#[derive(Debug, Default)]
pub struct Networks {
    ranges: Vec<Range>,
}

#[derive(Debug)]
struct Range {
    first: Point,
    last: Point,
    network: Box<str>,
    at: Box<str>,
}

impl Networks {
    /// Builds a list. Networks that lie in another one of the list are dropped: the wider one decides alike.
    ///
    /// # Errors
    /// The index of the entry that is not a network, and why.
    pub fn build(entries: &[NetworkEntry]) -> Result<Self, (usize, String)> {
        let mut ranges = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let (first, last) = parse(&entry.network).map_err(|e| (index, e))?;
            ranges.push(Range {
                first,
                last,
                network: entry.network.as_str().into(),
                at: entry.at.as_str().into(),
            });
        }
        // Two networks are disjoint, or one holds the other: sorted by start with the wider one first, what
        // lies in the range before it is redundant.
        ranges.sort_by_key(|r| (r.first, std::cmp::Reverse(r.last)));
        let mut kept: Vec<Range> = Vec::with_capacity(ranges.len());
        for range in ranges {
            if kept.last().is_none_or(|before| range.first > before.last) {
                kept.push(range);
            }
        }
        Ok(Self { ranges: kept })
    }

    /// Whether there is no network.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The network an address lies in, and where it was written.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<(&str, &str)> {
        let point = point(address);
        let after = self.ranges.partition_point(|r| r.first <= point);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        (point <= range.last).then_some((&*range.network, &*range.at))
    }
}

fn point(address: IpAddr) -> Point {
    match address {
        IpAddr::V4(v4) => (false, v4.to_bits().into()),
        IpAddr::V6(v6) => (true, v6.to_bits()),
    }
}

/// First and last address of a network in CIDR form (RFC 4632, section 3.1), or a sentence for the operator.
fn parse(network: &str) -> Result<(Point, Point), String> {
    let (address, prefix) =
        network.split_once('/').ok_or_else(|| format!("`{network}` has no prefix length"))?;
    let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is not an address"))?;
    if let IpAddr::V6(v6) = address
        && v6.to_ipv4_mapped().is_some()
    {
        return Err(format!(
            "`{network}` matches nobody, for IPv4 clients are looked up as IPv4; write it so"
        ));
    }
    let width = if address.is_ipv4() { 32u32 } else { 128 };
    let length: u32 = prefix
        .parse()
        .ok()
        .filter(|l| *l <= width && prefix.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("`/{prefix}` is not a prefix length from 0 to {width}"))?;
    let host_bits = width.saturating_sub(length);
    let mask = if host_bits >= 128 { u128::MAX } else { (1u128 << host_bits).wrapping_sub(1) };
    let (family, first) = point(address);
    if first & mask != 0 {
        return Err(format!("`{network}` has host bits set; the network is not what its prefix says"));
    }
    Ok(((family, first), (family, first | mask)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(networks: &[&str]) -> Networks {
        let entries: Vec<_> = networks
            .iter()
            .map(|n| NetworkEntry { network: (*n).into(), at: "bundle.yaml:1".into() })
            .collect();
        Networks::build(&entries).unwrap()
    }

    fn has(list: &Networks, address: &str) -> bool {
        list.find(address.parse().unwrap()).is_some()
    }

    #[test]
    fn edges_of_networks() {
        let list = list(&["198.51.100.0/24", "2001:db8::/32", "203.0.113.7/32", "198.51.100.128/25"]);
        for inside in ["198.51.100.0", "198.51.100.255", "2001:db8::", "2001:db8:ffff::1", "203.0.113.7"] {
            assert!(has(&list, inside), "{inside}");
        }
        for outside in
            ["198.51.99.255", "198.51.101.0", "2001:db7:ffff::", "2001:db9::", "203.0.113.6", "203.0.113.8"]
        {
            assert!(!has(&list, outside), "{outside}");
        }
    }

    #[test]
    fn all_addresses_of_a_family() {
        let v4 = list(&["0.0.0.0/0"]);
        assert!(has(&v4, "255.255.255.255") && has(&v4, "0.0.0.0") && !has(&v4, "2001:db8::1"));
        let v6 = list(&["::/0"]);
        assert!(has(&v6, "2001:db8::1") && !has(&v6, "192.0.2.1"));
    }

    #[test]
    fn what_is_no_network() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/64",
            "a/8",
            "10.0.0.0/+8",
            "::/129",
            "::ffff:198.51.100.0/120",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
