//! Decides where a seat is, from `SECTION-ROW-NUMBER`.
//!
//! Version 1 takes every dash for a border, so a seat of the section `Balcony-Left` becomes a
//! dead letter. Version 2 (feature `dashes`) knows that only the last two are.

use gristmill_plugin::{Failure, reject};
use serde::{Deserialize, Serialize};

/// Where a seat is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub section: String,
    pub row: String,
    pub number: u32,
}

impl Place {
    /// Reads a seat number.
    ///
    /// # Errors
    ///
    /// Rejects under `seat-number` what has not these three parts.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let unreadable = || reject("seat-number", format!("{text:?} is no SECTION-ROW-NUMBER"));
        let (section, row, number) = split(text).ok_or_else(unreadable)?;
        let number = number.parse().map_err(|_| unreadable())?;
        Ok(Self { section: section.to_owned(), row: row.to_owned(), number })
    }
}

#[cfg(not(feature = "dashes"))]
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = text.split('-');
    let three = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(three)
}

#[cfg(feature = "dashes")]
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (rest, number) = text.rsplit_once('-')?;
    let (section, row) = rest.rsplit_once('-')?;
    Some((section, row, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_number_has_three_parts() {
        let place = Place::parse("A-12-7").unwrap();
        assert_eq!((place.section.as_str(), place.row.as_str(), place.number), ("A", "12", 7));
        for text in ["", "A", "A-12", "A-12-x"] {
            assert_eq!(Place::parse(text).unwrap_err().code(), Some("seat-number"), "{text}");
        }
    }

    #[test]
    fn a_section_may_contain_dashes_from_version_2_on() {
        let place = Place::parse("Balcony-Left-1-2");
        if cfg!(feature = "dashes") {
            assert_eq!(place.unwrap().section, "Balcony-Left");
        } else {
            assert_eq!(place.unwrap_err().code(), Some("seat-number"));
        }
    }
}
