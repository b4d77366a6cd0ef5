//! How often one client, and all together, may ask.
//!
//! Secrets that are guessed at (sign-in, links, pairing codes) are limited for each address and in total; the first few of an
//! address are outside the total, so that a crowd of strangers shuts nobody out. Uploads are
//! answered 503 where others are answered 429, because upload clients give up on 429; asking where an upload stands is
//! never limited, because they take a refusal for a lost upload. Pages are not counted.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::http::Method;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::client_address::counted;
use super::problem::Problem;

/// One address may ask this often a second, and this much at once. Twice what a busy client of ours does.
const REQUESTS_A_SECOND: u32 = 200;
const REQUESTS_AT_ONCE: u32 = 400;
/// Of these, uploads that begin: however many want to, half is left for the bytes of those that have.
const BEGINNINGS_A_SECOND: u32 = REQUESTS_A_SECOND / 2;
const BEGINNINGS_AT_ONCE: u32 = REQUESTS_AT_ONCE / 2;
/// Uploads that are refused are called back one after the other, at half that pace: each then asks where it stands, and sends.
const CALLED_BACK_A_SECOND: u32 = REQUESTS_A_SECOND / 2;
/// The longest that one is asked to wait; in a longer queue its end comes all at once, spread by the vehicles' own pauses.
const LONGEST_WAIT_SECS: u32 = 120;
const LONGEST_QUEUE: u32 = CALLED_BACK_A_SECOND * LONGEST_WAIT_SECS;
/// Sign-in links and links' tokens hold 256 random bits; a person opens a few in a minute.
const SECRETS_A_MINUTE: u32 = 60;
const SECRETS_A_MINUTE_IN_ALL: u32 = 1200;
/// A pairing code has 40 bits and lives for minutes: even all addresses together guess none.
const PAIRINGS_A_MINUTE: u32 = 60;
const PAIRINGS_A_MINUTE_IN_ALL: u32 = 600;
/// So many a minute from one address pass whatever the total is: what a person needs.
const FEW_A_MINUTE: u32 = 5;
/// After so many checks the addresses that were quiet are forgotten.
const CHECKS_BETWEEN_SWEEPS: u32 = 4096;

/// The counters of one service.
pub(super) struct Limits {
    clock: DefaultClock,
    checks: AtomicU32,
    requests: DefaultKeyedRateLimiter<IpAddr>,
    beginnings: DefaultKeyedRateLimiter<IpAddr>,
    queue: DefaultKeyedRateLimiter<IpAddr, StateInformationMiddleware>,
    secrets: Guarded,
    pairings: Guarded,
}

