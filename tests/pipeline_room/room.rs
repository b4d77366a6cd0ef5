//! A vault in memory with one owner, and the ways to look into every corner of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dashvault::audit::Audit;
use dashvault::catalog::{
    self, Catalog, MirrorSubject, NewClip, NewJob, NewUpload, PieceRow, UploadKeyRow, UploadStep, UploadTraits,
};
use dashvault::media::Transcoder;
use dashvault::model::{
    ByteRange, ClipId, ClipState, Clock, Concat, EventKind, FixedClock, JobId, JobKind, JobState, LinkId, ObjectId,
    OwnerId,
};
use dashvault::pipeline::{Config, Pipeline};
use dashvault::store::{Backend, Store};
use dashvault::vault::{self, ClipKeys, KeyPlaneSwept, OwnerProfile, StoredObject, UploadMetadata, Vault};
use dashvault_keys::provider::{Keyring, ProviderConfig};
use dashvault_test_support::Scratch;
use futures_util::TryStreamExt as _;
use object_store::ObjectStore as _;
use object_store::memory::InMemory;

use crate::faults::{Faults, FaultyStore};

/// Later than the clocks of intents that count from 0.
const START_MS: i64 = 1_700_000_000_000;
/// Jobs of a dead process are taken over after this; no test waits that long, they move the clock.
pub const LEASE_MS: i64 = 15_000;

/// The vault of one test. Its parts survive the death of the pipeline.
pub struct Room {
    pub catalog: Catalog,
    pub vault: Vault,
    pub audit: Audit,
    pub clock: Arc<FixedClock>,
    pub faults: Arc<Faults>,
    pub owner: OwnerId,
    data: Arc<InMemory>,
    staging: Arc<InMemory>,
    /// Wrapped keys' mirror and tombstones.
    pub keyplane: Arc<InMemory>,
    keyring: PathBuf,
    scratch: Scratch,
}

impl Room {
    pub async fn new() -> Self {
        let scratch = Scratch::new("pipeline");
        let dir = scratch.path().join("catalogue");
        Self::over(scratch, catalog::Config::Sqlite { dir }).await
    }

    /// On PostgreSQL, for what SQLite's one lock hides.
    pub async fn on_postgres(url: String) -> Self {
        Self::over(Scratch::new("pipeline"), catalog::Config::Postgres { url }).await
    }

    async fn over(scratch: Scratch, config: catalog::Config) -> Self {
        let keyring = scratch.path().join("keyring");
        Keyring::create(&keyring).expect("a keyring");
        let catalog = Catalog::connect(&config).await.expect("a catalogue");
        let [data, staging, keyplane] = std::array::from_fn(|_| Arc::new(InMemory::new()));
        let faults = Arc::new(Faults::default());
        let clock = Arc::new(FixedClock::at(START_MS));
        let vault = open_vault(&keyring, &catalog, [&data, &staging, &keyplane], &faults, &clock).await;
        let owner = OwnerId::random();
        let profile = OwnerProfile {
            email: "owner@example.org".to_owned(),
            name: None,
        };
        let made = vault.make_owner(owner, &profile).await.expect("an owner");
        let mut tx = catalog.begin().await.unwrap();
        vault.record_owner(&mut tx, &made).await.expect("an owner");
        tx.commit().await.unwrap();
        let audit = Audit::new(vault.clone(), catalog.clone());
        Self {
            catalog,
            vault,
            audit,
            clock,
            faults,
            owner,
            data,
            staging,
            keyplane,
            keyring,
            scratch,
        }
    }

    /// Adds another owner, whose uploads are received from here on; the one before.
    pub async fn change_owner(&mut self, email: &str) -> OwnerId {
        let profile = OwnerProfile {
            email: email.to_owned(),
            name: None,
        };
        let owner = OwnerId::random();
        let made = self.vault.make_owner(owner, &profile).await.expect("an owner");
        let mut tx = self.catalog.begin().await.unwrap();
        self.vault.record_owner(&mut tx, &made).await.expect("an owner");
        tx.commit().await.unwrap();
        std::mem::replace(&mut self.owner, owner)
    }

