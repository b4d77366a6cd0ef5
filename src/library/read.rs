//! Finds what is to be read of a clip or a link, and streams ranges of it.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};

use super::clip::{Sealed, renditions};
use super::rendition::{PLAIN_VERSION, PLAYLIST_VERSION, main_playlist};
use super::resource::{Disposition, Part, RenditionName, Resource, What};
use super::{Library, LibraryError};
use crate::access::ReadGrant;
use crate::model::{ByteRange, MediaKind, ObjectKind};
use crate::vault::{ClipKeys, OwnerKeys, StoredObject, Vault, VaultError};

/// Bytes of an entity tag: enough that no two things of an owner have one.
const ETAG_BYTES: usize = 15;
/// What a sender may call an original, and we repeat: a browser runs none of these. All else is bytes.
const VIDEO_TYPES: [&str; 6] = [
    "video/mp4",
    "video/quicktime",
    "video/mp2t",
    "video/x-msvideo",
    "video/x-matroska",
    "video/webm",
];

/// A clip or a link opened for one request.
struct Opened {
    grant_keys: OwnerKeys,
    sealed: Sealed,
    objects: Vec<StoredObject>,
}

type Segments = Pin<Box<dyn Stream<Item = Result<Bytes, LibraryError>> + Send>>;

impl Library {
    /// Finds what is to be read; none when there is no such thing (yet), or the grant does not reach it. Records nothing:
    /// fit for HEAD and for conditional requests.
    ///
    /// A link's grant reaches the link's own media and never the original. That its owner did not tick `download` is no
    /// bar here: a player reads the same bytes, so it is a wish that the pages and the disposition carry, not a lock.
    pub async fn open(&self, grant: &ReadGrant, what: &What) -> Result<Option<Resource>, LibraryError> {
        self.admit(grant, what).await?;
        let Some(opened) = self.opened(grant).await? else {
            return Ok(None);
        };
        match what {
            What::Original if grant.link().is_some() => Ok(None),
            What::Original => Ok(original(grant, &opened)),
            What::Poster => Ok(poster(grant, &opened)),
            What::Fragments(name) => Ok(fragments(grant, &opened, name)),
            What::Rendition(name) => self.rendition(grant, &opened, name).await,
            What::MediaPlaylist(name) => self.media_playlist(grant, &opened, name).await,
            What::MainPlaylist => self.main_playlist(grant, &opened).await,
        }
    }

