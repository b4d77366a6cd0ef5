//! What the owner asked for: the rest of clips of which the small rendition was sent. The vault names the clip that came; here
//! it is found out which file that was, and which file is the full one beside it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::answer::Answer;
use crate::journal::{Entry, State};
use crate::policy::Wish;
use crate::receipt::clip_id_of;
use crate::{Client, ClientError};

/// An answer that did not get through is given again.
const ANSWER_PAUSE: Duration = Duration::from_secs(60);
/// Names of folders that say what is in them, not which clip it is.
const NOT_OF_THE_NAME: [&str; 3] = ["small", "full", "first"];

/// What is known of the wishes.
#[derive(Default)]
pub(crate) struct Wishes {
    /// The files that were wished for, and the clips that their wishes name.
    files: HashMap<PathBuf, String>,
    /// Answered in this process: the vault's next policy does not name them any more.
    answered: HashSet<String>,
    paused_until: Option<Instant>,
}

/// An answer that can be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Reply {
    #[serde(skip)]
    wish: String,
    /// The clip that came; none when nothing like it is here.
    clip_id: Option<String>,
}

impl Wishes {
    /// Finds the files; what was wished for and cannot be found is in none.
    pub fn find<'a>(&mut self, wishes: &[Wish], entries: impl Iterator<Item = &'a Entry> + Clone) {
        self.files.clear();
        let named: HashSet<&str> = wishes.iter().map(|wish| &*wish.clip_id).collect();
        self.answered.retain(|wish| named.contains(&**wish));
        if named.is_empty() {
            return;
        }
        let mut sent = BTreeMap::new();
        for entry in entries.clone() {
            if let Some(clip) = clip_of(entry).filter(|clip| named.contains(clip)) {
                sent.insert(name_of(&entry.path), (clip.to_owned(), entry.path.clone()));
            }
        }
        for entry in entries.filter(|entry| !entry.about.small) {
            if let Some((clip, of)) = sent.get(&name_of(&entry.path))
                && *of != entry.path
            {
                self.files.insert(entry.path.clone(), clip.clone());
            }
        }
    }

    pub fn is_of(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// What can be answered now. `is_all_here` says that every file of the vehicle was seen: only then one that is missing is.
    pub fn replies<'a>(
        &self,
        wishes: &[Wish],
        entries: impl Iterator<Item = &'a Entry> + Clone,
        is_all_here: bool,
        now: Instant,
    ) -> Vec<Reply> {
        if self.paused_until.is_some_and(|until| until > now) {
            return Vec::new();
        }
        let open = wishes.iter().filter(|wish| !self.answered.contains(&wish.clip_id));
        let replies = open.filter_map(|wish| {
            let of_wish = |entry: &&Entry| self.files.get(&entry.path) == Some(&wish.clip_id);
            let mut files = entries.clone().filter(of_wish).peekable();
            let clip_id = match files.peek() {
                Some(_) => Some(files.find_map(|entry| match &entry.state {
                    State::Delivered { clip_id, .. } => Some(clip_id.clone()),
                    _ => None,
                })?),
                // A clip that this vehicle does not know by its id may have been sent by another queue of it.
                None if is_all_here && entries.clone().any(|entry| clip_of(entry) == Some(&*wish.clip_id)) => None,
                None => return None,
            };
            let wish = wish.clip_id.clone();
            Some(Reply { wish, clip_id })
        });
        replies.collect()
    }

    /// Tells the vault; whether it knows now. One that it does not wish any more is answered too.
    pub async fn answer(&mut self, reply: &Reply, client: &Client) -> bool {
        let told = tell(reply, client).await;
        let is_known = told.is_ok_and(|status| matches!(status, 200..=299 | 404));
        if is_known {
            self.answered.insert(reply.wish.clone());
        } else {
            self.paused_until = Some(Instant::now() + ANSWER_PAUSE);
        }
        is_known
    }
}

async fn tell(reply: &Reply, client: &Client) -> Result<u16, ClientError> {
    let request = client.connection().post(&format!("/v1/vehicle/wishes/{}", reply.wish));
    let sent = request.bearer_auth(client.token()).json(reply).send().await;
    let answer = sent
        .map(Answer::of)
        .map_err(|error| ClientError::Unreachable(error.into()))?;
    Ok(answer.status())
}

