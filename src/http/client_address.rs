//! Who is asking: the peer's address, or what a named proxy says of it; and how little of it is written down.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use actix_web::http::header::{self, HeaderMap};

/// More hops than this in a forwarding header are somebody's game.
const MAX_HOPS: usize = 32;

/// A network, for example `172.28.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

/// The text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network: write it like 172.28.0.0/24 or fd00::/8")]
pub struct CidrError(String);

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let wrong = || CidrError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Cidr {
    /// Whether so many addresses lie in it that it cannot be one proxy's or one provider's network.
    pub fn is_too_wide(&self) -> bool {
        self.bits < if self.address.is_ipv4() { 8 } else { 16 }
    }

    /// Whether an address lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                cut(u128::from(own.to_bits()), 32, self.bits) == cut(u128::from(other.to_bits()), 32, self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                cut(own.to_bits(), 128, self.bits) == cut(other.to_bits(), 128, self.bits)
            }
            _ => false,
        }
    }
}

/// The client's address: the peer's, unless the peer is a named proxy; then the last one in its header that is no proxy.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[Cidr]) -> IpAddr {
    let known = |address: IpAddr| proxies.iter().any(|p| p.contains(address));
    let peer = peer.to_canonical();
    if !known(peer) {
        return peer;
    }
    let mut nearest = peer;
    for hop in hops(headers).into_iter().rev().take(MAX_HOPS) {
        let Some(address) = hop else { return nearest };
        nearest = address;
        if !known(address) {
            break;
        }
    }
    nearest
}

/// The hops that `X-Forwarded-For`, else `Forwarded` (RFC 7239), tells, the client first; `None` for one that is no address.
/// In this order, because the widespread proxies write the first and pass the second on as a client sent it.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let all = |name| -> Vec<String> {
        let texts = headers.get_all(name).filter_map(|v| v.to_str().ok());
        texts
            .flat_map(|text| text.split(','))
            .map(|part| part.trim().to_owned())
            .collect()
    };
    let told = all(header::X_FORWARDED_FOR);
    if !told.is_empty() {
        return told.iter().map(|hop| address(hop)).collect();
    }
    let node = |element: &String| {
        let pair = element.split(';').find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            name.eq_ignore_ascii_case("for").then_some(value)
        });
        pair.and_then(|value| address(value.trim_matches('"')))
    };
    all(header::FORWARDED).iter().map(node).collect()
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Some(inside) = text.strip_prefix('[') {
        return inside.split(']').next()?.parse().ok();
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    text.rsplit_once(':')?.0.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

/// The network that is written to the log instead of the address: /24, or /48.
pub(super) fn shortened(address: IpAddr) -> Cidr {
    network(address, 24, 48)
}

/// What rate limits count as one client: an address, or with IPv6 the /64 that one subscriber has.
pub(super) fn counted(address: IpAddr) -> IpAddr {
    network(address, 32, 64).address
}

fn network(address: IpAddr, bits_v4: u8, bits_v6: u8) -> Cidr {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let bits = u32::try_from(cut(u128::from(v4.to_bits()), 32, bits_v4)).unwrap_or_default();
            Cidr {
                address: Ipv4Addr::from_bits(bits).into(),
                bits: bits_v4,
            }
        }
        IpAddr::V6(v6) => Cidr {
            address: Ipv6Addr::from_bits(cut(v6.to_bits(), 128, bits_v6)).into(),
            bits: bits_v6,
        },
    }
}

/// The first `bits` of a number that is `width` bits wide.
fn cut(number: u128, width: u8, bits: u8) -> u128 {
    let drop = u32::from(width - bits);
    number.checked_shr(drop).unwrap_or(0).checked_shl(drop).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn told(name: &str, value: &str, peer: &str) -> String {
        let request = TestRequest::default().insert_header((name, value)).to_http_request();
        let proxies = ["172.28.0.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client(ip(peer), request.headers(), &proxies).to_string()
    }

    #[test]
    fn only_a_named_proxy_is_believed() {
        assert_eq!(told("x-forwarded-for", "203.0.113.9", "172.28.0.7"), "203.0.113.9");
        assert_eq!(told("x-forwarded-for", "203.0.113.9", "198.51.100.1"), "198.51.100.1");
        assert_eq!(told("forwarded", "for=203.0.113.9", "198.51.100.1"), "198.51.100.1");
    }

    #[test]
    fn a_client_does_not_outrank_the_proxy_with_the_other_header() {
        let request = TestRequest::default()
            .insert_header(("forwarded", "for=1.2.3.4"))
            .insert_header(("x-forwarded-for", "203.0.113.9"))
            .to_http_request();
        let proxies = ["172.28.0.0/24".parse().unwrap()];
        assert_eq!(client(ip("172.28.0.7"), request.headers(), &proxies), ip("203.0.113.9"));
    }

    #[test]
    fn what_the_client_put_in_front_is_not_believed() {
        assert_eq!(
            told("x-forwarded-for", "1.2.3.4, 203.0.113.9", "172.28.0.7"),
            "203.0.113.9"
        );
        assert_eq!(
            told("x-forwarded-for", "1.2.3.4, 203.0.113.9, 172.28.0.2", "172.28.0.7"),
            "203.0.113.9"
        );
        assert_eq!(told("x-forwarded-for", "rubbish", "172.28.0.7"), "172.28.0.7");
    }

    #[test]
    fn the_forms_of_rfc_7239_are_read() {
        let forms = [
            ("for=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
            ("For=\"203.0.113.9:4711\"", "203.0.113.9"),
            ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.43, for=203.0.113.9", "203.0.113.9"),
        ];
        for (form, expected) in forms {
            assert_eq!(told("forwarded", form, "fd00::1"), expected, "{form}");
        }
    }

    #[test]
    fn what_is_written_down_is_cut() {
        assert_eq!(shortened(ip("203.0.113.9")).to_string(), "203.0.113.0/24");
        assert_eq!(shortened(ip("2001:db8:cafe:1::17")).to_string(), "2001:db8:cafe::/48");
        assert_eq!(shortened(ip("::ffff:203.0.113.9")).to_string(), "203.0.113.0/24");
        assert_eq!(counted(ip("2001:db8:cafe:1:2::17")), ip("2001:db8:cafe:1::"));
    }

    #[test]
    fn a_network_is_read_or_refused() {
        for text in ["", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "10.0.0/8", "everyone"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(ip("8.8.8.8")) && !all.contains(ip("::1")));
        let one: Cidr = "127.0.0.1".parse().unwrap();
        assert!(one.contains(ip("127.0.0.1")) && !one.contains(ip("127.0.0.2")));
    }
}
