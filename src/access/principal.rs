//! Who asks: an owner, a vehicle, or the holder of a link. Only this room makes them.

use crate::model::{ClipId, CredentialId, DeviceId, LinkId, OwnerId, UnixMs};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// An owner, by API token or web session.
    Owner(OwnerSession),
    /// A vehicle, by a token it signed.
    Device(DeviceSession),
    /// The holder of a link that was redeemed.
    Link(LinkSession),
}

/// An owner who signed in, or whose API token was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerSession {
    owner: OwnerId,
    credential: CredentialId,
    web: bool,
    expires_at: Option<UnixMs>,
    renewed: bool,
}

impl OwnerSession {
    pub(super) fn new(
        owner: OwnerId,
        credential: CredentialId,
        web: bool,
        expires_at: Option<UnixMs>,
        renewed: bool,
    ) -> Self {
        Self {
            owner,
            credential,
            web,
            expires_at,
            renewed,
        }
    }

    /// Who it is.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// The session or token shown.
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// Whether it is a web session; else an API token.
    pub fn is_web(&self) -> bool {
        self.web
    }

    /// When a web session ends; an API token does not end by itself.
    pub fn expires_at(&self) -> Option<UnixMs> {
        self.expires_at
    }

    /// Whether this request moved the session's end: a cookie wants to be set again.
    pub fn is_renewed(&self) -> bool {
        self.renewed
    }
}

/// A vehicle that showed a token signed by its own key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSession {
    owner: OwnerId,
    device: DeviceId,
    expires_at: UnixMs,
}

impl DeviceSession {
    pub(super) fn new(owner: OwnerId, device: DeviceId, expires_at: UnixMs) -> Self {
        Self {
            owner,
            device,
            expires_at,
        }
    }

    /// Whose vehicle it is.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// Which vehicle it is.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// When the token ends, by the vehicle's clock.
    pub fn expires_at(&self) -> UnixMs {
        self.expires_at
    }
}

/// The holder of a link, after it was redeemed. It stands for one span of one clip and dies with the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSession {
    owner: OwnerId,
    clip: ClipId,
    link: LinkId,
    credential: CredentialId,
    expires_at: UnixMs,
    span: LinkSpan,
}

/// What a link shows of its clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkSpan {
    /// Begin, from the clip's begin.
    pub from_ms: u64,
    /// End, from the clip's begin.
    pub to_ms: u64,
    /// Whether there is sound.
    pub audio: bool,
    /// Whether there is a track.
    pub location: bool,
    /// Whether the page offers a download.
    pub download: bool,
}

impl LinkSession {
    pub(super) fn new(
        owner: OwnerId,
        clip: ClipId,
        link: LinkId,
        credential: CredentialId,
        expires_at: UnixMs,
        span: LinkSpan,
    ) -> Self {
        Self {
            owner,
            clip,
            link,
            credential,
            expires_at,
            span,
        }
    }

    /// Who made the link.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// The one clip it shows.
    pub fn clip(&self) -> ClipId {
        self.clip
    }

    /// The link.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// The session's own id: a second opening of the same link has another.
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// When link and session end.
    pub fn expires_at(&self) -> UnixMs {
        self.expires_at
    }

    /// What the link shows.
    pub fn span(&self) -> LinkSpan {
        self.span
    }
}
