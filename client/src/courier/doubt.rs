//! Whether a file is still the one that a receipt stands for. Where that is not known for sure it is read again: before it is
//! deleted, and before it is taken for delivered.

use super::desk::{Desk, Whence};
use crate::courier::{News, Tell};
use crate::journal::{Entry, State};
use crate::mark::Mark;
use crate::source::{Source, Stamp};
use crate::{ClientError, file, folder};

impl Desk {
    /// Whether a file of the same length and time of modification has the bytes that were read. Where the file system does
    /// not tell, this process must have read them and seen the file ever since.
    pub fn is_as_read(&self, entry: &Entry, mark: Option<Mark>) -> bool {
        match mark {
            Some(mark) => entry.mark == Some(mark),
            None => match &self.clips {
                Whence::Folder(folder, _) => folder.is_as_read(&entry.path, entry.stamp),
                Whence::Files(files) => files.is_as_read(&entry.path, entry.stamp),
            },
        }
    }

    /// A file was read.
    pub fn has_read(&mut self, source: &Source) {
        match &mut self.clips {
            Whence::Folder(folder, _) => folder.has_read(source.path(), source.stamp()),
            Whence::Files(files) => files.has_read(source.path()),
        }
        self.doubts.remove(source.path());
    }

    /// Whether a clip was delivered, and what lies in its place has to be read again.
    pub fn is_in_doubt(&self, entry: &Entry) -> bool {
        matches!(entry.state, State::Delivered { .. }) && self.doubts.contains(&entry.path)
    }

    /// A clip that was in doubt and has been read: delivered still, or another, which is queued.
    pub fn recognise(&mut self, mut entry: Entry, source: &Source, tell: &Tell<'_>) -> Result<(), ClientError> {
        let is_the_same = entry.sha256.as_deref() == Some(source.sha256());
        if is_the_same && entry.mark == source.mark() {
            return Ok(());
        }
        if !is_the_same {
            entry = Entry::new(entry.path, entry.stamp, entry.about);
            entry.sha256 = Some(source.sha256().to_owned());
            tell(News::Queued {
                file: entry.path.clone(),
                bytes: entry.stamp.bytes,
            });
        }
        entry.mark = source.mark();
        self.journal.put(entry)
    }

    /// Removes a clip whose receipt is verified and kept, if it is still the file that the receipt stands for.
    pub fn delete(&mut self, entry: &Entry, tell: &Tell<'_>) -> Result<(), ClientError> {
        let State::Delivered { .. } = entry.state else {
            return Ok(());
        };
        let about = entry.path.symlink_metadata();
        let Some(about) = about
            .ok()
            .filter(|about| about.is_file() && Stamp::of(about) == entry.stamp)
        else {
            return Ok(());
        };
        if !self.is_as_read(entry, Mark::of(&entry.path, &about)) {
            self.doubts.insert(entry.path.clone());
            return Ok(());
        }
        if let Err(source) = std::fs::remove_file(&entry.path) {
            let pause = self.rest_after_removal(&entry.path);
            tell(News::Setback {
                file: Some(entry.path.clone()),
                reason: format!("it is delivered and cannot be removed: {source}"),
                pause,
            });
            return Ok(());
        }
        // One that stays behind is not a clip.
        let _ = std::fs::remove_file(folder::sidecar_of(&entry.path));
        // A clip that a power cut brings back must still be known as delivered.
        // And one that a wish may name, or that was wished for, until the wish is answered or a month is over.
        let is_asked_about = entry.about.small || self.wishes.is_of(&entry.path);
        if file::sync_folder_of(&entry.path).is_ok() && !is_asked_about {
            self.journal.forget(&entry.path)?;
        }
        tell(News::Deleted {
            file: entry.path.clone(),
        });
        Ok(())
    }
}
