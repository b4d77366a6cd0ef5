//! tus 1.0.0, the extensions that OPTIONS names; `tus_concat` has one of them.

use crate::row::{Row, ask, lose, row, send};

const TEN: &str = "POST | Upload-Length: 10";
const MADE: &str = "201 | Location: *";
const BODY: &str = "POST | Upload-Length: 10 | Content-Type: application/offset+octet-stream";
const AT_0: &str = "PATCH $1 | Upload-Offset: 0 | Content-Type: application/offset+octet-stream";

pub const TABLE: &[Row] = &[
    row(
        "creation · POST",
        "a creation tells the address of what it made, which begins at 0",
        &[
            ask(TEN, "201 | Location: ~/v1/uploads/ | Upload-Offset: 0"),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "creation · POST",
        "a creation says a length, or that it will come later",
        &[ask("POST |", "400 | !Location")],
    ),
    row(
        "creation · POST",
        "more than the largest upload is refused",
        &[
            ask("POST | Upload-Length: 68719476737", "413 | !Location"),
            ask("POST | Upload-Length: 99999999999999999999999", "413 | !Location"),
        ],
    ),
    row(
        "creation · POST",
        "an empty upload is no clip: a server may refuse what it does not take",
        &[ask("POST | Upload-Length: 0", "400 | !Location")],
    ),
    row(
        "creation · Upload-Metadata",
        "pairs of a key and base64 between commas are read, a value may be left out, unknown keys are passed over",
        &[ask(
            "POST | Upload-Length: 10 | Upload-Metadata: filename {b64:front.mp4},is_confidential,filetype {b64:video/mp4}",
            MADE,
        )],
    ),
    row(
        "creation · Upload-Metadata",
        "keys are unique and values base64",
        &[
            ask(
                "POST | Upload-Length: 10 | Upload-Metadata: filename {b64:a},filename {b64:b}",
                "400 | !Location",
            ),
            ask(
                "POST | Upload-Length: 10 | Upload-Metadata: filename ???",
                "400 | !Location",
            ),
            ask(
                "POST | Upload-Length: 10 | Upload-Metadata: sha256 {b64:no sum}",
                "400 | !Location | body: ~sha256",
            ),
        ],
    ),
    row(
        "creation · Upload-Metadata",
        "what was said is sealed at once: a question is not answered with it",
        &[
            ask(
                "POST | Upload-Length: 10 | Upload-Metadata: filename {b64:front.mp4}",
                MADE,
            ),
            ask("HEAD $1", "200 | !Upload-Metadata"),
        ],
    ),
    row(
        "creation · POST",
        "a creation repeated for the same clip leads to what it made",
        &[
            ask(
                "POST | Upload-Length: 10 | Upload-Metadata: sha256 {hex:0123456789}",
                "201 | Upload-Offset: 0",
            ),
            send(AT_0, "01234", "204 | Upload-Offset: 5"),
            ask(
                "POST | Upload-Length: 10 | Upload-Metadata: sha256 {hex:0123456789}",
                "201 | Location: {url1} | Upload-Offset: 5",
            ),
            send(
                "PATCH $1 | Upload-Offset: 5 | Content-Type: application/offset+octet-stream",
                "56789",
                "204 | Upload-Offset: 10",
            ),
            ask(
                "POST | Upload-Length: 10 | Repr-Digest: sha-256=:{sha256:0123456789}:",
                "201 | Location: {url1} | Upload-Offset: 10",
            ),
            ask("until GET $1/receipt", "200 | body: ~receipt"),
            ask(
                "POST | Upload-Length: 10 | Upload-Metadata: sha256 {hex:0123456789}",
                "201 | Location: {url1} | Upload-Offset: 10",
            ),
            ask(
                "@other POST | Upload-Length: 10 | Upload-Metadata: sha256 {hex:0123456789}",
                "201 | Location: ~/v1/uploads/ | Upload-Offset: 0",
            ),
            ask("HEAD $2", "404"),
        ],
    ),
    row(
        "creation-with-upload · POST",
        "the first bytes may come with the creation, and the answer says how many were taken",
        &[
            send(BODY, "hello", "201 | Location: * | Upload-Offset: 5"),
            ask("HEAD $1", "200 | Upload-Offset: 5"),
        ],
    ),
    row(
        "creation-with-upload · POST",
        "all bytes may come with it",
        &[
            send(BODY, "0123456789", "201 | Upload-Offset: 10 | !Upload-Expires"),
            ask("until GET $1/receipt", "200 | body: ~receipt"),
        ],
    ),
    row(
        "creation-with-upload · POST",
        "the body has the type of the protocol's bytes, or is none of the upload's",
        &[
            send(
                "POST | Upload-Length: 10 | Content-Type: text/plain",
                "hello",
                "201 | Upload-Offset: 0",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "creation-with-upload · POST",
        "a body that is refused leaves the upload, and its address is told",
        &[
            send(BODY, "01234567890", "413 | Location: *"),
            ask("HEAD $1", "200 | Upload-Offset: 0 | Upload-Length: 10"),
        ],
    ),
    row(
        "creation-with-upload · POST",
        "a wrong checksum leaves the upload at 0",
        &[
            send(
                "POST | Upload-Length: 10 | Content-Type: application/offset+octet-stream | Upload-Checksum: sha256 {sha256:else}",
                "hello",
                "460 | Location: *",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "creation-defer-length · Upload-Defer-Length",
        "a length that is not known yet is said to come, and every question is answered so",
        &[
            ask("POST | Upload-Defer-Length: 1", MADE),
            ask("HEAD $1", "200 | Upload-Defer-Length: 1 | !Upload-Length"),
            send(AT_0, "hello", "204 | Upload-Offset: 5"),
            ask("HEAD $1", "200 | Upload-Defer-Length: 1 | !Upload-Length"),
        ],
    ),
    row(
        "creation-defer-length · Upload-Defer-Length",
        "its one value is 1",
        &[
            ask("POST | Upload-Defer-Length: 2", "400 | !Location"),
            ask("POST | Upload-Defer-Length: true", "400 | !Location"),
            ask("POST | Upload-Defer-Length:", "400 | !Location"),
        ],
    ),
    row(
        "creation-defer-length · Upload-Defer-Length",
        "a length that is told is not deferred",
        &[ask(
            "POST | Upload-Defer-Length: 1 | Upload-Length: 10",
            "400 | !Location",
        )],
    ),
    row(
        "creation-defer-length · POST",
        "the next request tells the length once it is known, and it never changes",
        &[
            ask("POST | Upload-Defer-Length: 1", MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Length: 10 | Content-Type: application/offset+octet-stream",
                "hello",
                "204 | Upload-Offset: 5",
            ),
            ask("HEAD $1", "200 | Upload-Length: 10 | !Upload-Defer-Length"),
            send(
                "PATCH $1 | Upload-Offset: 5 | Upload-Length: 11 | Content-Type: application/offset+octet-stream",
                "world",
                "400",
            ),
            ask("HEAD $1", "200 | Upload-Length: 10 | Upload-Offset: 5"),
        ],
    ),
    row(
        "creation-defer-length · POST",
        "a length below what is there is refused",
        &[
            ask("POST | Upload-Defer-Length: 1", MADE),
            send(AT_0, "hello", "204 | Upload-Offset: 5"),
            send(
                "PATCH $1 | Upload-Offset: 5 | Upload-Length: 4 | Content-Type: application/offset+octet-stream",
                "",
                "400",
            ),
            ask("HEAD $1", "200 | Upload-Defer-Length: 1 | Upload-Offset: 5"),
        ],
    ),
    row(
        "expiration · Upload-Expires",
        "the end is told at the creation, with every request that brings bytes, and as HTTP writes dates",
        &[
            ask(TEN, "201 | Upload-Expires: ~ GMT"),
            send(AT_0, "hello", "204 | Upload-Expires: ~ GMT"),
            ask("HEAD $1", "200 | Upload-Expires: ~ GMT"),
        ],
    ),
    row(
        "expiration · Upload-Expires",
        "an upload that is complete has no end",
        &[
            ask(TEN, MADE),
            send(AT_0, "0123456789", "204 | !Upload-Expires"),
            ask("HEAD $1", "200 | !Upload-Expires"),
        ],
    ),
    row(
        "expiration · Upload-Expires",
        "an upload that was removed is gone, as it is remembered",
        &[
            ask(TEN, MADE),
            ask("@owner DELETE $1", "204"),
            send(AT_0, "hello", "410"),
            ask("HEAD $1", "410 | !Upload-Offset"),
        ],
    ),
    row(
        "checksum · Upload-Checksum",
        "a body with the right sum is taken, by every algorithm that is named",
        &[
            ask(
                "OPTIONS /v1/uploads",
                "204 | Tus-Checksum-Algorithm: sha1,sha256,sha512,crc32c",
            ),
            ask(TEN, MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Checksum: sha1 {sha1} | Content-Type: application/offset+octet-stream",
                "he",
                "204 | Upload-Offset: 2",
            ),
            send(
                "PATCH $1 | Upload-Offset: 2 | Upload-Checksum: sha256 {sha256} | Content-Type: application/offset+octet-stream",
                "ll",
                "204 | Upload-Offset: 4",
            ),
            send(
                "PATCH $1 | Upload-Offset: 4 | Upload-Checksum: crc32c {crc32c} | Content-Type: application/offset+octet-stream",
                "o ",
                "204 | Upload-Offset: 6",
            ),
            send(
                "PATCH $1 | Upload-Offset: 6 | Upload-Checksum: sha512 {sha512} | Content-Type: application/offset+octet-stream",
                "worl",
                "204 | Upload-Offset: 10",
            ),
        ],
    ),
    row(
        "checksum · Upload-Checksum",
        "a body with another sum is discarded, by every algorithm that is named, and the offset stays",
        &[
            ask(TEN, MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0= | Content-Type: application/offset+octet-stream",
                "hello",
                "460",
            ),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Checksum: sha256 {sha256:hellO} | Content-Type: application/offset+octet-stream",
                "hello",
                "460",
            ),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Checksum: crc32c Nks/tw== | Content-Type: application/offset+octet-stream",
                "hello",
                "460",
            ),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Checksum: sha512 3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw== | Content-Type: application/offset+octet-stream",
                "hello",
                "460",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "checksum · Upload-Checksum",
        "an algorithm that is not named is refused, and nothing is taken",
        &[
            ask(TEN, MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Checksum: md5 XUFAKrxLKna5cZ2REBfFkg== | Content-Type: application/offset+octet-stream",
                "hello",
                "400",
            ),
            send(
                "PATCH $1 | Upload-Offset: 0 | Upload-Checksum: sha256 | Content-Type: application/offset+octet-stream",
                "hello",
                "400",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "checksum · Upload-Checksum",
        "of a body that is cut before its sum could be compared nothing is kept",
        &[
            ask(TEN, MADE),
            lose(
                "cut PATCH $1 | Content-Length: 10 | Upload-Offset: 0 | Upload-Checksum: sha256 {sha256} | Content-Type: application/offset+octet-stream",
                "hello",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "checksum · trailers",
        "trailers are not offered, and a sum that would come in one is not passed over",
        &[
            ask(TEN, MADE),
            send(
                "chunked PATCH $1 | Upload-Offset: 0 | Trailer: Upload-Checksum | Content-Type: application/offset+octet-stream",
                "hello",
                "400 | body: ~Trailer",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 0"),
        ],
    ),
    row(
        "checksum · Content-Digest (RFC 9530)",
        "a digest field does what the protocol's own header does",
        &[
            ask(TEN, MADE),
            send(
                "PATCH $1 | Upload-Offset: 0 | Content-Digest: sha-256=:{sha256:else}: | Content-Type: application/offset+octet-stream",
                "hello",
                "460",
            ),
            send(
                "PATCH $1 | Upload-Offset: 0 | Content-Digest: sha-512=:{sha512}: | Content-Type: application/offset+octet-stream",
                "hello",
                "204 | Upload-Offset: 5",
            ),
        ],
    ),
    row(
        "termination · DELETE",
        "an upload that is not complete is ended and its address is gone",
        &[
            ask(TEN, MADE),
            send(AT_0, "hello", "204"),
            ask("@owner DELETE $1", "204"),
            ask("HEAD $1", "410 | !Upload-Offset"),
            send(
                "PATCH $1 | Upload-Offset: 5 | Content-Type: application/offset+octet-stream",
                "world",
                "410",
            ),
            ask("@owner DELETE $1", "410"),
        ],
    ),
    row(
        "termination · DELETE",
        "what is not there cannot be ended",
        &[ask("@owner DELETE /v1/uploads/aaaaaaaaaaaaaaaaaaaaaaaaaa", "404")],
    ),
    row(
        "termination · DELETE",
        "a vehicle ends nothing, and a clip that is complete is deleted as a clip",
        &[
            ask(TEN, MADE),
            ask("DELETE $1", "403"),
            send(AT_0, "0123456789", "204 | Upload-Offset: 10"),
            ask("@owner DELETE $1", "409"),
            ask("HEAD $1", "200 | Upload-Offset: 10"),
        ],
    ),
    row(
        "termination · DELETE",
        "a request under way is ended with its upload",
        &[
            ask(TEN, MADE),
            lose(
                "hang PATCH $1 | Content-Length: 10 | Upload-Offset: 0 | Content-Type: application/offset+octet-stream",
                "hello",
            ),
            ask("@owner DELETE $1", "204"),
            ask("HEAD $1", "410"),
        ],
    ),
];
