//! A look into the memory of a running process: whether bytes that are known lie in it, and where.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use memchr::memmem::Finder;
use rustix::process::Signal;

use crate::Child;

/// Read at once; what is looked for may lie across two reads, which overlap.
const STEP_BYTES: usize = 4 << 20;
/// A service that has just started has written more than this.
const LEAST_BYTES: u64 = 1 << 20;

/// Bytes to look for, by a name for people.
pub struct Needle {
    name: String,
    forms: Vec<Vec<u8>>,
}

/// Bytes that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The name of what was found, and in which form.
    pub name: String,
    /// The line of `/proc/PID/maps`, and how far into it.
    pub place: String,
}

impl Needle {
    /// A key: itself, as it stands first in an AES key schedule; with its words turned, as SHA-256 takes it; and under the two
    /// pads of HMAC. Each half is looked for by itself, as an allocator writes its own notes over the beginning of what was
    /// freed.
    pub fn key(name: impl Into<String>, key: &[u8; 32]) -> Self {
        let turned = key.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
        let under = |pad: u8| key.iter().map(|byte| byte ^ pad).collect();
        Self {
            name: name.into(),
            forms: [key.to_vec(), turned, under(0x36), under(0x5c)]
                .iter()
                .flat_map(|form| form.chunks(16).map(<[u8]>::to_vec))
                .collect(),
        }
    }

    /// A text.
    pub fn text(name: impl Into<String>, text: &str) -> Self {
        Self {
            name: name.into(),
            forms: vec![text.as_bytes().to_vec()],
        }
    }
}

/// Looks through all that the process can write, stopped meanwhile. A process that hides its memory is read as root, or, by
/// its own user, when it runs in a user namespace of that user's; see [`crate::Setup::readable_memory`].
pub fn sightings(process: &Child, needles: &[Needle]) -> Vec<Sighting> {
    process.signal(Signal::STOP);
    let found = look(process.id(), needles);
    process.signal(Signal::CONT);
    found
}

fn look(id: u32, needles: &[Needle]) -> Vec<Sighting> {
    let proc = |name: &str| {
        File::open(format!("/proc/{id}/{name}")).unwrap_or_else(|error| {
            panic!("/proc/{id}/{name} is not to be read ({error}): run this test as root, or allow user namespaces")
        })
    };
    let mut maps = String::new();
    proc("maps")
        .read_to_string(&mut maps)
        .expect("the regions of the process's memory");
    let memory = proc("mem");
    let finders: Vec<_> = needles
        .iter()
        .flat_map(|needle| needle.forms.iter().enumerate().map(move |form| (&needle.name, form)))
        .map(|(name, (form, bytes))| (name, form, Finder::new(bytes)))
        .collect();
    let overlap = finders.iter().map(|(.., finder)| finder.needle().len()).max();
    let overlap = overlap.expect("something to look for") - 1;
    let (mut found, mut seen) = (Vec::new(), 0);
    let mut bytes = vec![0; STEP_BYTES];
    for line in maps
        .lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")))
    {
        let (start, end) = range_of(line);
        let mut at = start;
        while at < end {
            let most = STEP_BYTES.min(usize::try_from(end - at).expect("a region of this machine"));
            // A device's pages, or a region that the process may not read itself.
            let Ok(length) = memory.read_at(&mut bytes[..most], at) else {
                break;
            };
            if length == 0 {
                break;
            }
            for (name, form, finder) in &finders {
                found.extend(finder.find_iter(&bytes[..length]).map(|offset| Sighting {
                    name: format!("{name}, form {form}"),
                    place: format!("{line} at +{:#x}", at - start + offset as u64),
                }));
            }
            seen += length as u64;
            at += length as u64;
            if at < end && length > overlap {
                at -= overlap as u64;
            }
        }
    }
    assert!(seen > LEAST_BYTES, "only {seen} bytes of memory could be read");
    found
}

/// The addresses at the beginning of a line of `maps`.
fn range_of(line: &str) -> (u64, u64) {
    let (start, rest) = line.split_once('-').expect("an address");
    let end = rest.split(' ').next().expect("an address");
    let address = |text: &str| u64::from_str_radix(text, 16).expect("an address in hex");
    (address(start), address(end))
}
