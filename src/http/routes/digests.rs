//! Digest fields (RFC 9530): the sum that a body must have, the sum of the whole clip, and which sums are wanted.
//!
//! SHA-256 and SHA-512 are what that specification calls active. Other algorithms are passed over, as it says, and so is a field
//! that is no dictionary (RFC 9651, 4.2); a sum of the wrong length is refused.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use data_encoding::{BASE64, HEXLOWER};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::uploads::checksum;
use crate::http::problem::Problem;
use crate::ingest::Checksum;

/// What is verified of a body, and of a whole clip: told with OPTIONS.
pub(super) const WANTED: [(&str, &str); 2] = [
    ("want-content-digest", "sha-256=10, sha-512=5"),
    ("want-repr-digest", "sha-256=10"),
];
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// The sum that a body must have: `Content-Digest`, else `Upload-Checksum`.
pub(super) fn of_body(headers: &HeaderMap) -> Result<Option<Checksum>, Problem> {
    let told = checksum(headers)?;
    let Some(fields) = dictionary(headers, "content-digest") else {
        return Ok(told);
    };
    for (algorithm, word) in [("sha-256", "sha256"), ("sha-512", "sha512")] {
        if let Some(sum) = sum(&fields, algorithm) {
            return Ok(Some(Checksum::parse(&format!("{word} {}", BASE64.encode(&sum)))?));
        }
    }
    Ok(told)
}

/// `Upload-Metadata` with the SHA-256 of `Repr-Digest`. Two that differ cannot both be right.
pub(super) fn with_repr_digest(headers: &HeaderMap, metadata: Option<String>) -> Result<Option<String>, Problem> {
    let sum = dictionary(headers, REPR_DIGEST.as_str()).and_then(|fields| sum(&fields, "sha-256"));
    let Some(sum) = sum else { return Ok(metadata) };
    let pair = format!("sha256 {}", BASE64.encode(HEXLOWER.encode(&sum).as_bytes()));
    let Some(metadata) = metadata.filter(|text| !text.trim().is_empty()) else {
        return Ok(Some(pair));
    };
    match metadata.split(',').find(|told| told.trim().starts_with("sha256 ")) {
        None => Ok(Some(format!("{metadata},{pair}"))),
        Some(told) if is_same(told, &sum) => Ok(Some(metadata)),
        Some(_) => Err(Problem::bad_header()
            .with("field", "Repr-Digest")
            .detail("Repr-Digest and Upload-Metadata tell different sums")),
    }
}

/// The clip's SHA-256 for a client that wants it; none for one that does not.
pub(in crate::http) fn wanted(headers: &HeaderMap, sha256: Option<[u8; 32]>) -> Option<(HeaderName, HeaderValue)> {
    let fields = dictionary(headers, "want-repr-digest")?;
    let ListEntry::Item(wish) = fields.get("sha-256")? else {
        return None;
    };
    // 0 says that it is not acceptable.
    let is_wanted = matches!(wish.bare_item, BareItem::Integer(wish) if i64::from(wish) > 0);
    let sum = sha256.filter(|_| is_wanted)?;
    let value = HeaderValue::from_str(&format!("sha-256=:{}:", BASE64.encode(&sum))).ok()?;
    Some((REPR_DIGEST, value))
}

/// A pair of the metadata names this sum, whichever case its digits have.
fn is_same(pair: &str, sum: &[u8]) -> bool {
    let value = pair.trim().strip_prefix("sha256 ").unwrap_or_default().trim();
    let told = BASE64.decode(value.as_bytes()).unwrap_or_default();
    told.eq_ignore_ascii_case(HEXLOWER.encode(sum).as_bytes())
}

/// A structured field that may stand in several lines.
fn dictionary(headers: &HeaderMap, name: &str) -> Option<Dictionary> {
    let lines: Vec<_> = headers.get_all(name).map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return None;
    }
    Parser::new(&lines.join(&b", "[..])).parse().ok()
}

fn sum(fields: &Dictionary, algorithm: &str) -> Option<Vec<u8>> {
    match fields.get(algorithm)? {
        ListEntry::Item(item) => item.bare_item.as_byte_sequence().map(<[u8]>::to_vec),
        ListEntry::InnerList(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const SUM: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn with(headers: &[(&str, &str)]) -> HeaderMap {
        let mut request = TestRequest::default();
        for header in headers {
            request = request.append_header(*header);
        }
        request.to_http_request().headers().clone()
    }

    #[test]
    fn a_field_in_several_lines_is_one_dictionary() {
        let sum = format!("sha-256=:{SUM}:");
        let lines = with(&[("content-digest", "md5=:AAAA:"), ("content-digest", &sum)]);
        let (told, expected) = (
            of_body(&lines).ok().flatten(),
            Checksum::parse(&format!("sha256 {SUM}")),
        );
        assert_eq!(told, expected.ok());
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_is_wrong_refused() {
        for passed in ["md5=:AAAA:", "sha-256", "sha-256=5", "sha-256=\"a\"", "=", ""] {
            let told = of_body(&with(&[("content-digest", passed)]));
            assert!(matches!(told, Ok(None)), "{passed:?}");
        }
        for wrong in ["sha-256=:AAAA:", "sha-512=:AAAA:", "sha-256=::"] {
            assert!(of_body(&with(&[("content-digest", wrong)])).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_sum_of_the_whole_is_metadata_and_two_must_agree() {
        let digest = with(&[("repr-digest", &format!("sha-256=:{SUM}:"))]);
        let pair = |hex: &str| format!("sha256 {}", BASE64.encode(hex.as_bytes()));
        let told = |metadata: Option<&str>| with_repr_digest(&digest, metadata.map(str::to_owned)).ok().flatten();
        assert_eq!(told(None), Some(pair(HEX)));
        assert_eq!(
            told(Some("filename YQ==")),
            Some(format!("filename YQ==,{}", pair(HEX)))
        );
        let upper = pair(&HEX.to_uppercase());
        assert_eq!(told(Some(&upper)), Some(upper.clone()));
        let other = pair(&"0".repeat(64));
        assert!(with_repr_digest(&digest, Some(other)).is_err());
    }

    #[test]
    fn a_sum_is_told_to_whom_it_is_acceptable() {
        for (wish, is_told) in [
            ("sha-256=10", true),
            ("sha-512=10, sha-256=1", true),
            ("sha-256=0", false),
            ("sha-512=10", false),
            ("sha-256", false),
        ] {
            let told = wanted(&with(&[("want-repr-digest", wish)]), Some([0; 32]));
            assert_eq!(told.is_some(), is_told, "{wish}");
        }
        assert!(wanted(&with(&[]), Some([0; 32])).is_none());
        assert!(wanted(&with(&[("want-repr-digest", "sha-256=10")]), None).is_none());
    }
}
