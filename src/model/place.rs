//! A place in a list that goes by a time and, within it, by an id: where its next page begins.

use std::fmt;
use std::str::FromStr;

use super::clock::UnixMs;

/// The last row of a page; its text, `time.id`, goes to the client and comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<Id> {
    /// The row's time.
    pub at: UnixMs,
    /// The row.
    pub id: Id,
}

/// The text is no place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place in a list")]
pub struct PlaceError;

impl<Id: fmt::Display> fmt::Display for Place<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at, self.id)
    }
}

impl<Id: FromStr> FromStr for Place<Id> {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (at, id) = text.split_once('.').ok_or(PlaceError)?;
        Ok(Self {
            at: at.parse().map_err(|_| PlaceError)?,
            id: id.parse().map_err(|_| PlaceError)?,
        })
    }
}

/// Cuts rows, of which one more than `limit` was asked for, down to a page; where the next page begins, if there is one.
pub fn cut_to_page<R, Id>(rows: &mut Vec<R>, limit: u32, place: impl FnOnce(&R) -> Place<Id>) -> Option<Place<Id>> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    rows.last().filter(|_| more).map(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventId;

    #[test]
    fn a_place_survives_its_text_and_other_texts_are_none() {
        let place = Place {
            at: 1_764_036_582_123,
            id: EventId::random(),
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in [
            "",
            ".",
            "1",
            "1.x",
            "x.aaaaaaaaaaaaaaaaaaaaaaaaaa",
            "99999999999999999999.aa",
        ] {
            assert_eq!(text.parse::<Place<EventId>>(), Err(PlaceError), "{text}");
        }
    }
}
