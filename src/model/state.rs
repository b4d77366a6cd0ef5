//! The states of clips, uploads and jobs, as the catalogue and the HTTP face write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word in a row or a request that names no state known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no {what}")]
pub struct UnknownState {
    /// The kind of state that was expected.
    pub what: &'static str,
    /// What stood there instead.
    pub word: String,
}

/// The code of a clip whose bytes are others than were declared: it failed, is kept apart and never given for what was sent.
pub const NOT_AS_DECLARED: &str = "sha256_mismatch";

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every one there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word that the catalogue and the HTTP face use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownState;

            fn from_str(word: &str) -> Result<Self, UnknownState> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownState { what: stringify!($name), word: word.to_owned() }),
                }
            }
        }
    )*};
}

states! {
    /// Where a clip is on its way.
    ClipState {
        /// Its bytes are still arriving.
        Uploading = "uploading",
        /// Every byte is durable; a job waits.
        Queued = "queued",
        /// The job runs.
        Transcoding = "transcoding",
        /// It can be watched.
        Ready = "ready",
        /// No rendition could be made; the original is retrievable.
        Failed = "failed",
        /// In the trash until `erase_at`.
        Trashed = "trashed",
        /// There is no way back: its keys are destroyed or about to be, its objects are being removed.
        Erasing = "erasing",
    }

    /// A place of ours that strangers must not see into: a bucket, or its folder.
    Bucket {
        /// Sealed clips.
        Data = "data",
        /// Pieces of uploads.
        Staging = "staging",
        /// Wrapped keys.
        KeyPlane = "keyplane",
    }

    /// What strangers get of a bucket.
    Verdict {
        /// Nothing: every question was answered, and every answer was no.
        Private = "private",
        /// Something.
        Exposed = "exposed",
        /// It could not be told.
        Unknown = "unknown",
    }

    /// What a bucket's setting means.
    Grade {
        /// It keeps strangers out, or lets nothing out.
        Fine = "fine",
        /// Somebody should know of it; the bucket may be private all the same.
        Finding = "finding",
        /// The store does not tell it.
        NotCheckable = "not-checkable",
    }

    /// Where a walk of the rolling inventory through a bucket is.
    WalkStage {
        /// It looks at what lies there.
        Objects = "objects",
        /// It asks for what the rows name.
        Rows = "rows",
        /// It opens a sample.
        Sample = "sample",
        /// It is over.
        Done = "done",
    }

    /// Where an upload is.
    UploadState {
        /// Bytes are welcome.
        Open = "open",
        /// All bytes are durable; the finish job is queued in the same transaction.
        Complete = "complete",
        /// The original is sealed and read back; a receipt can be given.
        Finished = "finished",
        /// Ended by the owner: 410.
        Ended = "ended",
        /// Nothing came for too long: 410.
        Expired = "expired",
    }

    /// What an upload's bytes become.
    Concat {
        /// A clip.
        Whole = "whole",
        /// A part of a clip, when it is joined with others.
        Partial = "partial",
        /// A clip, made of partial uploads.
        Final = "final",
    }

    /// What a job does.
    JobKind {
        /// Seal pieces into an original, then make renditions.
        Finish = "finish",
        /// Make a link's own media.
        LinkMedia = "link_media",
        /// Destroy a clip's wrapped key and remove its objects.
        EraseClip = "erase_clip",
        /// Erase every clip of an owner, then the owner's keys.
        EraseOwner = "erase_owner",
    }

    /// Where a job is.
    JobState {
        /// Waits for a worker.
        Queued = "queued",
        /// Leased.
        Running = "running",
        /// Ended well.
        Done = "done",
        /// Given up after its last attempt.
        Failed = "failed",
    }

    /// What a read shows: one viewing is one event a kind.
    MediaKind {
        /// A rendition, by HLS or as MP4.
        Video = "video",
        /// The uploaded bytes.
        Original = "original",
        /// A still picture.
        Poster = "poster",
        /// The places.
        Track = "track",
    }

    /// What a credential lets its holder do.
    CredentialKind {
        /// An owner's API token.
        Api = "api",
        /// An owner's web session.
        Web = "web",
        /// A one-time sign-in link.
        SignIn = "sign_in",
        /// A viewing session of a signed link.
        Link = "link",
    }

    /// What a decoy looks like.
    DecoyKind {
        /// An owner's API token.
        OwnerToken = "owner-token",
        /// A one-time sign-in link.
        SignIn = "sign-in",
        /// A signed link, as an insurer gets it.
        Link = "link",
        /// A vehicle's device file.
        Device = "device",
        /// A pairing code.
        PairingCode = "pairing-code",
        /// A file of variables with an owner's API token in it.
        File = "file",
    }

    /// Whether a vehicle may speak.
    DeviceState {
        /// Its tokens are good.
        Active = "active",
        /// Its tokens are refused, for ever.
        Revoked = "revoked",
    }

    /// Where a link's own media are.
    LinkMediaState {
        /// The job waits or runs.
        Preparing = "preparing",
        /// They can be watched.
        Ready = "ready",
        /// They could not be made.
        Failed = "failed",
        /// The link has ended and they are gone.
        Removed = "removed",
    }

    /// What became of an owner's wish.
    WishState {
        /// The vehicle has not answered.
        Open = "open",
        /// What was wished for came.
        Come = "come",
        /// The vehicle does not hold it.
        Missing = "missing",
    }

    /// What happened, as an owner's activity tells it.
    EventKind {
        /// An owner was added.
        OwnerAdded = "owner_added",
        /// A one-time sign-in link was made.
        SignInMade = "sign_in_made",
        /// A sign-in link was redeemed.
        SignedIn = "signed_in",
        /// A session or token was given up.
        SignedOut = "signed_out",
        /// A pairing code was made.
        PairingCodeMade = "pairing_code_made",
        /// A pairing code died of wrong tries.
        PairingRefused = "pairing_refused",
        /// A vehicle was paired.
        DevicePaired = "device_paired",
        /// A vehicle got another name.
        DeviceRenamed = "device_renamed",
        /// A vehicle signs with another key.
        DeviceKeyChanged = "device_key_changed",
        /// A vehicle's key was used from two places at once.
        DeviceKeyCopied = "device_key_copied",
        /// A vehicle may no longer speak.
        DeviceRevoked = "device_revoked",
        /// An upload was begun.
        UploadCreated = "upload_created",
        /// Every byte of an upload is durable.
        UploadComplete = "upload_complete",
        /// The owner ended an upload.
        UploadEnded = "upload_ended",
        /// Nothing came to an upload for too long.
        UploadExpired = "upload_expired",
        /// A clip can be watched.
        ClipReady = "clip_ready",
        /// No rendition of a clip could be made.
        ClipFailed = "clip_failed",
        /// A clip went to the trash.
        ClipTrashed = "clip_trashed",
        /// A clip came back from the trash.
        ClipRestored = "clip_restored",
        /// The operator holds a clip, as for a dispute: it can be neither trashed nor erased.
        ClipHeld = "clip_held",
        /// A clip is held no longer.
        ClipReleased = "clip_released",
        /// A clip's keys and objects are gone.
        ClipErased = "clip_erased",
        /// The owner asked the vehicle for the rest of a clip.
        WishMade = "wish_made",
        /// The owner took that back.
        WishTakenBack = "wish_taken_back",
        /// The vehicle says which clip came for it.
        WishCome = "wish_come",
        /// The vehicle does not hold what was asked for.
        WishMissing = "wish_missing",
        /// The owner read a clip.
        ClipViewed = "clip_viewed",
        /// A link was made.
        LinkMade = "link_made",
        /// A link was redeemed.
        LinkOpened = "link_opened",
        /// The holder of a link read its media.
        LinkViewed = "link_viewed",
        /// A link was revoked.
        LinkRevoked = "link_revoked",
        /// The holder of a link came when it was over.
        LinkRefused = "link_refused",
        /// Keys in memory were used after their time, because the root key's provider did not answer.
        KeysKept = "keys_kept",
        /// A session or token opened very many clips, and had to wait.
        ReadsBraked = "reads_braked",
    }

    /// Who is to be told of something, and how soon.
    Severity {
        /// Somebody is woken.
        Page = "page",
        /// Somebody looks within the day.
        Warning = "warning",
        /// For whoever reads along.
        Info = "info",
    }
}

/// Kind byte of a sealed object (keys/FORMAT.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// The original or a rendition.
    Video = 1,
    /// A poster or storyboard.
    Image = 2,
    /// A telemetry track.
    Track = 3,
    /// The index of a rendition.
    Index = 4,
    /// Anything else.
    Other = 5,
    /// A piece of an upload, in the staging location.
    Piece = 6,
}

impl JobKind {
    /// Whether it destroys what its owner asked to be destroyed.
    pub const fn is_erasure(self) -> bool {
        matches!(self, Self::EraseClip | Self::EraseOwner)
    }
}

impl TryFrom<u8> for ObjectKind {
    type Error = UnknownState;

    fn try_from(byte: u8) -> Result<Self, UnknownState> {
        Ok(match byte {
            1 => Self::Video,
            2 => Self::Image,
            3 => Self::Track,
            4 => Self::Index,
            5 => Self::Other,
            6 => Self::Piece,
            _ => {
                return Err(UnknownState {
                    what: "ObjectKind",
                    word: byte.to_string(),
                });
            }
        })
    }
}
