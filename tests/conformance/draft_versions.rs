//! The HTTP working group's draft: what each interop version has of its own, and what becomes of other numbers. Sections are those
//! of draft 05 for version 6 and of draft 10 for version 8.

use crate::row::{Row, ask, lose, row, send};

const PARTS: &str = "POST | Upload-Complete: ?0";
const WHOLE: &str = "POST | Upload-Complete: ?1";
const MADE: &str = "201 | Location: * | Upload-Offset: 0 | Upload-Complete: ?0";
const MORE_AT_0: &str = "PATCH $1 | Upload-Offset: 0 | Upload-Complete: ?0 | Content-Type: application/partial-upload";
const LAST_AT_0: &str = "PATCH $1 | Upload-Offset: 0 | Upload-Complete: ?1 | Content-Type: application/partial-upload";
const LAST_AT_5: &str = "PATCH $1 | Upload-Offset: 5 | Upload-Complete: ?1 | Content-Type: application/partial-upload";

pub const SIX: &[Row] = &[
    row(
        "3 · Upload Creation",
        "a creation has no offset",
        &[send(
            "POST | Upload-Complete: ?0 | Upload-Offset: 0",
            "hello",
            "400 | !Location",
        )],
    ),
    row(
        "3 · Upload Creation",
        "there is no Upload-Length: the header says nothing",
        &[
            send(
                "POST | Upload-Complete: ?0 | Upload-Length: 5",
                "hello",
                "201 | Upload-Complete: ?0",
            ),
            ask("HEAD $1", "204 | !Upload-Length"),
        ],
    ),
    row(
        "4 · Offset Retrieval",
        "a question names neither offset nor completeness",
        &[
            ask(PARTS, MADE),
            ask("HEAD $1 | Upload-Offset: 0", "400 | !Upload-Offset"),
            ask("HEAD $1 | Upload-Complete: ?0", "400 | !Upload-Offset"),
        ],
    ),
    row(
        "4 · Offset Retrieval",
        "an upload that was ended is not active, and so not found",
        &[
            ask(PARTS, MADE),
            ask("@owner DELETE $1", "204"),
            ask("HEAD $1", "404 | !Upload-Offset"),
        ],
    ),
    row(
        "5 · Upload Append",
        "an append is answered with 201, the last one too",
        &[
            ask(PARTS, MADE),
            send(MORE_AT_0, "hello", "201 | Upload-Offset: 5 | Upload-Complete: ?0"),
            send(LAST_AT_5, "world", "201 | Upload-Offset: 10 | Upload-Complete: ?1"),
        ],
    ),
    row(
        "5 · Upload Append",
        "an append that says nothing of completeness is not the last",
        &[
            ask(PARTS, MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Content-Type: application/partial-upload",
                "hello",
                "201 | Upload-Offset: 5 | Upload-Complete: ?0",
            ),
        ],
    ),
    row(
        "6 · Upload Cancellation",
        "a cancellation names neither offset nor completeness",
        &[
            ask(PARTS, MADE),
            ask("@owner DELETE $1 | Upload-Offset: 0", "400"),
            ask("@owner DELETE $1 | Upload-Complete: ?0", "400"),
            ask("HEAD $1", "204 | Upload-Offset: 0"),
        ],
    ),
];

