//! Runs a row: fills in what its requests leave open, sends them, and compares the answers.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use dashvault_keys::digest::{self, Sha1};
use data_encoding::{BASE64, HEXLOWER};

use crate::row::{Row, Speaks, Step};
use crate::wire::{self, Answer, Then};
use crate::world::World;

/// How long a row asks again: sealing an original of some bytes on a busy machine.
const UNTIL: Duration = Duration::from_secs(60);

/// Whether the row holds; what is wrong with which step otherwise.
pub fn held(world: &World, speaks: Speaks, row: &Row) -> Result<(), String> {
    let mut seen = Seen {
        world,
        speaks,
        paths: Vec::new(),
        hanging: Vec::new(),
    };
    for (number, step) in row.exchange.iter().enumerate() {
        let told = seen.step(step);
        told.map_err(|wrong| format!("step {}, {}: {wrong}", number + 1, step.ask))?;
    }
    Ok(())
}

/// The extensions that OPTIONS names.
pub fn options(world: &World) -> String {
    let request = format!(
        "OPTIONS /v1/uploads HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        world.host
    );
    let (answer, _) = wire::send(&world.host, request.as_bytes(), Then::Read).expect("an answer");
    answer.header("Tus-Extension").unwrap_or_default().to_owned()
}

/// What a row has been told so far.
struct Seen<'w> {
    world: &'w World,
    speaks: Speaks,
    /// Paths of its uploads.
    paths: Vec<String>,
    /// Connections that hang until the row is over.
    hanging: Vec<TcpStream>,
}

impl Seen<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        let began = Instant::now();
        let (request, how) = self.request(step)?;
        let then = match how {
            "cut" => Then::Cut,
            "hang" => Then::Hang,
            _ => Then::Read,
        };
        let answer = loop {
            let (answer, hanging) = wire::send(&self.world.host, &request, then)?;
            self.hanging.extend(hanging);
            // Slowed down, as all tables ask at once; or not sealed yet.
            let waits = answer.status == 429 || (how == "until" && answer.status == 202);
            if !waits || began.elapsed() > UNTIL {
                break answer;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        if then != Then::Read {
            return Ok(());
        }
        if let Some(location) = answer.header("Location") {
            let path = location.strip_prefix(&self.world.url).unwrap_or(location).to_owned();
            if !self.paths.contains(&path) {
                self.paths.push(path);
            }
        }
        compare(&self.fill(step.expect, step.body), &answer).map_err(|wrong| format!("{wrong} in {answer:?}"))
    }

    /// A request as it goes over the wire, and how it is sent.
    fn request(&self, step: &Step) -> Result<(Vec<u8>, &'static str), String> {
        let filled = self.fill(step.ask, step.body);
        let mut parts = filled.trim_end_matches(" |").split(" | ");
        let mut words: Vec<_> = parts.next().unwrap_or_default().split(' ').collect();
        let who = match words.first() {
            Some(word) if word.starts_with('@') => words.remove(0),
            _ => "@vehicle",
        };
        let how = ["cut", "hang", "chunked", "head", "until"];
        let how = how.into_iter().find(|how| words.first() == Some(how));
        if how.is_some() {
            words.remove(0);
        }
        let [method, target] = words[..] else {
            return Err("no method and target".to_owned());
        };
        let token = match who {
            "@vehicle" => Some(self.world.vehicle(self.speaks)),
            "@other" => Some(self.world.other.as_str()),
            "@owner" => Some(self.world.owner.as_str()),
            "@nobody" => None,
            _ => return Err(format!("{who} is nobody we know")),
        };
        let mut headers = vec![
            ("Host".to_owned(), self.world.host.clone()),
            ("Connection".to_owned(), "close".to_owned()),
            match self.speaks {
                Speaks::Tus => ("Tus-Resumable".to_owned(), "1.0.0".to_owned()),
                Speaks::Draft(version) => ("Upload-Draft-Interop-Version".to_owned(), version.to_owned()),
            },
        ];
        headers.extend(token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}"))));
        let chunked = how == Some("chunked");
        match (chunked, step.body.is_empty(), method) {
            (true, ..) => headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned())),
            (false, true, "HEAD" | "GET" | "OPTIONS") => {}
            (false, ..) => headers.push(("Content-Length".to_owned(), step.body.len().to_string())),
        }
        for part in parts {
            if let Some(absent) = part.strip_prefix('-') {
                headers.retain(|(name, _)| !name.eq_ignore_ascii_case(absent));
                continue;
            }
            let (name, value) = part.split_once(':').ok_or_else(|| format!("{part} is no header"))?;
            // Said by the row, and so not by us.
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut request = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        match (chunked, how) {
            (true, _) => request.push_str(&format!("{:x}\r\n{}\r\n0\r\n\r\n", step.body.len(), step.body)),
            (false, Some("head")) => {}
            (false, _) => request.push_str(step.body),
        }
        Ok((request.into_bytes(), how.unwrap_or_default()))
    }

    fn fill(&self, text: &str, body: &str) -> String {
        let mut filled = text.to_owned();
        for (number, path) in (1..).zip(&self.paths) {
            filled = filled
                .replace(&format!("{{url{number}}}"), &format!("{}{path}", self.world.url))
                .replace(&format!("{{path{number}}}"), path)
                .replace(&format!("${number}"), path);
        }
        filled = filled.replace("POST |", "POST /v1/uploads |");
        for (name, sum) in sums(body.as_bytes()) {
            filled = filled.replace(&format!("{{{name}}}"), &sum);
        }
        filled = each(&filled, "{b64:", |text| BASE64.encode(text.as_bytes()));
        filled = each(&filled, "{sha256:", |text| {
            BASE64.encode(&digest::sha256(text.as_bytes()))
        });
        each(&filled, "{hex:", |text| {
            BASE64.encode(HEXLOWER.encode(&digest::sha256(text.as_bytes())).as_bytes())
        })
    }
}

