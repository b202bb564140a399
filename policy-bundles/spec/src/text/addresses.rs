//! Hosts and networks.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{Problem, checked_text, refuse_unless, text_type};

checked_text! {
    /// A host without port, in lower case: `api.example.com`, or `*.example.com` for its subdomains.
    Host, "bartizan-host", "^(\\*\\.)?[a-z0-9-]+(\\.[a-z0-9-]+)*$|^\\[[0-9a-f:.]+\\]$", ["api.example.com", "*.example.com"], host
}

fn host(text: &str) -> Result<(), Problem> {
    let bare = text.strip_prefix("*.").unwrap_or(text);
    if text.contains("://") {
        return Err(Problem::new(
            format!("`{text}` is a URL, not a host"),
            "write the host alone, such as `api.example.com`",
        ));
    }
    if let Some(v6) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let good = v6.parse::<std::net::Ipv6Addr>().is_ok_and(|address| address.to_string() == v6);
        return refuse_unless(good, || {
            Problem::new(
                format!("`{text}` is not an IPv6 host"),
                "write it in its shortest form: `[2001:db8::1]`",
            )
        });
    }
    if let Some((name, port)) = bare.rsplit_once(':')
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(Problem::new(
            format!("the host `{text}` has a port"),
            format!("write `{name}`; ports are not compared"),
        ));
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        let lower = text.to_ascii_lowercase();
        return Err(Problem::new(
            format!("the host `{text}` is not in lower case"),
            format!("write `{lower}`"),
        ));
    }
    // RFC 1123, section 2.1, and `_`, which inner names do have.
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    refuse_unless(bare.len() <= 253 && bare.split('.').all(label), || {
        Problem::new(
            format!("{text:?} is not a host"),
            "write `api.example.com`, or `*.example.com` for its subdomains; leave `hosts` out for any host",
        )
    })
}

checked_text! {
    /// A network in CIDR form, or a single address.
    Network, "bartizan-network", "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$", ["198.51.100.0/24", "2001:db8::/32", "203.0.113.7"], |text| {
        network(text).map(|_| ())
    }
}

impl Network {
    /// The network in CIDR form with all host bits zero; a single address is a /32 or /128.
    #[must_use]
    pub fn cidr(&self) -> String {
        network(&self.0)
            .map_or_else(|_| self.0.to_string(), |(address, length)| format!("{address}/{length}"))
    }

    /// The address and the length of the prefix.
    #[must_use]
    pub fn parts(&self) -> Option<(IpAddr, u8)> {
        network(&self.0).ok()
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), Problem> {
    let shape = || {
        Problem::new(
            format!("{text:?} is not a network"),
            "write CIDR form such as `198.51.100.0/24` or `2001:db8::/32`, or a single address",
        )
    };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| shape())?;
    let (value, most) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32_u8),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(Problem::new(
            format!("`{text}` is an IPv4 address in IPv6 form"),
            format!("clients that come that way are judged by their IPv4 address; write `{v4}`"),
        ));
    }
    let length = match length {
        None => most,
        Some(digits) if digits.len() > 1 && digits.starts_with('0') => return Err(shape()),
        Some(digits) => digits.parse::<u8>().ok().filter(|l| *l <= most).ok_or_else(|| {
            Problem::new(
                format!("`/{digits}` is not the length of a prefix"),
                format!("the most for this address is `/{most}`"),
            )
        })?,
    };
    let host_bits = most.saturating_sub(length);
    let mask = u128::MAX.checked_shl(u32::from(host_bits)).unwrap_or(0);
    if value & !mask != 0 {
        let base = match address {
            IpAddr::V4(_) => IpAddr::from(u32::try_from(value & mask).unwrap_or(0).to_be_bytes()),
            IpAddr::V6(_) => IpAddr::from((value & mask).to_be_bytes()),
        };
        return Err(Problem::new(
            format!("the network `{text}` has host bits set"),
            format!("write `{base}/{length}` for the network, or `{address}` for the one address"),
        ));
    }
    Ok((address, length))
}
