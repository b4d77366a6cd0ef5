//! A vault in memory with a library: owners, clips that were published as the pipeline does it, links.

use std::sync::Arc;
use std::time::Duration;

use dashvault::access::{Access, LinkSession, LinkSpan, LinkWish, OwnerSession, Principal, ReadGrant};
use dashvault::audit::Audit;
use dashvault::catalog::{Catalog, ClipPublication, Config, NewClip, ObjectRow, Tx};
use dashvault::library::{Library, Resource, What};
use dashvault::model::{
    ByteRange, ClipId, ClipState, DeviceId, FixedClock, LinkId, LinkMediaState, ObjectId, ObjectKind, UnixMs,
};
use dashvault::store::{self, Store};
use dashvault::vault::{
    self, ClipDetails, ClipKeys, ClipSummary, Holder, Manifest, ObjectAbout, OwnerKeys, SealedObject, Vault,
};
use dashvault_keys::provider::{Keyring, ProviderConfig};
use dashvault_test_support::Scratch;
use futures_util::TryStreamExt as _;

/// When the tests' clock stands.
pub const NOW: UnixMs = 1_790_000_000_000;
/// Of a clip that no one told to be held, failed or unfinished.
pub const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub struct House {
    pub catalog: Catalog,
    pub vault: Vault,
    pub access: Access,
    pub library: Library,
    pub clock: Arc<FixedClock>,
    _scratch: Scratch,
}

/// The objects of a clip of [`House::many`].
const OBJECTS: [(ObjectKind, &str); 6] = [
    (ObjectKind::Video, "original"),
    (ObjectKind::Video, "720p"),
    (ObjectKind::Index, "720p.index"),
    (ObjectKind::Video, "360p"),
    (ObjectKind::Index, "360p.index"),
    (ObjectKind::Image, "poster"),
];

/// What a clip is to be.
#[derive(Clone, Default)]
pub struct Wish {
    pub received_at: UnixMs,
    pub recorded_at: Option<UnixMs>,
    pub device: Option<DeviceId>,
    pub filename: Option<String>,
    pub filetype: Option<String>,
    /// Why it failed, if it does.
    pub error: Option<&'static str>,
}

/// An object of a clip or a link.
pub struct Thing<'a> {
    pub kind: ObjectKind,
    pub name: &'a str,
    pub bytes: &'a [u8],
}

impl House {
    pub async fn new() -> Self {
        let scratch = Scratch::new("library");
        let catalog = Catalog::connect(&Config::Sqlite {
            dir: scratch.path().join("catalogue"),
        })
        .await
        .expect("a new catalogue");
        let keyring = scratch.path().join("keyring");
        Keyring::create(&keyring).expect("a new keyring");
        let store = Store::open(&store::Config::Memory).await.expect("a store in memory");
        let clock = Arc::new(FixedClock::at(NOW));
        let config = vault::Config {
            root: ProviderConfig::keyring(keyring),
        };
        let vault = Vault::open(&config, catalog.clone(), store, clock.clone()).await;
        let vault = vault.unwrap_or_else(|error| panic!("no vault: {error}"));
        let audit = Audit::new(vault.clone(), catalog.clone());
        let access = Access::new(
            dashvault::access::Config::default(),
            vault.clone(),
            catalog.clone(),
            audit.clone(),
            clock.clone(),
        );
        let library = Library::new(vault.clone(), catalog.clone(), audit);
        Self {
            catalog,
            vault,
            access,
            library,
            clock,
            _scratch: scratch,
        }
    }

    /// Another process beside this one: its own memory, the same rows.
    pub fn another_library(&self) -> Library {
        let audit = Audit::new(self.vault.clone(), self.catalog.clone());
        Library::new(self.vault.clone(), self.catalog.clone(), audit)
    }

    pub async fn owner(&self, email: &str) -> OwnerSession {
        let added = self.access.add_owner(email, None).await.expect("a new owner");
        match self.access.authenticate(&added.token).await.expect("the token is good") {
            Principal::Owner(session) => session,
            other => panic!("the owner's token stands for {other:?}"),
        }
    }