/// The id of the clip that a file became in the vault.
fn clip_of(entry: &Entry) -> Option<&str> {
    match &entry.state {
        State::Delivered { clip_id, .. } => Some(clip_id),
        State::Sent { url } => Some(clip_id_of(url)),
        State::Waiting | State::Refused { .. } => None,
    }
}

/// What a clip's renditions have in common: the path without what says which rendition it is, and without the ending.
fn name_of(path: &Path) -> (Vec<String>, String) {
    let folders = path.parent().into_iter().flat_map(Path::components);
    let folders = folders.map(|folder| folder.as_os_str().to_string_lossy().into_owned());
    let folders = folders.filter(|folder| !NOT_OF_THE_NAME.iter().any(|word| folder.eq_ignore_ascii_case(word)));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let cut = ["small", "full"].iter().find_map(|word| {
        let at = stem.len().checked_sub(word.len() + 1)?;
        let (name, ending) = stem.split_at_checked(at)?;
        let word_of = ending.strip_prefix(['.', '-', '_'])?;
        (word_of.eq_ignore_ascii_case(word) && !name.is_empty()).then(|| name.to_owned())
    });
    (folders.collect(), cut.unwrap_or_else(|| stem.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::About;
    use crate::source::Stamp;

    fn entry(path: &str, clip: Option<&str>) -> Entry {
        let stamp = Stamp {
            bytes: 1,
            modified_ns: 1,
        };
        let about = About {
            small: path.contains("small"),
            ..About::default()
        };
        let mut entry = Entry::new(PathBuf::from(path), stamp, about);
        if let Some(clip) = clip {
            entry.state = State::Delivered {
                clip_id: clip.to_owned(),
                receipt: String::new(),
                at_ms: 0,
            };
        }
        entry
    }

    fn wish(clip: &str) -> Wish {
        Wish {
            clip_id: clip.to_owned(),
        }
    }

    fn found(entries: &[Entry], wishes: &[Wish]) -> Vec<String> {
        let mut found = Wishes::default();
        found.find(wishes, entries.iter());
        let mut files: Vec<_> = found.files.keys().map(|path| path.display().to_string()).collect();
        files.sort();
        files
    }

    #[test]
    fn the_full_clip_is_the_file_of_the_same_name_in_whichever_folder_of_renditions() {
        let entries = [
            entry("/card/1/small/a.mp4", Some("one")),
            entry("/card/1/full/a.mp4", None),
            entry("/card/1/full/b.mp4", None),
            entry("/card/2/full/a.mp4", None),
            entry("/card/event/c-small.ts", Some("two")),
            entry("/card/event/c.mp4", None),
        ];
        assert_eq!(found(&entries, &[wish("one")]), ["/card/1/full/a.mp4"]);
        assert_eq!(found(&entries, &[wish("two")]), ["/card/event/c.mp4"]);
        assert!(found(&entries, &[wish("three")]).is_empty());
        assert!(found(&entries, &[]).is_empty());
    }

    #[test]
    fn a_wish_is_answered_when_its_clip_is_delivered_or_missing_and_only_then() {
        let replies = |entries: &[Entry], is_all_here| {
            let mut wishes = Wishes::default();
            let asked = [wish("one")];
            wishes.find(&asked, entries.iter());
            let replies = wishes.replies(&asked, entries.iter(), is_all_here, Instant::now());
            replies.into_iter().map(|reply| reply.clip_id).collect::<Vec<_>>()
        };
        let small = entry("/card/small/a.mp4", Some("one"));
        let full = |clip| entry("/card/full/a.mp4", clip);
        assert!(
            replies(&[small.clone(), full(None)], true).is_empty(),
            "it is on its way"
        );
        assert_eq!(
            replies(&[small.clone(), full(Some("two"))], true),
            [Some("two".to_owned())]
        );
        assert_eq!(replies(std::slice::from_ref(&small), true), [None]);
        assert!(replies(&[small], false).is_empty(), "the card is away");
        assert!(replies(&[full(None)], true).is_empty(), "another queue's");
    }
}
