//! HTTP/1.1 by hand: a request is sent as it stands in a row, also where no HTTP library would.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any answer takes.
const ANSWER: Duration = Duration::from_secs(60);
/// Long enough for what was sent to be read and kept; an answer does not depend on it.
const ARRIVES: Duration = Duration::from_millis(150);
/// No answer here is longer.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// An answer, or nothing at all.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    fn read(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text).into_owned();
        // What comes before the answer, such as a word that the body may come, is none.
        let text = text.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        Some(Self {
            status,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            body: body.to_owned(),
        })
    }
}

/// What is done once the request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The answer is read.
    Read,
    /// The connection ends with the body.
    Cut,
    /// The connection stays, and nobody reads.
    Hang,
}

/// Sends a request; its answer, and the connection if it stays.
pub fn send(host: &str, request: &[u8], then: Then) -> Result<(Answer, Option<TcpStream>), String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error| format!("{what}: {error}")
    };
    let mut stream = TcpStream::connect(host).map_err(failed("no connection"))?;
    stream.set_read_timeout(Some(ANSWER)).map_err(failed("no time-out"))?;
    stream.write_all(request).map_err(failed("it could not be sent"))?;
    if then != Then::Read {
        std::thread::sleep(ARRIVES);
        return Ok((Answer::default(), (then == Then::Hang).then_some(stream)));
    }
    let mut text = Vec::new();
    let read = stream.take(MAX_ANSWER_BYTES).read_to_end(&mut text);
    let answer = Answer::read(&text);
    // A server that has answered may reset what it did not read.
    answer
        .map(|answer| (answer, None))
        .ok_or_else(|| format!("no answer: {read:?}"))
}
