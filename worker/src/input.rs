//! The clip as something to read and seek in, over range requests, with a small cache.
//!
//! libav jumps to and fro between a file's tables and its pictures, and between badly interleaved pictures and sound. A few pages
//! that are kept make that one request a page instead of 32 times the file.

use std::io::{Read, Result, Seek, SeekFrom};

use crate::control::Control;

/// One request fetches one page; four of them when reading goes straight on.
const PAGE_BYTES: u64 = 256 << 10;
/// 8 MiB: enough for the pictures, the sound and the tables of a clip that lies apart.
const PAGES: usize = 32;
/// How far ahead a straight read asks.
const AHEAD_BYTES: u64 = 4 * PAGE_BYTES;

/// Reads of the input.
pub struct Input {
    control: Control,
    length: u64,
    at: u64,
    /// The most recently used last.
    pages: Vec<(u64, Vec<u8>)>,
    /// Where the last request ended: one that begins there reads straight on.
    expected: u64,
}

impl Input {
    /// The whole clip of `length` bytes.
    pub fn new(control: Control, length: u64) -> Self {
        Self {
            control,
            length,
            at: 0,
            pages: Vec::new(),
            expected: 0,
        }
    }

    /// The first `n` bytes or all there are.
    pub fn head(&mut self, n: usize) -> Result<Vec<u8>> {
        self.at = 0;
        let mut head = Vec::new();
        Read::take(&mut *self, n as u64).read_to_end(&mut head)?;
        self.at = 0;
        Ok(head)
    }

    /// The page that holds `at`, from the cache or fetched.
    fn page(&mut self, at: u64) -> Result<usize> {
        let holds = |(start, bytes): &(u64, Vec<u8>)| (*start..*start + bytes.len() as u64).contains(&at);
        if let Some(found) = self.pages.iter().position(holds) {
            let page = self.pages.remove(found);
            self.pages.push(page);
            return Ok(self.pages.len() - 1);
        }
        let start = at - at % PAGE_BYTES;
        let straight = start == self.expected && start > 0;
        let wanted = if straight { AHEAD_BYTES } else { PAGE_BYTES };
        let end = (start + wanted).min(self.length);
        let mut bytes = Vec::with_capacity((end - start) as usize);
        while start + (bytes.len() as u64) <= at {
            let next = start + bytes.len() as u64;
            self.control.read(next, (end - next) as usize, &mut bytes)?;
        }
        self.expected = start + bytes.len() as u64;
        // Kept page by page, so that what was read ahead is dropped page by page.
        let mut page_start = start;
        for page in bytes.chunks(PAGE_BYTES as usize) {
            self.pages.push((page_start, page.to_vec()));
            page_start += page.len() as u64;
        }
        let overflow = self.pages.len().saturating_sub(PAGES);
        self.pages.drain(..overflow);
        let found = self.pages.iter().position(holds);
        found.ok_or_else(|| std::io::Error::other("the page that was fetched is gone"))
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.at >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let page = self.page(self.at)?;
        let (start, bytes) = &self.pages[page];
        let rest = &bytes[(self.at - start) as usize..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        // libav asks for places that a hostile table invents; reading there is the end of the file.
        self.at = target.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
