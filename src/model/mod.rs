//! The words every room shares: ids, byte ranges, states, the clock. No I/O; imports no other room.

mod clock;
mod id;
pub mod index;
mod place;
mod range;
mod state;
mod trouble;

pub use clock::{Clock, FixedClock, SetClock, SystemClock, UnixMs, moment};
pub use id::{
    ClipId, CredentialId, DecoyId, DeliveryId, DeviceId, ErasureId, EventId, IdError, JobId, KekId, LinkId, NoticeId,
    ObjectId, OwnerId, PairingId, TenantId, UploadKeyId, WalkId,
};
pub use place::{Place, PlaceError, cut_to_page};
pub use range::{ByteRange, RangeError};
pub use state::{
    Bucket, ClipState, Concat, CredentialKind, DecoyKind, DeviceState, EventKind, Grade, JobKind, JobState,
    LinkMediaState, MediaKind, NOT_AS_DECLARED, ObjectKind, Severity, UnknownState, UploadState, Verdict, WalkStage,
    WishState,
};
pub use trouble::Trouble;