/// A limit for each address and one for all of them.
struct Guarded {
    each: DefaultKeyedRateLimiter<IpAddr>,
    few: DefaultKeyedRateLimiter<IpAddr>,
    all: DefaultDirectRateLimiter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Free,
    Request,
    Beginning,
    Upload,
    Secret,
    Pairing,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self {
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
            requests: RateLimiter::keyed(
                Quota::per_second(count(REQUESTS_A_SECOND)).allow_burst(count(REQUESTS_AT_ONCE)),
            ),
            beginnings: RateLimiter::keyed(
                Quota::per_second(count(BEGINNINGS_A_SECOND)).allow_burst(count(BEGINNINGS_AT_ONCE)),
            ),
            queue: RateLimiter::keyed(Quota::per_second(count(CALLED_BACK_A_SECOND)).allow_burst(count(LONGEST_QUEUE)))
                .with_middleware(),
            secrets: Guarded::a_minute(SECRETS_A_MINUTE, SECRETS_A_MINUTE_IN_ALL),
            pairings: Guarded::a_minute(PAIRINGS_A_MINUTE, PAIRINGS_A_MINUTE_IN_ALL),
        }
    }

    /// Counts a request; refuses the one that is too many.
    pub(super) fn check(&self, method: &Method, path: &str, client: IpAddr) -> Result<(), Problem> {
        let class = class_of(method, path);
        if class == Class::Free {
            return Ok(());
        }
        self.sweep();
        let client = counted(client);
        let is_upload = matches!(class, Class::Beginning | Class::Upload);
        let refuse = if is_upload {
            Problem::busy
        } else {
            Problem::too_many_requests
        };
        // A beginning that is refused uses up nothing of what is left for bytes.
        let too_many = match class {
            Class::Beginning => self.wait_secs(&self.beginnings, client),
            _ => None,
        };
        let too_many = too_many.or_else(|| self.wait_secs(&self.requests, client));
        let wait_secs = too_many.or_else(|| match class {
            Class::Secret => self.wait_guarded(&self.secrets, client),
            Class::Pairing => self.wait_guarded(&self.pairings, client),
            _ => None,
        });
        match wait_secs {
            Some(_) if is_upload => Err(refuse().retry_after(self.call_back_secs(client))),
            Some(secs) => Err(refuse().retry_after(secs)),
            None => Ok(()),
        }
    }

    /// When a refused upload is to come again: each of a crowd behind one address is told a time of its own, or all of them
    /// would be back at once, and most refused again.
    fn call_back_secs(&self, client: IpAddr) -> u32 {
        let queue = self.queue.check_key(&client);
        let room = queue.map_or(0, |queue| queue.remaining_burst_capacity());
        1 + LONGEST_QUEUE.saturating_sub(room) / CALLED_BACK_A_SECOND
    }

    fn wait_guarded(&self, limit: &Guarded, client: IpAddr) -> Option<u32> {
        // The address first: one that asks too often uses up nothing of the others'.
        self.wait_secs(&limit.each, client).or_else(|| {
            if limit.few.check_key(&client).is_ok() {
                return None;
            }
            let until = limit.all.check().err()?;
            Some(whole_secs(until.wait_time_from(self.clock.now())))
        })
    }

    fn wait_secs(&self, limit: &DefaultKeyedRateLimiter<IpAddr>, client: IpAddr) -> Option<u32> {
        let until = limit.check_key(&client).err()?;
        Some(whole_secs(until.wait_time_from(self.clock.now())))
    }

    fn sweep(&self) {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_BETWEEN_SWEEPS == CHECKS_BETWEEN_SWEEPS - 1 {
            let (secrets, pairings) = (&self.secrets, &self.pairings);
            for each in [
                &self.requests,
                &self.beginnings,
                &secrets.each,
                &secrets.few,
                &pairings.each,
                &pairings.few,
            ] {
                each.retain_recent();
            }
            self.queue.retain_recent();
        }
    }
}

impl Guarded {
    fn a_minute(each: u32, all: u32) -> Self {
        Self {
            each: RateLimiter::keyed(Quota::per_minute(count(each))),
            few: RateLimiter::keyed(Quota::per_minute(count(FEW_A_MINUTE))),
            all: RateLimiter::direct(Quota::per_minute(count(all))),
        }
    }
}

fn class_of(method: &Method, path: &str) -> Class {
    // The router decodes a path before it looks; none of ours needs an encoded letter, so who writes one is held to the least.
    if path.contains('%') {
        return Class::Secret;
    }
    if !path.starts_with("/v1/") {
        return Class::Free;
    }
    let path = path.trim_end_matches('/');
    if path == "/v1/uploads" || path.starts_with("/v1/uploads/") {
        return match method.as_str() {
            "POST" if path == "/v1/uploads" => Class::Beginning,
            "POST" | "PATCH" => Class::Upload,
            "HEAD" | "OPTIONS" => Class::Free,
            _ => Class::Request,
        };
    }
    match (method.as_str(), path) {
        ("POST", "/v1/session" | "/v1/links/redeem") => Class::Secret,
        ("POST", "/v1/devices") => Class::Pairing,
        _ => Class::Request,
    }
}