    /// A pipeline of a process of its own: nothing in memory is shared with an earlier one.
    pub async fn pipeline(&self, transcoder: Arc<dyn Transcoder>) -> Pipeline {
        let vault = open_vault(
            &self.keyring,
            &self.catalog,
            [&self.data, &self.staging, &self.keyplane],
            &self.faults,
            &self.clock,
        )
        .await;
        let config = Config {
            transcodes: 1,
            lease: Duration::from_millis(LEASE_MS.unsigned_abs()),
            poll: Duration::from_millis(10),
            sweep: Duration::from_millis(50),
            drain: Duration::from_millis(50),
        };
        let audit = Audit::new(vault.clone(), self.catalog.clone());
        Pipeline::new(
            config,
            transcoder,
            vault,
            self.catalog.clone(),
            audit,
            self.clock.clone(),
        )
    }

    /// Receives a whole upload in pieces, as ingest does, with its finish job queued.
    pub async fn receive(&self, bytes: &[u8], metadata: &UploadMetadata) -> ClipId {
        self.receive_pieces(bytes, metadata, 70_000).await
    }

    pub async fn receive_pieces(&self, bytes: &[u8], metadata: &UploadMetadata, piece_bytes: usize) -> ClipId {
        let id = self.receive_open(bytes, metadata, piece_bytes).await;
        let now = self.clock.now_ms();
        let mut tx = self.catalog.begin().await.unwrap();
        assert!(tx.complete_upload(id, now).await.unwrap().is_some());
        let from = [ClipState::Uploading];
        assert!(tx.set_clip_state(id, &from, ClipState::Queued, now).await.unwrap());
        tx.queue_job(&self.job(JobKind::Finish, id, None)).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// Receives the bytes in pieces and leaves the upload open.
    pub async fn receive_open(&self, bytes: &[u8], metadata: &UploadMetadata, piece_bytes: usize) -> ClipId {
        self.receive_run(bytes, metadata, piece_bytes, Concat::Whole).await
    }

    /// Receives a partial upload that nobody joins.
    pub async fn receive_part(&self, bytes: &[u8]) -> ClipId {
        let about = UploadMetadata::default();
        self.receive_run(bytes, &about, 70_000, Concat::Partial).await
    }

    /// Receives partial uploads and makes one of them, with its finish job queued; the upload and its parts.
    pub async fn receive_parts(&self, parts: &[&[u8]], metadata: &UploadMetadata) -> (ClipId, Vec<ClipId>) {
        let mut ids = Vec::new();
        for part in parts {
            ids.push(self.receive_part(part).await);
        }
        let whole = parts.concat();
        let id = self.receive_run(&[], metadata, 1, Concat::Final).await;
        let (now, length) = (self.clock.now_ms(), whole.len() as u64);
        let mut tx = self.catalog.begin().await.unwrap();
        for part in &ids {
            assert!(tx.join_part(*part, self.owner, None, now).await.unwrap().is_some());
        }
        tx.insert_parts(id, &ids).await.unwrap();
        assert!(tx.set_upload_length(id, 0, length, now).await.unwrap());
        let step = UploadStep {
            id,
            epoch: 0,
            from: 0,
            to: length,
            expires_at: now + 1_000_000,
        };
        assert!(tx.advance_upload(&step, now).await.unwrap());
        assert!(tx.complete_upload(id, now).await.unwrap().is_some());
        let from = [ClipState::Uploading];
        assert!(tx.set_clip_state(id, &from, ClipState::Queued, now).await.unwrap());
        tx.queue_job(&self.job(JobKind::Finish, id, None)).await.unwrap();
        tx.commit().await.unwrap();
        (id, ids)
    }

    /// The name of a piece to come.
    pub async fn piece_name(&self, upload: ClipId, lease_until: i64) -> ObjectId {
        let names = self.vault.name_pieces(upload, 1, lease_until);
        let mut tx = self.catalog.begin().await.unwrap();
        tx.insert_intent(self.vault.tenant(), &names[0], self.clock.now_ms())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        names[0].object
    }

    async fn receive_run(&self, bytes: &[u8], metadata: &UploadMetadata, piece_bytes: usize, concat: Concat) -> ClipId {
        let (id, tenant, now) = (ClipId::random(), self.vault.tenant(), self.clock.now_ms());
        let key = self.vault.make_upload_key(id).unwrap();
        let mut tx = self.catalog.begin().await.unwrap();
        tx.insert_upload(&NewUpload {
            id,
            tenant,
            owner: self.owner,
            device: None,
            length: (concat != Concat::Final).then_some(bytes.len() as u64),
            sealed_metadata: self.vault.seal_metadata(id, metadata).unwrap(),
            expires_at: now + 1_000_000,
            created_at: now,
            traits: UploadTraits {
                concat,
                ..UploadTraits::default()
            },
        })
        .await
        .unwrap();
        if concat != Concat::Partial {
            tx.insert_clip(&NewClip {
                id,
                tenant,
                owner: self.owner,
                device: None,
                created_at: now,
            })
            .await
            .unwrap();
        }
        tx.insert_upload_key(&UploadKeyRow {
            id: key.id,
            upload: id,
            sealed: key.sealed.clone(),
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let mut start = 0;
        for plain in bytes.chunks(piece_bytes) {
            let piece = self.piece_name(id, now + LEASE_MS).await;
            let mut writer = self.vault.begin_piece(&key, self.owner, piece, start).await.unwrap();
            writer.write(plain).await.unwrap();
            let commitment = writer.finish().await.unwrap();
            let mut tx = self.catalog.begin().await.unwrap();
            tx.insert_piece(
                &PieceRow {
                    id: piece,
                    upload: id,
                    key: key.id,
                    start,
                    length: plain.len() as u64,
                    commitment,
                },
                now,
            )
            .await
            .unwrap();
            assert!(tx.remove_intent(piece).await.unwrap());
            let to = start + plain.len() as u64;
            let step = UploadStep {
                id,
                epoch: self.catalog.upload(id).await.unwrap().unwrap().epoch,
                from: start,
                to,
                expires_at: now + 1_000_000,
            };
            assert!(tx.advance_upload(&step, now).await.unwrap());
            tx.commit().await.unwrap();
            start = to;
        }
        id
    }

    /// A job that is due now.
    pub fn job(&self, kind: JobKind, clip: ClipId, link: Option<LinkId>) -> NewJob {
        NewJob {
            id: JobId::random(),
            tenant: self.vault.tenant(),
            kind,
            owner: self.owner,
            clip: Some(clip),
            link,
            run_after: self.clock.now_ms(),
        }
    }

    pub async fn queue(&self, job: &NewJob) {
        let mut tx = self.catalog.begin().await.unwrap();
        tx.queue_job(job).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Works until every job has ended, moving the clock past leases and waits; then past every lease, and sweeps.
    pub async fn settle(&self, pipeline: &Pipeline) {
        for _ in 0..200 {
            while pipeline.work_once().await.expect("the queue answers") {}
            let open = self.catalog.count_jobs(JobState::Queued).await.unwrap()
                + self.catalog.count_jobs(JobState::Running).await.unwrap();
            if open == 0 {
                self.clock.advance(LEASE_MS + 1);
                return pipeline.sweep().await.expect("the store answers");
            }
            self.clock.advance(LEASE_MS + 1);
        }
        panic!("the jobs do not come to an end");
    }

    pub async fn clip(&self, clip: ClipId) -> catalog::ClipRow {
        self.catalog.clip_any(clip).await.unwrap().expect("the clip's row")
    }

    pub async fn keys(&self, clip: ClipId) -> ClipKeys {
        let keys = self.vault.read_clip_keys(self.owner, clip).await.unwrap();
        keys.expect("the clip's keys")
    }

    /// The published objects of a clip or a link.
    pub async fn objects(&self, clip: ClipId, link: Option<LinkId>) -> Vec<StoredObject> {
        self.vault.objects(&self.keys(clip).await, link).await.unwrap()
    }

    /// The names of the published objects of a clip or a link, sorted.
    pub async fn names(&self, clip: ClipId, link: Option<LinkId>) -> Vec<String> {
        let objects = self.objects(clip, link).await;
        let mut names: Vec<_> = objects.into_iter().map(|object| object.about.rendition).collect();
        names.sort();
        names
    }

    /// The plaintext of a published object.
    pub async fn read(&self, clip: ClipId, link: Option<LinkId>, name: &str) -> Vec<u8> {
        let keys = self.keys(clip).await;
        let objects = self.vault.objects(&keys, link).await.unwrap();
        let object = objects.iter().find(|object| object.about.rendition == name);
        let object = object.unwrap_or_else(|| panic!("no object {name}"));
        let stream = self.vault.read(&keys, object, ByteRange::whole(object.about.length));
        let parts: Vec<_> = stream.try_collect().await.expect("it opens");
        parts.concat()
    }

    /// How many events of a kind an owner sees.
    pub async fn events(&self, kind: EventKind) -> usize {
        let activity = self.audit.activity(self.owner, None, 100).await.unwrap();
        activity.events.iter().filter(|event| event.kind == kind).count()
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        self.scratch.path().join("catalogue/vault.db")
    }

    /// Bytes in the database's log.
    pub fn log_bytes(&self) -> u64 {
        let log = self.database().with_extension("db-wal");
        std::fs::metadata(log).expect("a write-ahead log").len()
    }

    /// How many objects lie in the data bucket and in the staging location.
    pub async fn stored(&self) -> (usize, usize) {
        (names(&self.data).await.len(), names(&self.staging).await.len())
    }

    /// The names of what lies in the key plane.
    pub async fn key_plane(&self) -> BTreeSet<String> {
        names(&self.keyplane).await
    }

    /// The data bucket holds exactly what rows name, staging nothing, and nothing is being written.
    pub async fn assert_tidy(&self, clips: &[ClipId]) {
        let mut rows = BTreeSet::new();
        for clip in clips {
            let ids = self.catalog.all_objects_of(*clip).await.unwrap();
            rows.extend(ids.iter().map(ToString::to_string));
            assert_eq!(
                self.catalog.pieces_of(*clip, None, 10).await.unwrap(),
                [],
                "pieces are left"
            );
            assert_eq!(
                self.catalog.upload_keys_of(*clip).await.unwrap(),
                [],
                "upload keys are left"
            );
        }
        assert_eq!(names(&self.data).await, rows, "the data bucket and the rows differ");
        assert_eq!(names(&self.staging).await, BTreeSet::new(), "staging is not empty");
        let intents = self.catalog.ended_intents(i64::MAX, 10).await.unwrap();
        let swept = self.catalog.swept_intents(None, 10).await.unwrap();
        assert_eq!((intents, swept), (vec![], vec![]), "intents are left");
        assert_eq!(self.faults.half_uploads(), 0, "uploads in parts are left");
        self.assert_key_plane(clips).await;
    }

    /// The key plane holds what the catalogue says and nothing else, and the newest envelope of every clip that has one.
    async fn assert_key_plane(&self, clips: &[ClipId]) {
        while self.vault.sweep_key_plane().await.unwrap() != KeyPlaneSwept::default() {}
        let names = names(&self.keyplane).await;
        let ids: Vec<_> = names.iter().map(|name| name.parse().expect("an id")).collect();
        let known = self.catalog.known_mirrors(&ids).await.unwrap();
        assert_eq!(known.len(), ids.len(), "the key plane holds what no row names");
        for clip in clips {
            let row = self.catalog.clip_any(*clip).await.unwrap();
            let newest = self
                .catalog
                .newest_mirror(MirrorSubject::Envelope, clip.as_bytes())
                .await
                .unwrap();
            let has_envelope = row.is_some_and(|row| row.envelope.is_some());
            assert_eq!(has_envelope, newest.is_some(), "{clip}: row and mirror differ");
            if let Some(newest) = newest {
                assert!(
                    names.contains(&newest.object.to_string()),
                    "{clip}: its mirror is not there"
                );
            }
        }
    }
}

async fn names(store: &InMemory) -> BTreeSet<String> {
    let listing = store
        .list(None)
        .map_ok(|meta| meta.location.filename().unwrap_or_default().to_owned());
    listing.try_collect().await.unwrap()
}

async fn open_vault(
    keyring: &std::path::Path,
    catalog: &Catalog,
    stores: [&Arc<InMemory>; 3],
    faults: &Arc<Faults>,
    clock: &Arc<FixedClock>,
) -> Vault {
    let at = |inner: &Arc<InMemory>| Backend::with_multipart(Arc::new(FaultyStore::new(inner.clone(), faults.clone())));
    let [data, staging, keyplane] = stores.map(at);
    let store = Store::over(data, staging, keyplane);
    let config = vault::Config {
        root: ProviderConfig::keyring(keyring),
    };
    Vault::open(&config, catalog.clone(), store, clock.clone())
        .await
        .expect("the vault opens")
}
