//! The client address.
//!
//! With no trusted hops it is the peer of the connection, and `x-forwarded-for` is only what somebody
//! claims. With `n` trusted hops, each of the last `n` proxies appended the address it saw, so the client
//! is the `n`-th entry from the right; whatever stands further left was sent by the client.
//!
//! Envoy itself appends the peer too, or does not (`skip_xff_append: true`, as in every configuration we
//! ship). Nothing in a request tells which: behind a source NAT a client and the proxy before us can share an
//! address, and whoever guesses lets that client choose its own. So it is a setting of the deployment, and
//! where Envoy appends, the last entry must be the peer.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::host::Host;
use crate::intake::request::Headers;

/// Finds the client address.
///
/// # Errors
/// A sentence for the operator, when the address cannot be told.
pub fn client_address(
    headers: Headers<'_>,
    trusted_hops: u32,
    peer_appended: bool,
    host: &mut dyn Host,
) -> Result<IpAddr, &'static str> {
    let peer = host.peer_address().map(canonical).ok_or("the host knows no peer address")?;
    if trusted_hops == 0 {
        return Ok(peer);
    }
    // From the right: the last header line first, and in it the last entry.
    let mut hop = 0u32;
    let mut own = peer_appended;
    let lines: Vec<&[u8]> = headers.all("x-forwarded-for").collect();
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(|b| *b == b',')) {
        let address = parse(entry);
        if std::mem::take(&mut own) {
            if address == Some(peer) {
                continue;
            }
            return Err(
                "the last entry of x-forwarded-for is not the peer; is `settings.peer_appended` right?",
            );
        }
        hop += 1;
        if hop == trusted_hops {
            return address.ok_or("the entry of x-forwarded-for that a trusted hop wrote is not an address");
        }
    }
    Err("x-forwarded-for has fewer entries than there are trusted hops")
}

/// An address as proxies write it: bare, with a port, IPv6 in brackets.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let address =
        text.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|s| s.ip())).or_else(
            || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        )?;
    Some(canonical(address))
}

/// IPv4 in IPv6 clothes is IPv4: otherwise `::ffff:198.51.100.1` would escape a list of IPv4 networks.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::TestHost;

    fn find(peer: &str, hops: u32, lines: &[&str]) -> Result<String, &'static str> {
        find_where(false, peer, hops, lines)
    }

    fn find_where(appended: bool, peer: &str, hops: u32, lines: &[&str]) -> Result<String, &'static str> {
        let pairs: Vec<(&[u8], &[u8])> =
            lines.iter().map(|l| ("x-forwarded-for".as_bytes(), l.as_bytes())).collect();
        let mut host = TestHost::with_peer(peer);
        client_address(Headers::new(&pairs), hops, appended, &mut host).map(|a| a.to_string())
    }

    #[test]
    fn without_trusted_hops_the_header_is_ignored() {
        assert_eq!(find("192.0.2.1", 0, &["198.51.100.9"]).as_deref(), Ok("192.0.2.1"));
        assert_eq!(find("::ffff:192.0.2.1", 0, &[]).as_deref(), Ok("192.0.2.1"));
    }

    #[test]
    fn with_hops_the_client_cannot_choose() {
        assert_eq!(find("10.0.0.1", 1, &["192.0.2.7"]).as_deref(), Ok("192.0.2.7"));
        assert_eq!(find("10.0.0.1", 1, &["1.1.1.1, 192.0.2.7"]).as_deref(), Ok("192.0.2.7"));
        assert_eq!(find("10.0.0.1", 1, &["1.1.1.1", "192.0.2.7"]).as_deref(), Ok("192.0.2.7"));
        assert_eq!(find("10.0.0.1", 2, &["1.1.1.1, 192.0.2.7, 10.0.0.2"]).as_deref(), Ok("192.0.2.7"));
        // A claim that looks like Envoy's own entry, with the real one behind it.
        assert_eq!(find("10.0.0.1", 1, &["10.0.0.1, 192.0.2.7"]).as_deref(), Ok("192.0.2.7"));
    }

    #[test]
    fn an_entry_of_envoys_own_is_skipped_where_envoy_appends_and_nowhere_else() {
        let line = ["1.1.1.1, 192.0.2.7,10.0.0.1"];
        assert_eq!(find_where(true, "10.0.0.1", 1, &line).as_deref(), Ok("192.0.2.7"));
        assert!(find_where(true, "10.0.0.1", 1, &["10.0.0.1"]).is_err());
        assert!(find_where(true, "10.0.0.1", 1, &["1.1.1.1, 192.0.2.7"]).is_err());
        // Client and proxy behind one NAT: the entry that the proxy wrote counts, and not the client's.
        assert_eq!(find("10.0.0.1", 1, &["1.1.1.1, 10.0.0.1"]).as_deref(), Ok("10.0.0.1"));
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        assert_eq!(find("10.0.0.1", 1, &["192.0.2.7:4711"]).as_deref(), Ok("192.0.2.7"));
        assert_eq!(find("10.0.0.1", 1, &["[2001:db8::7]:4711"]).as_deref(), Ok("2001:db8::7"));
        assert_eq!(find("10.0.0.1", 1, &["[2001:db8::7]"]).as_deref(), Ok("2001:db8::7"));
    }

    #[test]
    fn what_cannot_be_told_is_an_error() {
        assert!(find("10.0.0.1", 1, &[]).is_err());
        assert!(find("10.0.0.1", 2, &["192.0.2.7"]).is_err());
        assert!(find("10.0.0.1", 1, &["unknown"]).is_err());
        assert!(find("10.0.0.1", 1, &["192.0.2.7, "]).is_err());
        assert!(find("", 0, &[]).is_err());
    }
}