    /// The bytes of a range, which must lie in the resource. The viewing is recorded first; if that fails nothing leaves.
    /// Segments are opened as the stream is polled, and no more once it is dropped.
    pub async fn stream(
        &self,
        resource: Resource,
        range: ByteRange,
    ) -> Result<impl Stream<Item = Result<Bytes, LibraryError>> + Send + 'static + use<>, LibraryError> {
        self.inner.audit.viewing(&resource.viewing).await?;
        let vault = self.inner.vault.clone();
        let parts = cut(resource.parts, range);
        Ok(futures_util::stream::iter(parts).flat_map(move |part| segments(&vault, part)))
    }

    /// Asks the brake, before a key is opened: whoever opens too many clips has to wait, and the owner is told.
    async fn admit(&self, grant: &ReadGrant, what: &What) -> Result<(), LibraryError> {
        let admitted = self
            .inner
            .vault
            .admit(grant.credential(), grant.clip(), what.reach())
            .await;
        if let Err(VaultError::Braked { .. }) = &admitted {
            self.inner.audit.reads_braked(grant.owner(), grant.credential()).await?;
        }
        Ok(admitted?)
    }

    /// None for a clip that is not there or has no keys.
    async fn opened(&self, grant: &ReadGrant) -> Result<Option<Opened>, LibraryError> {
        let Some(row) = self.inner.catalog.clip(grant.owner(), grant.clip()).await? else {
            return Ok(None);
        };
        let grant_keys = self.inner.vault.owner_keys(grant.owner()).await?;
        if let Some(since) = grant_keys.outage_since() {
            self.inner.audit.keys_kept(grant.owner(), since).await?;
        }
        let Some(sealed) = Sealed::open(self, &grant_keys, &row)? else {
            return Ok(None);
        };
        let objects = self.inner.vault.objects(&sealed.keys, grant.link()).await?;
        Ok(Some(Opened {
            grant_keys,
            sealed,
            objects,
        }))
    }

    async fn rendition(
        &self,
        grant: &ReadGrant,
        opened: &Opened,
        name: &RenditionName,
    ) -> Result<Option<Resource>, LibraryError> {
        let Some((video, index)) = opened.rendition(name) else {
            return Ok(None);
        };
        let delivery = self.delivery(&opened.sealed.keys, name, video, index).await?;
        let fragments = opened.part(video, delivery.replaced);
        let header = Part::Memory(delivery.header.clone());
        let parts = vec![header, fragments];
        Ok(Some(opened.resource(grant, Form::Plain, &[video, index], parts)))
    }

    async fn media_playlist(
        &self,
        grant: &ReadGrant,
        opened: &Opened,
        name: &RenditionName,
    ) -> Result<Option<Resource>, LibraryError> {
        let Some((video, index)) = opened.rendition(name) else {
            return Ok(None);
        };
        let delivery = self.delivery(&opened.sealed.keys, name, video, index).await?;
        let parts = vec![Part::Memory(delivery.playlist.clone())];
        Ok(Some(opened.resource(
            grant,
            Form::MediaPlaylist,
            &[video, index],
            parts,
        )))
    }

    async fn main_playlist(&self, grant: &ReadGrant, opened: &Opened) -> Result<Option<Resource>, LibraryError> {
        let (mut variants, mut objects) = (Vec::new(), Vec::new());
        for view in renditions(&opened.objects) {
            let Ok(name) = view.name.parse::<RenditionName>() else {
                continue;
            };
            let Some((video, index)) = opened.rendition(&name) else {
                continue;
            };
            let delivery = self.delivery(&opened.sealed.keys, &name, video, index).await?;
            variants.push((name, delivery.stream_inf.clone()));
            objects.extend([video, index]);
        }
        if variants.is_empty() {
            return Ok(None);
        }
        let parts = vec![Part::Memory(main_playlist(&variants).into())];
        Ok(Some(opened.resource(grant, Form::MainPlaylist, &objects, parts)))
    }
}

/// How an object's bytes become a resource: part of its entity tag, and what it is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Original,
    Poster,
    Fragments,
    Plain,
    MainPlaylist,
    MediaPlaylist,
}

impl Form {
    /// Other bytes for the same objects have another text.
    fn tag(self) -> [u8; 2] {
        match self {
            Self::Original => *b"o\0",
            Self::Poster => *b"i\0",
            Self::Fragments => *b"f\0",
            Self::Plain => [b'p', PLAIN_VERSION],
            Self::MainPlaylist => [b'm', PLAYLIST_VERSION],
            Self::MediaPlaylist => [b'l', PLAYLIST_VERSION],
        }
    }

    fn media(self) -> MediaKind {
        match self {
            Self::Original => MediaKind::Original,
            Self::Poster => MediaKind::Poster,
            Self::Fragments | Self::Plain | Self::MainPlaylist | Self::MediaPlaylist => MediaKind::Video,
        }
    }
}

impl Opened {
    fn object(&self, kind: ObjectKind, name: &str) -> Option<&StoredObject> {
        let fits = |object: &&StoredObject| object.about.kind == kind as u8 && object.about.rendition == name;
        // The newest, should a repair have made another.
        self.objects.iter().filter(fits).max_by_key(|object| object.created_at)
    }

    /// The fragments and the index of a rendition.
    fn rendition(&self, name: &RenditionName) -> Option<(&StoredObject, &StoredObject)> {
        let video = self.object(ObjectKind::Video, name.as_str())?;
        let index = self.object(ObjectKind::Index, &format!("{}.index", name.as_str()))?;
        Some((video, index))
    }