pub const EIGHT: &[Row] = &[
    row(
        "4.1.3 · Length",
        "a length that is told is recorded and told",
        &[
            send(
                "POST | Upload-Complete: ?0 | Upload-Length: 10",
                "hello",
                "201 | Upload-Complete: ?0",
            ),
            ask("HEAD $1", "204 | Upload-Length: 10"),
        ],
    ),
    row(
        "4.1.3 · Length",
        "the last part's length tells the upload's",
        &[
            ask(PARTS, MADE),
            lose(
                "cut PATCH $1 | Content-Length: 10 | Upload-Offset: 0 | Upload-Complete: ?1 | Content-Type: application/partial-upload",
                "hello",
            ),
            ask("HEAD $1", "204 | Upload-Length: 10 | Upload-Offset: 5"),
        ],
    ),
    row(
        "4.1.3 · Length",
        "two lengths in one request are the same",
        &[send(
            "POST | Upload-Complete: ?1 | Upload-Length: 6",
            "hello",
            "400 | body: ~https://iana.org/assignments/http-problem-types#inconsistent-upload-length",
        )],
    ),
    row(
        "4.1.3 · Length",
        "a later length is the same as the earlier",
        &[
            ask("POST | Upload-Complete: ?0 | Upload-Length: 10", MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Complete: ?0 | Upload-Length: 11 | Content-Type: application/partial-upload",
                "hello",
                "400 | body: ~#inconsistent-upload-length",
            ),
            send(LAST_AT_0, "hello", "400 | body: ~#inconsistent-upload-length"),
            ask(
                "HEAD $1",
                "204 | Upload-Length: 10 | Upload-Offset: 0 | Upload-Complete: ?0",
            ),
        ],
    ),
    row(
        "4.1.3 · Length",
        "a value that is no Integer counts as none",
        &[
            ask("POST | Upload-Complete: ?0 | Upload-Length: ten", MADE),
            ask("HEAD $1", "204 | !Upload-Length"),
        ],
    ),
    row(
        "4.2 · Upload Creation",
        "an offset in a creation is passed over",
        &[send(
            "POST | Upload-Complete: ?0 | Upload-Offset: 3",
            "hello",
            "201 | Upload-Offset: 5",
        )],
    ),
    row(
        "4.3 · Offset Retrieval",
        "fields that do not belong into a question are passed over",
        &[
            ask(PARTS, MADE),
            ask(
                "HEAD $1 | Upload-Offset: 7 | Upload-Complete: ?1",
                "204 | Upload-Offset: 0 | Upload-Complete: ?0",
            ),
        ],
    ),
    row(
        "4.4 · Upload Append",
        "an append says whether it is the last",
        &[
            ask(PARTS, MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Content-Type: application/partial-upload",
                "hello",
                "400",
            ),
            ask("HEAD $1", "204 | Upload-Offset: 0"),
        ],
    ),
    row(
        "4.4 · Upload Append",
        "a part is answered with 204, the last one as the whole would have been",
        &[
            ask(PARTS, MADE),
            send(MORE_AT_0, "hello", "204 | Upload-Offset: 5 | Upload-Complete: ?0"),
            send(LAST_AT_5, "world", "200 | Upload-Offset: 10 | Upload-Complete: ?1"),
        ],
    ),
    row(
        "4.4 · Upload Append",
        "the offset never exceeds the length",
        &[
            ask("POST | Upload-Complete: ?0 | Upload-Length: 4", MADE),
            send(MORE_AT_0, "hello", "413 | Upload-Limit: ~max-size="),
            ask("HEAD $1", "204 | Upload-Offset: 0"),
        ],
    ),
    row(
        "4.5 · Upload Cancellation",
        "an upload that was ended is gone, as it is remembered",
        &[
            ask(PARTS, MADE),
            ask("@owner DELETE $1", "204"),
            ask("HEAD $1", "410 | !Upload-Offset"),
        ],
    ),
    row(
        "4.2 · Upload Creation",
        "a creation repeated for the same representation leads to the same upload",
        &[
            ask(
                "POST | Upload-Complete: ?0 | Upload-Length: 10 | Repr-Digest: sha-256=:{sha256:draftagain}:",
                MADE,
            ),
            send(MORE_AT_0, "draft", "204 | Upload-Offset: 5"),
            ask(
                "POST | Upload-Complete: ?0 | Upload-Length: 10 | Repr-Digest: sha-256=:{sha256:draftagain}:",
                "201 | Location: {url1} | Upload-Offset: 5 | Upload-Complete: ?0",
            ),
            send(LAST_AT_5, "again", "200 | Upload-Complete: ?1"),
            send(
                "POST | Upload-Complete: ?1 | Repr-Digest: sha-256=:{sha256:draftagain}:",
                "draftagain",
                "201 | Location: {url1} | Upload-Offset: 10 | Upload-Complete: ?1",
            ),
        ],
    ),
];

pub const OTHER: &[Row] = &[
    row(
        "Upload Creation",
        "an upload that names a version that is not spoken is taken whole, without the draft's fields",
        &[
            send(
                WHOLE,
                "plain",
                "201 | Location: * | !Upload-Offset | !Upload-Complete | !Upload-Limit",
            ),
            ask(
                "HEAD $1 | -Upload-Draft-Interop-Version | Tus-Resumable: 1.0.0",
                "200 | Upload-Offset: 5 | Upload-Length: 5",
            ),
        ],
    ),
    row(
        "Upload Append",
        "other requests in such a version are refused",
        &[
            send(WHOLE, "plain", "201 | Location: *"),
            ask("HEAD $1", "400 | !Upload-Offset"),
            ask(LAST_AT_5, "400 | !Upload-Offset"),
            ask("@owner DELETE $1", "400"),
        ],
    ),
];
