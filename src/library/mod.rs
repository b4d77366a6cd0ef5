//! An owner's clips: lists, what can be watched and read of one, trash and erasure; and what a link shows.

mod error;
mod view;

pub use error::LibraryError;
pub use view::{
    ClipError, ClipPage, ClipView, MeView, RenditionView, SharedClip, SharedMedia, SharedMediaState, SharedView, Time,
};