fn sums(body: &[u8]) -> [(&'static str, String); 4] {
    let mut sha1 = Sha1::new();
    sha1.update(body);
    let mut sha512 = digest::Sha512::new();
    sha512.update(body);
    [
        ("sha1", BASE64.encode(&sha1.finish())),
        ("sha256", BASE64.encode(&digest::sha256(body))),
        ("sha512", BASE64.encode(&sha512.finish())),
        ("crc32c", BASE64.encode(&crc32c::crc32c(body).to_be_bytes())),
    ]
}

/// Puts what `made` makes in place of everything between `open` and the next brace.
fn each(text: &str, open: &str, made: impl Fn(&str) -> String) -> String {
    let mut parts = text.split(open);
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inside, rest) = part.split_once('}').expect("a brace that closes");
        filled.push_str(&made(inside));
        filled.push_str(rest);
    }
    filled
}

/// Whether an answer is what was expected; what is wrong with it otherwise.
pub fn compare(expected: &str, answer: &Answer) -> Result<(), String> {
    let mut parts = expected.split(" | ");
    let status = parts.next().unwrap_or_default();
    let fits = match status.strip_suffix("xx") {
        Some(class) => answer.status.to_string().starts_with(class),
        None => answer.status.to_string() == status,
    };
    if !fits {
        return Err(format!("{} in place of {status}", answer.status));
    }
    for part in parts {
        if let Some(absent) = part.strip_prefix('!') {
            if answer.header(absent).is_some() {
                return Err(format!("{absent} stands there"));
            }
            continue;
        }
        let (name, value) = part
            .split_once(": ")
            .ok_or_else(|| format!("{part} is no expectation"))?;
        let told = match name {
            "body" => Some(answer.body.as_str()),
            name => answer.header(name),
        };
        let fits = match (told, value) {
            (None, _) => false,
            (Some(_), "*") => true,
            (Some(told), value) => value
                .strip_prefix('~')
                .map_or(told == value, |part| told.contains(part)),
        };
        if !fits {
            return Err(format!("{name} is {told:?} in place of {value}"));
        }
    }
    Ok(())
}