    /// A clip whose bytes still arrive.
    pub async fn begun(&self, owner: &OwnerSession, wish: &Wish) -> ClipId {
        let id = ClipId::random();
        let mut tx = self.catalog.begin().await.unwrap();
        tx.insert_clip(&self.new_clip(owner, id, wish)).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// A clip that can be watched, or one that failed.
    pub async fn clip(&self, owner: &OwnerSession, wish: &Wish, state: ClipState, things: &[Thing<'_>]) -> ClipId {
        let id = self.begun(owner, wish).await;
        let owner_keys = self.vault.owner_keys(owner.owner()).await.unwrap();
        let keys = self.vault.make_clip_keys(&owner_keys, id);
        let objects = self.seal(&keys, things).await;
        let mut tx = self.catalog.begin().await.unwrap();
        tx.set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, NOW)
            .await
            .unwrap();
        self.publish(&mut tx, &keys, &objects, None).await;
        self.publish_row(&mut tx, (&owner_keys, &keys), wish, state).await;
        tx.commit().await.unwrap();
        id
    }

    /// Many ready clips, each with the rows of an original, a poster and two renditions, recorded a minute apart.
    pub async fn many(&self, owner: &OwnerSession, count: i64) {
        let owner_keys = self.vault.owner_keys(owner.owner()).await.unwrap();
        let minutes: Vec<_> = (0..count).collect();
        for some in minutes.chunks(500) {
            let mut tx = self.catalog.begin().await.unwrap();
            for minute in some {
                let wish = Wish {
                    received_at: NOW - minute,
                    recorded_at: Some(NOW - minute * 60_000),
                    filename: Some(format!("GH{minute:06}.MP4")),
                    ..Wish::default()
                };
                let keys = self.vault.make_clip_keys(&owner_keys, ClipId::random());
                tx.insert_clip(&self.new_clip(owner, keys.clip(), &wish)).await.unwrap();
                let (from, to) = (ClipState::Uploading, ClipState::Queued);
                tx.set_clip_state(keys.clip(), &[from], to, NOW).await.unwrap();
                for (kind, name) in OBJECTS {
                    let row = self.object_row(&keys, kind, name);
                    tx.insert_object(self.vault.tenant(), &row).await.unwrap();
                }
                self.publish_row(&mut tx, (&owner_keys, &keys), &wish, ClipState::Ready)
                    .await;
            }
            tx.commit().await.unwrap();
        }
    }

    /// The row of an object whose bytes nobody reads.
    fn object_row(&self, keys: &ClipKeys, kind: ObjectKind, name: &str) -> ObjectRow {
        let id = ObjectId::random();
        let about = ObjectAbout {
            kind: kind as u8,
            rendition: name.to_owned(),
            length: 1_000_000,
            sha256: SHA256.to_owned(),
            height: Some(720),
            codec: Some("avc1.64000c".to_owned()),
            ..ObjectAbout::default()
        };
        ObjectRow {
            id,
            clip: keys.clip(),
            link: None,
            suite: 1,
            log2_segment: 18,
            padded_size: 1 << 20,
            size_bytes: 1 << 20,
            commitment: [3; 32],
            sealed_about: keys.seal(id.as_bytes(), &about),
            created_at: NOW,
        }
    }

    fn new_clip(&self, owner: &OwnerSession, id: ClipId, wish: &Wish) -> NewClip {
        NewClip {
            id,
            tenant: self.vault.tenant(),
            owner: owner.owner(),
            device: wish.device,
            created_at: wish.received_at,
        }
    }

    async fn publish_row(&self, tx: &mut Tx, keys: (&OwnerKeys, &ClipKeys), wish: &Wish, state: ClipState) {
        let (owner_keys, keys) = keys;
        let id = keys.clip();
        let summary = ClipSummary {
            recorded_at: wish.recorded_at,
            duration_ms: Some(5_000),
            device: wish.device,
            bytes: 1_234,
            has_audio: true,
            kind: Some("event".to_owned()),
            ..ClipSummary::default()
        };
        let details = ClipDetails {
            sha256: SHA256.to_owned(),
            bytes: 1_234,
            filename: wish.filename.clone(),
            filetype: wish.filetype.clone(),
            camera: Some("front".to_owned()),
            recorded_at: wish.recorded_at,
            received_at: wish.received_at,
            error_detail: (state == ClipState::Failed).then(|| "it has no picture".to_owned()),
            ..ClipDetails::default()
        };
        let manifest = Manifest {
            recorded_at: wish.recorded_at,
            received_at: Some(wish.received_at),
            duration_ms: Some(5_000),
            ..Manifest::default()
        };
        let publication = ClipPublication {
            id,
            state,
            incomplete: false,
            error_code: (state == ClipState::Failed).then_some(wish.error.unwrap_or("no_video")),
            kek_version: owner_keys.kek_version().into(),
            envelope: &self.vault.envelope(owner_keys, keys, 1, &manifest).unwrap(),
            sealed_summary: &keys.seal(id.as_bytes(), &summary),
            sealed_details: &keys.seal(id.as_bytes(), &details),
            sha256_index: None,
        };
        assert!(tx.publish_clip(&publication, NOW).await.unwrap());
    }

    async fn seal(&self, keys: &ClipKeys, things: &[Thing<'_>]) -> Vec<SealedObject> {
        let holder = Holder {
            id: [7; 16],
            lease: Duration::from_secs(60),
        };
        let mut objects = Vec::new();
        for thing in things {
            let mut writer = self
                .vault
                .create_object(keys, thing.kind, thing.name, holder)
                .await
                .unwrap();
            writer.write(thing.bytes).await.unwrap();
            objects.push(writer.finish().await.unwrap());
        }
        objects
    }

    async fn publish(&self, tx: &mut Tx, keys: &ClipKeys, objects: &[SealedObject], link: Option<LinkId>) {
        for object in objects {
            let about = ObjectAbout {
                width: Some(192),
                height: Some(if object.rendition.starts_with('7') { 720 } else { 360 }),
                codec: Some("avc1.64000c".to_owned()),
                duration_ms: Some(5_000),
                ..object.about()
            };
            self.vault.publish(tx, keys, object, &about, link).await.unwrap();
        }
    }

    /// A link that was made, whose media stand, and that was opened.
    pub async fn link(&self, owner: &OwnerSession, clip: ClipId, things: &[Thing<'_>]) -> LinkSession {
        let wish = LinkWish {
            recipient: "an insurer".to_owned(),
            expires_in_s: 3_600,
            span: LinkSpan {
                from_ms: 1_000,
                to_ms: 4_000,
                audio: false,
                location: false,
                download: false,
            },
            max_opens: 3,
        };
        let made = self.access.make_link(owner, clip, wish).await.expect("a link");
        if !things.is_empty() {
            let keys = self.vault.read_clip_keys(owner.owner(), clip).await.unwrap().unwrap();
            let objects = self.seal(&keys, things).await;
            let mut tx = self.catalog.begin().await.unwrap();
            self.publish(&mut tx, &keys, &objects, Some(made.id)).await;
            let (from, to) = (LinkMediaState::Preparing, LinkMediaState::Ready);
            assert!(tx.set_link_media(made.id, from, to, None).await.unwrap());
            tx.commit().await.unwrap();
        }
        self.access.redeem_link(&made.token).await.expect("it opens").session
    }

    pub async fn grant(&self, owner: &OwnerSession, clip: ClipId) -> ReadGrant {
        let grant = self.access.grant_owner(owner, clip).await.unwrap();
        grant.expect("the owner's own clip")
    }

    pub async fn open(&self, grant: &ReadGrant, what: &What) -> Option<Resource> {
        self.library.open(grant, what).await.unwrap()
    }

    /// The bytes of a range, or of the whole.
    pub async fn read(&self, grant: &ReadGrant, what: &What, range: Option<ByteRange>) -> Vec<u8> {
        let resource = self.open(grant, what).await.expect("it is there");
        let range = range.unwrap_or(ByteRange::whole(resource.length()));
        let stream = self.library.stream(resource, range).await.unwrap();
        let chunks: Vec<_> = stream.try_collect().await.unwrap();
        chunks.concat()
    }
}
