//! `Upload-Concat`: parts of a clip that are sent side by side, and the request that makes one upload of them (tus 1.0.0,
//! concatenation).

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpResponse, web};

use super::uploads::{location, metadata, tell};
use crate::access::Principal;
use crate::http::face::Face;
use crate::http::problem::Problem;
use crate::model::{ClipId, Concat};

pub(super) const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
/// Where an upload's address has its id.
const UPLOADS: &str = "/v1/uploads/";

/// What a creation asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A part.
    Partial,
    /// An upload made of these.
    Final(Vec<ClipId>),
}

/// What the header of a creation says; none when it does not stand there.
pub(super) fn wish(headers: &HeaderMap) -> Result<Option<Wish>, Problem> {
    let Some(value) = headers.get(UPLOAD_CONCAT) else {
        return Ok(None);
    };
    let wrong = |detail: &str| Problem::bad_header().with("field", "Upload-Concat").detail(detail);
    let text = value.to_str().unwrap_or_default().trim();
    if text == "partial" {
        return Ok(Some(Wish::Partial));
    }
    let Some(list) = text.strip_prefix("final;") else {
        return Err(wrong("Upload-Concat is partial, or final; and addresses"));
    };
    for name in ["upload-length", "upload-defer-length"] {
        if headers.contains_key(name) {
            return Err(Problem::bad_header()
                .with("field", name)
                .detail("a final upload is as long as its parts"));
        }
    }
    let parts: Option<Vec<ClipId>> = list.split_ascii_whitespace().map(id_of).collect();
    let parts = parts.ok_or_else(|| wrong("an address that is no upload's"))?;
    Ok(Some(Wish::Final(parts)))
}

/// The upload that an address names, absolute or relative; whose it is is asked later.
fn id_of(address: &str) -> Option<ClipId> {
    let (_, id) = address.rsplit_once(UPLOADS)?;
    id.parse().ok()
}

/// Makes one upload of partial ones.
pub(super) async fn join(
    face: &web::Data<Face>,
    who: Principal,
    parts: Vec<ClipId>,
    headers: &HeaderMap,
) -> Result<HttpResponse, Problem> {
    let (rooms, about) = (face.rooms.clone(), metadata(headers)?);
    let made = face
        .ask(async move { rooms.ingest.join(&who, &parts, about.as_deref()).await })
        .await?;
    let mut response = HttpResponse::Created();
    tell(&mut response, &made);
    response.insert_header((header::LOCATION, location(face, made.id)?));
    Ok(response.finish())
}

/// The header as a question about an upload is answered; none for one that is neither a part nor made of any.
pub(super) fn told(face: &Face, concat: Concat, parts: &[ClipId]) -> Result<Option<HeaderValue>, Problem> {
    let text = match concat {
        Concat::Whole => return Ok(None),
        Concat::Partial => return Ok(Some(HeaderValue::from_static("partial"))),
        Concat::Final => {
            let urls = parts
                .iter()
                .map(|part| face.public_url.join(&format!("{UPLOADS}{part}")));
            format!("final;{}", Vec::from_iter(urls).join(" "))
        }
    };
    HeaderValue::from_str(&text).map(Some).map_err(|_| Problem::internal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn read(text: &str) -> Result<Option<Wish>, &'static str> {
        let request = TestRequest::default().insert_header((UPLOAD_CONCAT, text));
        wish(request.to_http_request().headers()).map_err(|problem| problem.slug())
    }

    #[test]
    fn parts_are_named_by_absolute_or_relative_addresses() {
        let (one, other) = (ClipId::random(), ClipId::random());
        let list = format!("final;https://vault.example.org/v1/uploads/{one} /v1/uploads/{other}");
        assert_eq!(read(&list), Ok(Some(Wish::Final(vec![one, other]))));
        assert_eq!(read("partial"), Ok(Some(Wish::Partial)));
        for wrong in [
            "",
            "whole",
            "final",
            "final;/files/a",
            "final;/v1/uploads/",
            "final;/v1/uploads/a",
        ] {
            assert_eq!(read(wrong), Err("bad-header"), "{wrong:?}");
        }
    }

    #[test]
    fn a_final_upload_has_no_length_of_its_own() {
        for name in ["upload-length", "upload-defer-length"] {
            let request = TestRequest::default()
                .insert_header((UPLOAD_CONCAT, "final;"))
                .insert_header((name, "1"));
            assert!(wish(request.to_http_request().headers()).is_err(), "{name}");
        }
    }
}
