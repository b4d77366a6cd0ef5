//! The HTTP working group's draft (draft-ietf-httpbis-resumable-upload): what both interop versions share.

use crate::row::{Row, ask, lose, row, send};

const PARTS: &str = "POST | Upload-Complete: ?0";
const WHOLE: &str = "POST | Upload-Complete: ?1";
const MADE: &str = "201 | Location: * | Upload-Offset: 0 | Upload-Complete: ?0";
const MORE_AT_0: &str = "PATCH $1 | Upload-Offset: 0 | Upload-Complete: ?0 | Content-Type: application/partial-upload";
const MORE_AT_5: &str = "PATCH $1 | Upload-Offset: 5 | Upload-Complete: ?0 | Content-Type: application/partial-upload";
const LAST_AT_5: &str = "PATCH $1 | Upload-Offset: 5 | Upload-Complete: ?1 | Content-Type: application/partial-upload";
const MISMATCHING: &str = "409 | Upload-Offset: 5 | Upload-Complete: ?0 | Content-Type: application/problem+json \
    | body: ~https://iana.org/assignments/http-problem-types#mismatching-upload-offset";

pub const BOTH: &[Row] = &[
    row(
        "Upload Creation",
        "a whole upload in one request is complete",
        &[
            send(
                WHOLE,
                "whole",
                "201 | Location: * | Upload-Offset: 5 | Upload-Complete: ?1",
            ),
            ask("HEAD $1", "204 | Upload-Offset: 5 | Upload-Complete: ?1"),
        ],
    ),
    row(
        "Upload Creation",
        "an upload in parts tells its address and what was taken",
        &[
            send(
                PARTS,
                "hello",
                "201 | Location: * | Upload-Offset: 5 | Upload-Complete: ?0",
            ),
            ask("HEAD $1", "204 | Upload-Offset: 5 | Upload-Complete: ?0"),
        ],
    ),
    row(
        "Upload Creation",
        "an empty creation tells the address and the limits",
        &[ask(
            PARTS,
            "201 | Location: * | Upload-Offset: 0 | Upload-Limit: ~max-size=68719476736",
        )],
    ),
    row(
        "Upload Creation",
        "as much as possible of a creation's body that is cut is kept",
        &[
            ask(
                "POST | Upload-Complete: ?0 | Content-Disposition: inline; filename=\"cut.mp4\"",
                MADE,
            ),
            lose(
                "cut PATCH $1 | Content-Length: 10 | Upload-Offset: 0 | Upload-Complete: ?1 | Content-Type: application/partial-upload",
                "hello",
            ),
            ask("HEAD $1", "204 | Upload-Offset: 5 | Upload-Complete: ?0"),
        ],
    ),
    row(
        "Upload Creation",
        "a coding of the content would be part of the clip, and is not taken",
        &[send(
            "POST | Upload-Complete: ?1 | Content-Encoding: gzip",
            "hello",
            "415 | !Location",
        )],
    ),
    row(
        "Upload Creation",
        "a request without the field is no resumable upload: whole, and without the draft's fields",
        &[send(
            "POST | Content-Type: video/mp4",
            "plain",
            "201 | Location: * | !Upload-Offset | !Upload-Complete",
        )],
    ),
    row(
        "Upload-Complete",
        "a value that is no Boolean counts as none",
        &[
            send("POST | Upload-Complete: true", "plain", "201 | !Upload-Offset"),
            send("POST | Upload-Complete: 1", "plain", "201 | !Upload-Offset"),
        ],
    ),
    row(
        "Upload-Offset",
        "a value that is no Integer, or below 0, counts as none",
        &[
            ask(PARTS, MADE),
            send(
                "PATCH $1 | Upload-Offset: -1 | Upload-Complete: ?0 | Content-Type: application/partial-upload",
                "hello",
                "400",
            ),
            send(
                "PATCH $1 | Upload-Offset: 0.0 | Upload-Complete: ?0 | Content-Type: application/partial-upload",
                "hello",
                "400",
            ),
            send(
                "PATCH $1 | Upload-Offset: 0, 0 | Upload-Complete: ?0 | Content-Type: application/partial-upload",
                "hello",
                "400",
            ),
            ask("HEAD $1", "204 | Upload-Offset: 0"),
        ],
    ),
    row(
        "Offset Retrieval",
        "offset and completeness are told, and no cache keeps them",
        &[
            ask(PARTS, MADE),
            ask(
                "HEAD $1",
                "204 | Upload-Offset: 0 | Upload-Complete: ?0 | Cache-Control: no-store",
            ),
        ],
    ),
    row(
        "Offset Retrieval",
        "the limits are told, with the time that is left",
        &[
            ask(PARTS, MADE),
            ask("HEAD $1", "204 | Upload-Limit: ~max-age=604"),
            ask("HEAD $1", "204 | Upload-Limit: ~min-size=1"),
        ],
    ),
    row(
        "Offset Retrieval",
        "what is not there is not found, and another's upload is not there",
        &[
            ask("HEAD /v1/uploads/aaaaaaaaaaaaaaaaaaaaaaaaaa", "404 | !Upload-Offset"),
            ask(PARTS, MADE),
            ask("@other HEAD $1", "404 | !Upload-Offset"),
            ask("@nobody HEAD $1", "401 | !Upload-Offset"),
        ],
    ),
    row(
        "Upload Append",
        "another media type is refused, and the right one told",
        &[
            ask(PARTS, MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Complete: ?0 | Content-Type: application/octet-stream",
                "hello",
                "415 | Accept-Patch: ~application/partial-upload",
            ),
            send("PATCH $1 | Upload-Offset: 0 | Upload-Complete: ?0", "hello", "415"),
            ask("HEAD $1", "204 | Upload-Offset: 0"),
        ],
    ),
    row(
        "Upload Append",
        "an append says where it belongs",
        &[
            ask(PARTS, MADE),
            send(
                "PATCH $1 | Upload-Complete: ?0 | Content-Type: application/partial-upload",
                "hello",
                "400",
            ),
        ],
    ),
    row(
        "Upload Append",
        "another offset is a conflict that tells the right one, with both in the problem",
        &[
            send(PARTS, "hello", "201 | Upload-Offset: 5"),
            send(MORE_AT_0, "x", MISMATCHING),
            send(MORE_AT_0, "x", "409 | body: ~\"expected-offset\":5"),
            send(MORE_AT_0, "x", "409 | body: ~\"provided-offset\":0"),
            ask("HEAD $1", "204 | Upload-Offset: 5"),
        ],
    ),
    row(
        "Upload Append",
        "a cut append keeps what came, and the upload is not complete",
        &[
            ask(PARTS, MADE),
            lose(
                "cut PATCH $1 | Content-Length: 10 | Upload-Offset: 0 | Upload-Complete: ?1 | Content-Type: application/partial-upload",
                "hello",
            ),
            ask("HEAD $1", "204 | Upload-Offset: 5 | Upload-Complete: ?0"),
            send(LAST_AT_5, "world", "2xx | Upload-Offset: 10 | Upload-Complete: ?1"),
        ],
    ),
    row(
        "Upload Append",
        "an empty append completes what is there",
        &[
            send(PARTS, "empty", "201 | Upload-Offset: 5 | Upload-Complete: ?0"),
            ask(LAST_AT_5, "2xx | Upload-Offset: 5 | Upload-Complete: ?1"),
        ],
    ),
    row(
        "Upload Append",
        "a complete upload takes no more bytes",
        &[
            send(WHOLE, "whole", "201 | Upload-Complete: ?1"),
            send(
                LAST_AT_5,
                "more",
                "400 | Upload-Complete: ?0 | body: ~https://iana.org/assignments/http-problem-types#completed-upload",
            ),
            ask("HEAD $1", "204 | Upload-Offset: 5 | Upload-Complete: ?1"),
        ],
    ),
    row(
        "Upload Append",
        "the last append repeated, as its answer was lost, finds the upload complete",
        &[
            send(PARTS, "hello", "201 | Upload-Offset: 5"),
            send(LAST_AT_5, "world", "2xx | Upload-Complete: ?1 | Upload-Offset: 10"),
            ask(
                "PATCH $1 | Upload-Offset: 10 | Upload-Complete: ?1 | Content-Type: application/partial-upload",
                "2xx | Upload-Complete: ?1 | Upload-Offset: 10",
            ),
        ],
    ),
    row(
        "Upload Append",
        "a body that announces no length ends the upload where it ends",
        &[
            ask(PARTS, MADE),
            send(
                "chunked PATCH $1 | Upload-Offset: 0 | Upload-Complete: ?1 | Content-Type: application/partial-upload",
                "hello",
                "2xx | Upload-Offset: 5 | Upload-Complete: ?1",
            ),
        ],
    ),
    row(
        "Upload Append",
        "an upload that is not there takes nothing",
        &[send(
            "PATCH /v1/uploads/aaaaaaaaaaaaaaaaaaaaaaaaaa | Upload-Offset: 0 | Upload-Complete: ?0 | Content-Type: application/partial-upload",
            "hello",
            "404",
        )],
    ),
    row(
        "Upload Cancellation",
        "an upload that is ended is not there any more",
        &[
            ask(PARTS, MADE),
            ask("@owner DELETE $1", "204"),
            ask("HEAD $1", "4xx | !Upload-Offset"),
            send(MORE_AT_0, "hello", "4xx | !Upload-Offset"),
        ],
    ),
    row(
        "Upload Cancellation",
        "a request under way is ended with it",
        &[
            ask(PARTS, MADE),
            lose(
                "hang PATCH $1 | Content-Length: 10 | Upload-Offset: 0 | Upload-Complete: ?0 | Content-Type: application/partial-upload",
                "hello",
            ),
            ask("@owner DELETE $1", "204"),
            ask("HEAD $1", "4xx"),
        ],
    ),
    row(
        "Concurrency",
        "a question ends the append under way, and its offset can be used",
        &[
            ask(PARTS, MADE),
            lose(
                "hang PATCH $1 | Content-Length: 10 | Upload-Offset: 0 | Upload-Complete: ?0 | Content-Type: application/partial-upload",
                "hello",
            ),
            ask("HEAD $1", "204 | Upload-Offset: 5"),
            send(MORE_AT_5, "world", "2xx | Upload-Offset: 10"),
        ],
    ),
    row(
        "Concurrency",
        "an append ends the one before it",
        &[
            ask(PARTS, MADE),
            lose(
                "hang PATCH $1 | Content-Length: 10 | Upload-Offset: 0 | Upload-Complete: ?0 | Content-Type: application/partial-upload",
                "hello",
            ),
            send(MORE_AT_5, "world", "2xx | Upload-Offset: 10"),
            ask("HEAD $1", "204 | Upload-Offset: 10"),
        ],
    ),
    row(
        "Limits",
        "OPTIONS tells the limits and that parts can be appended",
        &[ask(
            "OPTIONS /v1/uploads",
            "204 | Upload-Limit: ~max-size=68719476736 | Accept-Patch: ~application/partial-upload",
        )],
    ),
    row(
        "Limits",
        "a length above the largest is refused with the limits",
        &[send(
            "head POST | Upload-Complete: ?1 | Content-Length: 68719476737",
            "x",
            "413 | Upload-Limit: ~max-size=68719476736 | !Location",
        )],
    ),
    row(
        "Integrity Digests · Content-Digest",
        "a body with another digest is not appended",
        &[
            ask(PARTS, MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Complete: ?0 | Content-Digest: sha-256=:{sha256:else}: | Content-Type: application/partial-upload",
                "hello",
                "460",
            ),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Complete: ?0 | Content-Digest: sha-512=:{sha256}: | Content-Type: application/partial-upload",
                "hello",
                "400",
            ),
            ask("HEAD $1", "204 | Upload-Offset: 0"),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Complete: ?0 | Content-Digest: md5=:AAAA:, sha-256=:{sha256}: | Content-Type: application/partial-upload",
                "hello",
                "2xx | Upload-Offset: 5",
            ),
            send(
                "PATCH $1 | Upload-Offset: 5 | Upload-Complete: ?0 | Content-Digest: md5=:AAAA: | Content-Type: application/partial-upload",
                "world",
                "2xx | Upload-Offset: 10",
            ),
        ],
    ),
    row(
        "Integrity Digests · Repr-Digest",
        "a representation with another digest is not processed further, and its client is told",
        &[
            send(
                "POST | Upload-Complete: ?1 | Repr-Digest: sha-256=:{sha256:else}:",
                "other",
                "201",
            ),
            ask("until GET $1/receipt", "409 | body: ~sha256_mismatch"),
        ],
    ),
    row(
        "Integrity Digests · Want-Repr-Digest",
        "a digest that is wanted is told once it is known",
        &[
            send(
                "POST | Upload-Complete: ?1 | Want-Repr-Digest: sha-256=10",
                "known",
                "201",
            ),
            ask("until GET $1/receipt", "200 | body: ~receipt"),
            ask(
                "HEAD $1 | Want-Repr-Digest: sha-256=10",
                "204 | Repr-Digest: sha-256=:{sha256:known}:",
            ),
            ask("HEAD $1", "204 | !Repr-Digest"),
        ],
    ),
    row(
        "Integrity Digests · Want-Content-Digest",
        "what is verified here is told",
        &[ask(
            "OPTIONS /v1/uploads",
            "204 | Want-Content-Digest: ~sha-512= | Want-Repr-Digest: ~sha-256=",
        )],
    ),
];