    /// An object's bytes from `from` to its end.
    fn part(&self, object: &StoredObject, from: u64) -> Part {
        Part::Object {
            keys: Arc::clone(&self.sealed.keys),
            object: Box::new(object.clone()),
            from,
            length: object.about.length.saturating_sub(from),
        }
    }

    fn resource(&self, grant: &ReadGrant, form: Form, objects: &[&StoredObject], parts: Vec<Part>) -> Resource {
        let content_type = match form {
            Form::Original => self.original_type(),
            Form::Poster => "image/jpeg",
            Form::Fragments | Form::Plain => "video/mp4",
            Form::MainPlaylist | Form::MediaPlaylist => "application/vnd.apple.mpegurl",
        };
        Resource {
            length: parts.iter().map(Part::length).sum(),
            content_type,
            etag: self.etag(form, objects),
            last_modified: objects.iter().map(|object| object.created_at).max().unwrap_or(0),
            disposition: match form {
                Form::Original => Disposition::Attachment(self.filename(grant)),
                _ => Disposition::Inline,
            },
            parts,
            viewing: grant.viewing(form.media()),
            sha256: self.sealed.details.sha256().filter(|_| form == Form::Original),
        }
    }

    /// Made with the owner's keys, for the objects' own names are not for those who see requests.
    fn etag(&self, form: Form, objects: &[&StoredObject]) -> String {
        let mut value = form.tag().to_vec();
        for object in objects {
            value.extend_from_slice(object.id.as_bytes());
        }
        let digest = self.grant_keys.index("etag", &value);
        format!(
            "\"{}\"",
            BASE32_NOPAD.encode(&digest[..ETAG_BYTES]).to_ascii_lowercase()
        )
    }

    fn original_type(&self) -> &'static str {
        let told = self.sealed.details.filetype.as_deref().unwrap_or_default();
        let known = VIDEO_TYPES.into_iter().find(|known| told.eq_ignore_ascii_case(known));
        known.unwrap_or("application/octet-stream")
    }

    fn filename(&self, grant: &ReadGrant) -> String {
        let told = self.sealed.details.filename.as_deref().filter(|name| !name.is_empty());
        told.map_or_else(|| grant.clip().to_string(), str::to_owned)
    }
}

fn original(grant: &ReadGrant, opened: &Opened) -> Option<Resource> {
    let object = opened.object(ObjectKind::Video, "original")?;
    let parts = vec![opened.part(object, 0)];
    Some(opened.resource(grant, Form::Original, &[object], parts))
}

fn poster(grant: &ReadGrant, opened: &Opened) -> Option<Resource> {
    let object = opened.object(ObjectKind::Image, "poster")?;
    let parts = vec![opened.part(object, 0)];
    Some(opened.resource(grant, Form::Poster, &[object], parts))
}

fn fragments(grant: &ReadGrant, opened: &Opened, name: &RenditionName) -> Option<Resource> {
    let (video, _) = opened.rendition(name)?;
    let parts = vec![opened.part(video, 0)];
    Some(opened.resource(grant, Form::Fragments, &[video], parts))
}

/// What of the parts lies in a range of the whole.
fn cut(parts: Vec<Part>, range: ByteRange) -> Vec<Part> {
    let (mut start, mut kept) = (0_u64, Vec::new());
    for part in parts {
        let end = start + part.length();
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            kept.push(part.slice(from - start, to - from));
        }
        start = end;
    }
    kept
}

fn segments(vault: &Vault, part: Part) -> Segments {
    match part {
        Part::Memory(bytes) => futures_util::stream::once(std::future::ready(Ok(bytes))).boxed(),
        Part::Object {
            keys,
            object,
            from,
            length,
        } => read(vault, &keys, &object, from, length),
    }
}

fn read(vault: &Vault, keys: &ClipKeys, object: &StoredObject, from: u64, length: u64) -> Segments {
    let range = ByteRange {
        start: from,
        end: from + length,
    };
    vault.read(keys, object, range).map_err(LibraryError::from).boxed()
}
