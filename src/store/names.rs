//! Names in a bucket that the store's client cannot read: an empty part (`a//b`), a slash at an end, `..`, a control character.
//! One of them would end every listing, so that whoever may write into a bucket could blind everybody who looks through it;
//! and of some it drops the slash, so that what lies there seems to be gone.
//!
//! They are handed on under a name that can be read and holds the real one, and that one is asked for where a listing goes on
//! behind it. Nothing is ever got by such a name.

use bytes::Bytes;
use object_store::client::{HttpRequest, HttpResponse};
use object_store::path::Path;

use super::Signer;

/// What such a name begins with; behind it stands the real one in hexadecimal digits. A real name that begins so is handed on in the same way,
/// so that nobody can make up one that stands for another.
const UNREADABLE: &str = "unreadable-name-";
const AFTER: &str = "start-after=";

/// The name of a file or folder, as it is or as what stands for it.
pub(super) fn of_file(name: &std::ffi::OsStr) -> String {
    let as_it_is = name.to_str().filter(|name| handed_on(name).is_none());
    as_it_is.map_or_else(|| marked(name.as_encoded_bytes()), str::to_owned)
}

/// The name under which an object is handed on; none where its own will do.
fn handed_on(name: &str) -> Option<String> {
    let reads_as_it_is = Path::parse(name).is_ok_and(|path| path.as_ref() == name);
    (!reads_as_it_is || name.starts_with(UNREADABLE)).then(|| marked(name.as_bytes()))
}

/// A readable name that stands for one that is not.
pub(super) fn marked(name: &[u8]) -> String {
    format!("{UNREADABLE}{}", data_encoding::HEXLOWER.encode(name))
}

/// Whether a name stands for one that cannot be read, or lies beneath one.
pub(super) fn is_marked(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with(UNREADABLE))
}

/// Whether a request asks for a listing.
pub(super) fn is_listing(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|part| part == "list-type=2")
}

/// Where a listing goes on behind a name that stands for another, that one is asked for, and signed anew.
pub(super) fn ask_for_real_name(request: &mut HttpRequest, signer: &Signer) {
    let query = request.uri().query().unwrap_or_default();
    let after = query.split('&').find_map(|part| part.strip_prefix(AFTER));
    let Some(hex) = after.and_then(|after| after.strip_prefix(UNREADABLE)) else {
        return;
    };
    let Ok(name) = data_encoding::HEXLOWER.decode(hex.as_bytes()) else {
        return;
    };
    let real = request
        .uri()
        .to_string()
        .replacen(&format!("{UNREADABLE}{hex}"), &percent(&name), 1);
    let Ok(uri) = real.parse() else { return };
    *request.uri_mut() = uri;
    signer.sign_again(request);
}

/// A page of a listing in which every name can be read.
pub(super) async fn readable(response: HttpResponse) -> Result<HttpResponse, object_store::client::HttpError> {
    let (parts, body) = response.into_parts();
    let body = body.bytes().await?;
    let page = std::str::from_utf8(&body).ok().and_then(page_with_readable_names);
    let body = page.map_or(body, Bytes::from);
    Ok(HttpResponse::from_parts(parts, body.into()))
}

/// None where every name can be read as it is.
fn page_with_readable_names(page: &str) -> Option<String> {
    let (mut changed, mut rest, mut is_changed) = (String::new(), page, false);
    while let Some((before, behind)) = rest.split_once("<Key>") {
        let (escaped, after) = behind.split_once("</Key>")?;
        let handed_on = unescaped(escaped).and_then(|name| handed_on(&name));
        is_changed |= handed_on.is_some();
        changed.push_str(before);
        changed.push_str("<Key>");
        changed.push_str(handed_on.as_deref().unwrap_or(escaped));
        changed.push_str("</Key>");
        rest = after;
    }
    changed.push_str(rest);
    is_changed.then_some(changed)
}

/// A text of XML; none if it is none.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let number = number.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        });
        plain.push_str(rest);
    }
    Some(plain)
}

/// As the signature of S3 wants it: all but the unreserved characters of RFC 3986.
fn percent(name: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_names_that_can_be_read_and_marks_the_others() {
        let page = |names: &[&str]| -> String {
            let all: String = names
                .iter()
                .map(|name| format!("<C><Key>{name}</Key><Size>1</Size></C>"))
                .collect();
            format!("<L>{all}</L>")
        };
        let fine = page(&["aa/b", "a&amp;b", "with space", "r\u{e9}sum\u{e9}", "a.b/..c"]);
        assert_eq!(page_with_readable_names(&fine), None);
        for (odd, real) in [
            ("a//b", "a//b"),
            ("/a", "/a"),
            ("a/", "a/"),
            ("a/../b", "a/../b"),
            ("a/./b", "a/./b"),
            ("a&#x1;b", "a\u{1}b"),
            ("a&#10;b", "a\nb"),
            ("&amp;//&lt;&gt;&quot;&apos;", "&//<>\"'"),
            ("unreadable-name-61", "unreadable-name-61"),
        ] {
            let marked = marked(real.as_bytes());
            let expected = page(&["aa/b", &marked, "z"]);
            assert_eq!(
                page_with_readable_names(&page(&["aa/b", odd, "z"])),
                Some(expected),
                "{odd}"
            );
            assert!(Path::parse(&marked).is_ok() && is_marked(&marked));
        }
        for broken in [
            "<Key>a//b",
            "<Key>&nosuch;//</Key>",
            "<Key>&#xD800;//</Key>",
            "&//</Key>",
        ] {
            assert_eq!(page_with_readable_names(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_listing_goes_on_behind_the_real_name_and_is_signed_for_it() {
        let signer = Signer::new("r", "AKID", "secret");
        let ask = |after: &str| {
            let mut request = HttpRequest::new(object_store::client::HttpRequestBody::empty());
            *request.uri_mut() = format!("http://store.example.org/b?list-type=2&start-after={after}")
                .parse()
                .unwrap();
            assert!(is_listing(&request));
            ask_for_real_name(&mut request, &signer);
            let is_signed = request.headers().contains_key("authorization");
            (request.uri().query().unwrap().to_owned(), is_signed)
        };
        let (query, is_signed) = ask(&marked("a//b \u{e9}".as_bytes()));
        assert_eq!(
            (query.as_str(), is_signed),
            ("list-type=2&start-after=a%2F%2Fb%20%C3%A9", true)
        );
        let (query, is_signed) = ask("aa%2Fbb");
        assert_eq!((query.as_str(), is_signed), ("list-type=2&start-after=aa%2Fbb", false));
    }
}
