//! What people type: trimmed, bounded, and without anything that does not show.

use super::AccessError;

/// A text of 1 to `max_chars` characters without control characters, its ends trimmed.
pub(super) fn line(field: &'static str, text: &str, max_chars: usize) -> Result<String, AccessError> {
    let text = text.trim();
    let invalid = |reason| AccessError::Invalid { field, reason };
    if text.is_empty() {
        return Err(invalid("must not be empty"));
    }
    if text.chars().count() > max_chars {
        return Err(invalid("is too long"));
    }
    if text.chars().any(is_invisible) {
        return Err(invalid("must be one line of plain text"));
    }
    Ok(text.to_owned())
}

/// As [`line`], where an empty text and none are the same.
pub(super) fn maybe_line(
    field: &'static str,
    text: Option<&str>,
    max_chars: usize,
) -> Result<Option<String>, AccessError> {
    text.filter(|text| !text.trim().is_empty())
        .map(|text| line(field, text, max_chars))
        .transpose()
}

/// An e-mail address: one `@` with something on both sides, no blanks, at most 254 characters (RFC 5321, 4.5.3.1.3 less the
/// angle brackets). Whether it exists only a message to it can tell.
pub(super) fn email(field: &'static str, text: &str) -> Result<String, AccessError> {
    let text = line(field, text, 254)?;
    let sides = text.split_once('@');
    let fine = sides.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    if !fine || text.contains(char::is_whitespace) {
        return Err(AccessError::Invalid {
            field,
            reason: "is not an e-mail address",
        });
    }
    Ok(text)
}

/// A vehicle identification number (ISO 3779: 17 characters) or a shorter chassis number as Japan's vehicles have
/// (`ZVW30-1234567`), in capitals.
pub(super) fn vin(field: &'static str, text: Option<&str>) -> Result<Option<String>, AccessError> {
    let Some(text) = maybe_line(field, text, 17)? else {
        return Ok(None);
    };
    let text = text.to_ascii_uppercase();
    let fine = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
    if text.len() < 5 || !text.chars().all(fine) {
        return Err(AccessError::Invalid {
            field,
            reason: "must be 5 to 17 letters, digits or dashes",
        });
    }
    Ok(Some(text))
}

/// Controls, and the marks that turn or hide text (Unicode's bidirectional controls, zero-width characters).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_trimmed_and_bounded_in_characters() {
        assert_eq!(line("label", "  Familienwagen  ", 13).unwrap(), "Familienwagen");
        assert_eq!(line("label", "家族の車", 4).unwrap(), "家族の車");
        for text in ["", "  ", "abcde", "a\nb", "a\u{202e}b", "a\u{0}"] {
            assert!(
                matches!(line("label", text, 4), Err(AccessError::Invalid { field: "label", .. })),
                "{text:?}"
            );
        }
    }

    #[test]
    fn an_address_has_two_sides() {
        assert_eq!(email("email", " driver@example.org ").unwrap(), "driver@example.org");
        for text in [
            "driver",
            "@example.org",
            "driver@",
            "a@b@c",
            "a b@example.org",
            &"x".repeat(300),
        ] {
            assert!(email("email", text).is_err(), "{text}");
        }
    }

    #[test]
    fn chassis_numbers_of_both_kinds_are_taken() {
        assert_eq!(
            vin("vin", Some("wvwzzz1jzxw000001")).unwrap().as_deref(),
            Some("WVWZZZ1JZXW000001")
        );
        assert_eq!(
            vin("vin", Some("ZVW30-1234567")).unwrap().as_deref(),
            Some("ZVW30-1234567")
        );
        assert_eq!(vin("vin", Some(" ")).unwrap(), None);
        assert_eq!(vin("vin", None).unwrap(), None);
        for text in ["1234", "WVWZZZ1JZXW0000011", "WVW ZZZ"] {
            assert!(vin("vin", Some(text)).is_err(), "{text}");
        }
    }
}
