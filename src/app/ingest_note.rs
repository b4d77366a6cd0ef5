//! The note in the data folder of what uploads are sealed to: a service that is started while the root key's provider does not
//! answer takes uploads by it.
//!
//! It is the public half of a key and no secret. Whoever could change it would have uploads sealed to a key of theirs until the
//! provider answers, so that only a file which nobody but this user can write is believed; the database is no place for it.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use data_encoding::HEXLOWER;
use tracing::warn;

use crate::model::TenantId;
use crate::vault::IngestKey;

const FILE: &str = "ingest-key";
/// First on its line: of another version nothing is read.
const VERSION: &str = "1";
/// Version, tenant and key in hex, and a line's end; whatever else lies there is not read.
const MAX_BYTES: u64 = 128;
/// Anybody else who may write.
const OTHERS_WRITE: u32 = 0o022;

/// What was noted; none where there is no note, or none that can be believed.
pub(super) fn read(data: &Path) -> Option<IngestKey> {
    let path = data.join(FILE);
    let file = std::fs::File::open(&path).ok()?;
    let about = file.metadata().ok()?;
    if about.mode() & OTHERS_WRITE != 0 || about.uid() != rustix::process::geteuid().as_raw() {
        warn!(
            path = %path.display(),
            "others may write the note of the ingest key, and it is not believed: uploads wait for the root key too"
        );
        return None;
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    let noted = parse(&text);
    if noted.is_none() {
        warn!(path = %path.display(), "the note of the ingest key is damaged: uploads wait for the root key too");
    }
    noted
}

/// Notes it, unless it is noted already. It is only needed in an outage: what goes wrong is told and hinders nothing.
pub(super) fn keep(data: &Path, key: &IngestKey) {
    if read(data).as_ref() == Some(key) {
        return;
    }
    if let Err(error) = write(data, key) {
        warn!(
            %error,
            "the ingest key could not be noted: a start while the root key's provider does not answer would take no uploads"
        );
    }
}

fn write(data: &Path, key: &IngestKey) -> std::io::Result<()> {
    let (path, new) = (data.join(FILE), data.join(format!("{FILE}.new")));
    // Left by a process that died here.
    let _ = std::fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text(key).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, &path)
}

fn text(key: &IngestKey) -> String {
    let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
    format!("{VERSION} {} {}\n", hex(key.tenant.as_bytes()), hex(&key.public))
}

fn parse(text: &str) -> Option<IngestKey> {
    let (version, rest) = text.strip_suffix('\n')?.split_once(' ')?;
    let (tenant, public) = rest.split_once(' ')?;
    let read = |hex: &str| HEXLOWER.decode(hex.as_bytes()).ok();
    (version == VERSION).then_some(IngestKey {
        tenant: TenantId::from_bytes(read(tenant)?.try_into().ok()?),
        public: read(public)?.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_note_is_believed_whole_and_of_this_user_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = IngestKey {
            tenant: TenantId::random(),
            public: [7; 32],
        };
        assert_eq!(read(folder.path()), None);
        keep(folder.path(), &key);
        assert_eq!(read(folder.path()), Some(key));
        let path = folder.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
        let whole = std::fs::read_to_string(&path).expect("a text");
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None, "{cut} bytes");
        }
        assert_eq!(parse(&whole.replacen('1', "2", 1)), None, "another version");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("its owner may");
        assert_eq!(read(folder.path()), None, "others may write it");
        let other = IngestKey { public: [8; 32], ..key };
        keep(folder.path(), &other);
        assert_eq!(read(folder.path()), Some(other));
    }
}
