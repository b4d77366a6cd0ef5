//! tus 1.0.0, the core protocol.

use crate::row::{Row, ask, lose, row, send};

/// An upload of ten bytes.
const TEN: &str = "POST | Upload-Length: 10";
/// One of which `hello` is there.
const HALF: &str = "POST | Upload-Length: 10 | Content-Type: application/offset+octet-stream";
const MADE: &str = "201 | Location: *";
const AT_0: &str = "PATCH $1 | Upload-Offset: 0 | Content-Type: application/offset+octet-stream";
const AT_5: &str = "PATCH $1 | Upload-Offset: 5 | Content-Type: application/offset+octet-stream";

pub const CORE: &[Row] = &[
    row(
        "Upload-Offset",
        "an offset in a request is a number that is not negative",
        &[
            ask(TEN, MADE),
            send(
                "PATCH $1 | Upload-Offset: -1 | Content-Type: application/offset+octet-stream",
                "hello",
                "400",
            ),
            send(
                "PATCH $1 | Upload-Offset: five | Content-Type: application/offset+octet-stream",
                "hello",
                "400",
            ),
            send(
                "PATCH $1 | Upload-Offset: | Content-Type: application/offset+octet-stream",
                "hello",
                "400",
            ),
            send(
                "PATCH $1 | Content-Type: application/offset+octet-stream",
                "hello",
                "400",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "Upload-Length",
        "a length is a number that is not negative",
        &[
            ask("POST | Upload-Length: -1", "400 | !Location"),
            ask("POST | Upload-Length: ten", "400 | !Location"),
            ask("POST | Upload-Length: 1.5", "400 | !Location"),
        ],
    ),
    row(
        "Tus-Version",
        "the versions that are spoken are listed, the preferred one first",
        &[ask("OPTIONS /v1/uploads", "204 | Tus-Version: 1.0.0")],
    ),
    row(
        "Tus-Resumable",
        "every answer says its version, refusals too",
        &[
            ask(TEN, "201 | Tus-Resumable: 1.0.0"),
            ask("HEAD $1", "200 | Tus-Resumable: 1.0.0"),
            send(AT_0, "hello", "204 | Tus-Resumable: 1.0.0"),
            send(AT_0, "hello", "409 | Tus-Resumable: 1.0.0"),
            ask("@owner DELETE $1", "204 | Tus-Resumable: 1.0.0"),
            ask("HEAD $1", "410 | Tus-Resumable: 1.0.0"),
        ],
    ),
    row(
        "Tus-Resumable",
        "a version that is not spoken is refused with the ones that are, and nothing is done",
        &[
            ask(
                "POST | Tus-Resumable: 0.2.2 | Upload-Length: 10",
                "412 | Tus-Version: 1.0.0 | !Location",
            ),
            ask(
                "POST | Tus-Resumable: 1.0.1 | Upload-Length: 10",
                "412 | Tus-Version: 1.0.0 | !Location",
            ),
            ask(TEN, MADE),
            send(
                "PATCH $1 | Tus-Resumable: 2.0.0 | Upload-Offset: 0 | Content-Type: application/offset+octet-stream",
                "hello",
                "412 | Tus-Version: 1.0.0",
            ),
            ask(
                "HEAD $1 | Tus-Resumable: 0.0.1",
                "412 | Tus-Version: 1.0.0 | !Upload-Offset",
            ),
            ask("@owner DELETE $1 | Tus-Resumable: 0.0.1", "412 | Tus-Version: 1.0.0"),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "Tus-Resumable",
        "a request without the header is none of this protocol's",
        &[
            ask(TEN, MADE),
            ask("HEAD $1 | -Tus-Resumable", "412 | Tus-Version: 1.0.0 | !Upload-Offset"),
            send(
                "PATCH $1 | -Tus-Resumable | Upload-Offset: 0 | Content-Type: application/offset+octet-stream",
                "hello",
                "412 | Tus-Version: 1.0.0",
            ),
        ],
    ),
    row(
        "Tus-Extension",
        "the extensions that are served are listed between commas",
        &[ask("OPTIONS /v1/uploads", "204 | Tus-Extension: ~creation,")],
    ),
    row(
        "Tus-Max-Size",
        "the largest upload is told as a number, and the object format ends there",
        &[ask("OPTIONS /v1/uploads", "204 | Tus-Max-Size: 68719476736")],
    ),
    row(
        "X-HTTP-Method-Override",
        "the method in the header counts, and the one that was sent does not",
        &[
            ask(TEN, MADE),
            send(
                "POST $1 | X-HTTP-Method-Override: PATCH | Upload-Offset: 0 | Content-Type: application/offset+octet-stream",
                "hello",
                "204 | Upload-Offset: 5",
            ),
            ask("POST $1 | X-HTTP-Method-Override: HEAD", "200 | Upload-Offset: 5"),
            send(
                "DELETE $1 | X-HTTP-Method-Override: PATCH | Upload-Offset: 5 | Content-Type: application/offset+octet-stream",
                " worl",
                "204 | Upload-Offset: 10",
            ),
            ask(TEN, MADE),
            ask("@owner POST $2 | X-HTTP-Method-Override: DELETE", "204"),
            ask("HEAD $2", "410"),
        ],
    ),
    row(
        "HEAD",
        "the offset is told always, also when it is 0",
        &[ask(TEN, MADE), ask("HEAD $1", "200 | Upload-Offset: 0")],
    ),
    row(
        "HEAD",
        "the offset is told of an upload that is complete, too",
        &[
            ask(TEN, MADE),
            send(AT_0, "0123456789", "204 | Upload-Offset: 10"),
            ask("HEAD $1", "200 | Upload-Offset: 10 | Upload-Length: 10"),
        ],
    ),
    row(
        "HEAD",
        "a length that is known is told",
        &[
            ask(TEN, MADE),
            ask("HEAD $1", "200 | Upload-Length: 10 | !Upload-Defer-Length"),
        ],
    ),
    row(
        "HEAD",
        "what is not there has no offset, and another's upload is not there",
        &[
            ask(TEN, MADE),
            ask("@other HEAD $1", "404 | !Upload-Offset"),
            ask("@nobody HEAD $1", "401 | !Upload-Offset"),
            ask("HEAD /v1/uploads/aaaaaaaaaaaaaaaaaaaaaaaaaa", "404 | !Upload-Offset"),
            ask("HEAD /v1/uploads/..%2f..%2fetc", "404 | !Upload-Offset"),
        ],
    ),
    row(
        "HEAD",
        "no cache keeps the answer",
        &[ask(TEN, MADE), ask("HEAD $1", "200 | Cache-Control: no-store")],
    ),
    row(
        "PATCH",
        "bytes are applied at their offset, which is told as the sum of the old one and what came",
        &[
            ask(TEN, MADE),
            send(AT_0, "hello", "204 | Upload-Offset: 5"),
            send(AT_5, "!", "204 | Upload-Offset: 6"),
            ask("HEAD $1", "200 | Upload-Offset: 6"),
        ],
    ),
    row(
        "PATCH",
        "a body of another type is refused, and nothing of it is kept",
        &[
            ask(TEN, MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Content-Type: application/octet-stream",
                "hello",
                "415",
            ),
            send("PATCH $1 | Upload-Offset: 0", "hello", "415"),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "PATCH",
        "another offset than the upload's is a conflict, and nothing is changed; the right one is told",
        &[
            send(HALF, "hello", MADE),
            send(AT_0, "xxxxx", "409 | Upload-Offset: 5"),
            send(
                "PATCH $1 | Upload-Offset: 6 | Content-Type: application/offset+octet-stream",
                "xxx",
                "409 | Upload-Offset: 5",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 5"),
        ],
    ),
    row(
        "PATCH",
        "many small requests after each other are one upload",
        &[
            ask("POST | Upload-Length: 3", MADE),
            send(AT_0, "a", "204 | Upload-Offset: 1"),
            send(
                "PATCH $1 | Upload-Offset: 1 | Content-Type: application/offset+octet-stream",
                "b",
                "204 | Upload-Offset: 2",
            ),
            send(
                "PATCH $1 | Upload-Offset: 2 | Content-Type: application/offset+octet-stream",
                "c",
                "204 | Upload-Offset: 3 | !Upload-Expires",
            ),
        ],
    ),
    row(
        "PATCH",
        "a body that announces no length is taken as any other",
        &[
            ask(TEN, MADE),
            send(
                "chunked PATCH $1 | Upload-Offset: 0 | Content-Type: application/offset+octet-stream",
                "hello",
                "204 | Upload-Offset: 5",
            ),
        ],
    ),
    row(
        "PATCH",
        "an upload that is not there takes nothing",
        &[
            send(
                "PATCH /v1/uploads/aaaaaaaaaaaaaaaaaaaaaaaaaa | Upload-Offset: 0 | Content-Type: application/offset+octet-stream",
                "hello",
                "404 | !Upload-Offset",
            ),
            ask(TEN, MADE),
            send(
                "@other PATCH $1 | Upload-Offset: 0 | Content-Type: application/offset+octet-stream",
                "hello",
                "404 | !Upload-Offset",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "PATCH",
        "as much as possible of a body that is cut is kept",
        &[
            ask(TEN, MADE),
            lose(
                "cut PATCH $1 | Content-Length: 10 | Upload-Offset: 0 | Content-Type: application/offset+octet-stream",
                "hello",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 5"),
        ],
    ),
    row(
        "PATCH",
        "a question on an upload whose body hangs is answered, with an offset that can be used",
        &[
            ask(TEN, MADE),
            lose(
                "hang PATCH $1 | Content-Length: 10 | Upload-Offset: 0 | Content-Type: application/offset+octet-stream",
                "hello",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 5"),
            send(AT_5, "world", "204 | Upload-Offset: 10"),
        ],
    ),
    row(
        "PATCH",
        "a client that asks before it sends its body is refused without it",
        &[
            send(HALF, "hello", MADE),
            send(
                "head PATCH $1 | Expect: 100-continue | Content-Length: 5 | Upload-Offset: 0 | Content-Type: application/offset+octet-stream",
                "hello",
                "409 | Upload-Offset: 5",
            ),
        ],
    ),
    row(
        "PATCH",
        "more bytes than the length are refused, and the upload stays what it was",
        &[
            ask(TEN, MADE),
            send(AT_0, "01234567890", "413"),
            ask("HEAD $1", "200 | Upload-Offset: 0 | Upload-Length: 10"),
        ],
    ),
    row(
        "PATCH",
        "the last request repeated, as its answer was lost, leads to the same end",
        &[
            ask(TEN, MADE),
            send(AT_0, "0123456789", "204 | Upload-Offset: 10"),
            send(AT_0, "0123456789", "409 | Upload-Offset: 10"),
            ask(
                "PATCH $1 | Upload-Offset: 10 | Content-Type: application/offset+octet-stream",
                "204 | Upload-Offset: 10",
            ),
        ],
    ),
    row(
        "OPTIONS",
        "the configuration is told with success, and the versions in it",
        &[
            ask("OPTIONS /v1/uploads", "204 | Tus-Version: 1.0.0 | Tus-Resumable: 1.0.0"),
            ask("@nobody OPTIONS /v1/uploads", "204 | Tus-Version: 1.0.0"),
        ],
    ),
    row(
        "OPTIONS",
        "the client's version is passed over",
        &[
            ask("OPTIONS /v1/uploads | -Tus-Resumable", "204 | Tus-Version: 1.0.0"),
            ask("OPTIONS /v1/uploads | Tus-Resumable: 0.0.1", "204 | Tus-Version: 1.0.0"),
        ],
    ),
];