fn whole_secs(wait: std::time::Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

const fn count(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("the limits above are not zero")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError as _;

    fn ask(limits: &Limits, method: Method, path: &str, client: &str, times: u32) -> (u32, Option<Problem>) {
        let (mut passed, mut refused) = (0, None);
        for _ in 0..times {
            match limits.check(&method, path, client.parse().unwrap()) {
                Ok(()) => passed += 1,
                Err(problem) => refused = Some(problem),
            }
        }
        (passed, refused)
    }

    #[test]
    fn an_encoded_letter_is_no_way_around() {
        for path in ["/v1/%73ession", "/%761/session", "/v1/links/%72edeem"] {
            let (passed, refused) = ask(&Limits::new(), Method::POST, path, "192.0.2.1", 200);
            assert!(passed < 100 && refused.is_some(), "{path}: {passed}");
        }
    }

    #[test]
    fn a_hundred_at_once_pass_and_a_flood_is_told_when_to_come_again() {
        let limits = Limits::new();
        assert_eq!(ask(&limits, Method::GET, "/v1/clips", "192.0.2.1", 100).0, 100);
        let (passed, refused) = ask(&limits, Method::GET, "/v1/clips", "192.0.2.1", 2000);
        assert!(passed < 1000, "{passed}");
        let answer = refused.unwrap().error_response();
        assert_eq!(answer.status().as_u16(), 429);
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(
            ask(&limits, Method::GET, "/v1/clips", "192.0.2.2", 1).0,
            1,
            "another client is not held up"
        );
    }

    #[test]
    fn uploads_are_asked_to_wait_by_503_and_where_they_stand_is_always_told() {
        let limits = Limits::new();
        let (_, refused) = ask(&limits, Method::PATCH, "/v1/uploads/x", "192.0.2.1", 2000);
        let answer = refused.unwrap().error_response();
        assert_eq!(answer.status().as_u16(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(ask(&limits, Method::HEAD, "/v1/uploads/x", "192.0.2.1", 2000).0, 2000);
    }

    #[test]
    fn a_crowd_that_begins_leaves_room_for_the_bytes_of_those_that_have() {
        let limits = Limits::new();
        let (begun, refused) = ask(&limits, Method::POST, "/v1/uploads", "192.0.2.1", 5000);
        assert!((200..1000).contains(&begun), "{begun}");
        assert_eq!(refused.unwrap().error_response().status().as_u16(), 503);
        assert_eq!(ask(&limits, Method::PATCH, "/v1/uploads/x", "192.0.2.1", 100).0, 100);
    }

    #[test]
    fn a_crowd_behind_one_address_is_called_back_one_after_the_other() {
        let limits = Limits::new();
        ask(&limits, Method::PATCH, "/v1/uploads/x", "192.0.2.1", REQUESTS_AT_ONCE);
        let client = "192.0.2.1".parse().unwrap();
        let mut told = std::collections::BTreeMap::<u32, u32>::new();
        for _ in 0..20_000 {
            let Err(refused) = limits.check(&Method::PATCH, "/v1/uploads/x", client) else {
                continue;
            };
            let answer = refused.error_response();
            let secs = answer.headers().get("retry-after").unwrap().to_str().unwrap().parse();
            *told.entry(secs.unwrap()).or_default() += 1;
        }
        let (last, in_time) = told.pop_last().expect("a wait");
        assert_eq!(last, LONGEST_WAIT_SECS + 1, "{in_time}");
        assert!(told.len() > 100, "{told:?}");
        // The queue moves on while it fills.
        assert!(told.values().all(|each| *each <= 4 * CALLED_BACK_A_SECOND), "{told:?}");
        assert_eq!(
            ask(&limits, Method::PATCH, "/v1/uploads/x", "192.0.2.2", 1).0,
            1,
            "others do not wait"
        );
    }

    #[test]
    fn guessing_is_limited_for_an_address_and_in_total() {
        for path in ["/v1/session", "/v1/links/redeem", "/v1/devices"] {
            let limits = Limits::new();
            let (passed, _) = ask(&limits, Method::POST, path, "192.0.2.1", 300);
            assert!((60..=62).contains(&passed), "{path}: {passed}");
            let total: u32 = (0..200)
                .map(|n| ask(&limits, Method::POST, path, &format!("198.51.100.{n}"), 50).0)
                .sum();
            assert!(total < 1250 + 200 * FEW_A_MINUTE, "{path}: {total}");
            let (passed, _) = ask(&limits, Method::POST, path, "203.0.113.9", 50);
            assert_eq!(passed, FEW_A_MINUTE, "{path}: a crowd shuts nobody out");
        }
    }

    #[test]
    fn an_owner_who_makes_pairing_codes_is_no_guesser() {
        let path = "/v1/devices/pairing-codes";
        assert_eq!(ask(&Limits::new(), Method::POST, path, "192.0.2.1", 100).0, 100);
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_client() {
        let limits = Limits::new();
        let passed: u32 = (0..300)
            .map(|n| ask(&limits, Method::POST, "/v1/session", &format!("2001:db8::{n:x}"), 1).0)
            .sum();
        assert!((60..=62).contains(&passed), "{passed}");
    }

    #[test]
    fn pages_are_not_counted() {
        let limits = Limits::new();
        assert_eq!(ask(&limits, Method::GET, "/s/abc", "192.0.2.1", 5000).0, 5000);
    }
}
