//! Which link the vehicle is on.

use std::path::PathBuf;

/// A word.
const MAX_FILE_BYTES: u64 = 256;

/// A kind of link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Nothing is sent.
    None,
    /// Paid for by the byte: the vault's policy and budgets hold.
    Cellular,
    /// Costs nothing.
    Wifi,
}

/// Where it stands which link the vehicle is on.
#[derive(Debug, Clone)]
pub enum LinkSource {
    /// It is always this one.
    Always(Link),
    /// The word in this file, which whoever manages the links writes: `wifi`, `cellular` or `none`.
    File(PathBuf),
}

impl LinkSource {
    /// The link now. What cannot be read costs money, until somebody says that it does not.
    pub fn now(&self) -> Link {
        let path = match self {
            Self::Always(link) => return *link,
            Self::File(path) => path,
        };
        let is_short = path.metadata().is_ok_and(|about| about.len() <= MAX_FILE_BYTES);
        let text = is_short.then(|| std::fs::read_to_string(path).ok()).flatten();
        match text.as_deref().map(str::trim) {
            Some("wifi") => Link::Wifi,
            Some("none") => Link::None,
            _ => Link::Cellular,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_nobody_names_is_one_that_costs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("link");
        let source = LinkSource::File(file.clone());
        assert_eq!(source.now(), Link::Cellular);
        for (text, link) in [
            ("wifi\n", Link::Wifi),
            ("none", Link::None),
            ("cellular\n", Link::Cellular),
            ("", Link::Cellular),
            ("wif", Link::Cellular),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(source.now(), link, "{text:?}");
        }
    }
}
