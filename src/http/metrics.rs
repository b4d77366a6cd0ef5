//! What an operator can watch: counts and times by route and status; nothing that names an owner, a clip or a client.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::face::Reading;

/// Seconds: from a cached page to an upload over a bad link.
const BUCKETS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];

/// The numbers of the outside face.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    refused: Family<ProblemLabels, Counter>,
    received: Counter<u64, AtomicU64>,
    sent: Counter<u64, AtomicU64>,
    open: Gauge,
    ready: Gauge,
    degraded: Gauge,
}

/// Readings beside the face's own numbers; those of one name follow each other.
#[derive(Debug)]
struct Beyond(Vec<Reading>);

impl Collector for Beyond {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for same in self.0.chunk_by(|a, b| a.name == b.name) {
            let Reading {
                name, help, is_counter, ..
            } = &same[0];
            let kind = match *is_counter {
                true => MetricType::Counter,
                false => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for reading in same {
                let one = metric.encode_family(&reading.labels)?;
                match *is_counter {
                    true => ConstCounter::new(reading.value).encode(one)?,
                    false => ConstGauge::new(i64::try_from(reading.value).unwrap_or(i64::MAX)).encode(one)?,
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProblemLabels {
    problem: &'static str,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("dashvault");
        let requests = Family::default();
        registry.register(
            "http_requests",
            "Requests answered, by route and status",
            requests.clone(),
        );
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let seconds = Family::new_with_constructor(histogram);
        registry.register(
            "http_request_seconds",
            "Time to the head of the answer",
            seconds.clone(),
        );
        let refused = Family::default();
        registry.register("problems", "Requests refused, by kind of problem", refused.clone());
        let received = Counter::default();
        registry.register(
            "upload_received_bytes",
            "Bytes of uploads read from clients",
            received.clone(),
        );
        let sent = Counter::default();
        registry.register("media_sent_bytes", "Bytes of media given to clients", sent.clone());
        let open = Gauge::default();
        registry.register("http_requests_open", "Requests under way", open.clone());
        let ready = Gauge::default();
        registry.register("ready", "1 when the last look found every part ready", ready.clone());
        let degraded = Gauge::default();
        registry.register(
            "degraded",
            "1 when the last look found the service ready, and a part that it can spare not",
            degraded.clone(),
        );
        Self {
            registry,
            requests,
            seconds,
            refused,
            received,
            sent,
            open,
            ready,
            degraded,
        }
    }

    /// A request is answered. `route` is the pattern, never a path.
    pub(super) fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.requests
            .get_or_create(&RequestLabels {
                method,
                route: route.clone(),
                status,
            })
            .inc();
        self.seconds
            .get_or_create(&RouteLabels { method, route })
            .observe(took.as_secs_f64());
    }

    /// A request was refused.
    pub(super) fn refused(&self, problem: &'static str) {
        self.refused.get_or_create(&ProblemLabels { problem }).inc();
    }

    pub(super) fn received(&self, bytes: u64) {
        self.received.inc_by(bytes);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.sent.inc_by(bytes);
    }

    pub(super) fn opened(&self) {
        self.open.inc();
    }

    pub(super) fn closed(&self) {
        self.open.dec();
    }

    pub(super) fn set_ready(&self, ready: bool, degraded: bool) {
        self.ready.set(i64::from(ready));
        self.degraded.set(i64::from(degraded));
    }

    /// The OpenMetrics text.
    pub(super) fn text(&self, readings: Vec<Reading>) -> String {
        let mut beyond = Registry::with_prefix("dashvault");
        beyond.register_collector(Box::new(Beyond(readings)));
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode_registry(&mut text, &beyond);
        let _ = encode(&mut text, &self.registry);
        text
    }
}
