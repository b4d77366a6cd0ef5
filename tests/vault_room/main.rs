//! The vault room over SQLite and a store in memory that can fail and be changed behind the vault's back.

mod attacks;
mod brake;
mod compare;
mod faults;
mod gate;
mod inventory;
mod key_plane;
mod keys;
mod objects;
mod recover;
mod replay;
mod revisions;
mod rolling;
mod room;
mod rotation;
mod sweep;
mod uploads;
mod verify;

use room::{MINUTE, NOW, Room, holder, name, plain, store};
