//! tus 1.0.0, concatenation.

use crate::row::{Row, ask, row, send};

const TEN: &str = "POST | Upload-Length: 10";
const MADE: &str = "201 | Location: *";
const PART: &str = "POST | Upload-Concat: partial | Upload-Length: 5 | Content-Type: application/offset+octet-stream";

pub const TABLE: &[Row] = &[
    row(
        "concatenation · Upload-Concat",
        "partial uploads become one, whose length is the sum of theirs",
        &[
            send(PART, "hello", "201 | Upload-Offset: 5"),
            send(PART, "world", "201 | Upload-Offset: 5"),
            ask(
                "POST | Upload-Concat: final;{url1} {url2}",
                "201 | Location: * | Upload-Offset: 10",
            ),
            ask("HEAD $3", "200 | Upload-Offset: 10 | Upload-Length: 10"),
        ],
    ),
    row(
        "concatenation · Upload-Concat",
        "they follow each other as they are listed, whichever came first",
        &[
            send(PART, "world", "201 | Upload-Offset: 5"),
            send(PART, "hello", "201 | Upload-Offset: 5"),
            ask(
                "POST | Upload-Concat: final;{url2} {url1} | Upload-Metadata: sha256 {hex:helloworld}",
                "201 | Upload-Offset: 10",
            ),
            ask("until GET $3/receipt", "200 | body: ~receipt"),
        ],
    ),
    row(
        "concatenation · Upload-Concat",
        "addresses may be relative",
        &[
            send(PART, "hello", "201 | Upload-Offset: 5"),
            ask("POST | Upload-Concat: final;{path1}", "201 | Upload-Offset: 5"),
        ],
    ),
    row(
        "concatenation · HEAD",
        "a question is answered with the header of the creation, of a part and of the whole",
        &[
            send(PART, "hello", "201 | Upload-Offset: 5"),
            ask(
                "HEAD $1",
                "200 | Upload-Concat: partial | Upload-Offset: 5 | Upload-Length: 5",
            ),
            send(PART, "world", "201 | Upload-Offset: 5"),
            ask("POST | Upload-Concat: final;{url1} {url2}", "201 | Location: *"),
            ask("HEAD $3", "200 | Upload-Concat: final;{url1} {url2}"),
            ask(TEN, MADE),
            ask("HEAD $4", "200 | !Upload-Concat"),
        ],
    ),
    row(
        "concatenation · HEAD",
        "a final upload that was sealed is told of as before",
        &[
            send(PART, "part.", "201 | Upload-Offset: 5"),
            ask("POST | Upload-Concat: final;{url1}", "201 | Upload-Offset: 5"),
            ask("until GET $2/receipt", "200 | body: ~receipt"),
            ask(
                "HEAD $2",
                "200 | Upload-Concat: final;{url1} | Upload-Offset: 5 | Upload-Length: 5",
            ),
            ask("HEAD $1", "410"),
        ],
    ),
    row(
        "concatenation · Upload-Concat",
        "a final upload is created without a length",
        &[
            send(PART, "hello", "201 | Upload-Offset: 5"),
            ask(
                "POST | Upload-Concat: final;{url1} | Upload-Length: 5",
                "400 | !Location",
            ),
            ask(
                "POST | Upload-Concat: final;{url1} | Upload-Defer-Length: 1",
                "400 | !Location",
            ),
            ask("HEAD $1", "200 | Upload-Offset: 5"),
        ],
    ),
    row(
        "concatenation · Upload-Concat",
        "the header says partial, or final and addresses; anything else is refused",
        &[
            ask("POST | Upload-Concat: whole | Upload-Length: 5", "400 | !Location"),
            ask("POST | Upload-Concat: final", "400 | !Location"),
            ask("POST | Upload-Concat: final;", "400 | !Location"),
            ask("POST | Upload-Concat: final;/files/a", "400 | !Location"),
            ask(TEN, MADE),
            ask("POST | Upload-Concat: final;{url1}", "400 | !Location"),
        ],
    ),
    row(
        "concatenation · Upload-Concat",
        "a partial upload whose bytes are missing cannot be joined, as joining unfinished ones is not offered",
        &[
            send(PART, "hell", "201 | Upload-Offset: 4"),
            ask("POST | Upload-Concat: final;{url1}", "409 | !Location"),
            send(
                "PATCH $1 | Upload-Offset: 4 | Content-Type: application/offset+octet-stream",
                "o",
                "204 | Upload-Offset: 5",
            ),
            ask("POST | Upload-Concat: final;{url1}", "201 | Upload-Offset: 5"),
        ],
    ),
    row(
        "concatenation · PATCH",
        "a final upload takes no bytes, and nothing of it or its parts changes",
        &[
            send(PART, "hello", "201 | Upload-Offset: 5"),
            ask("POST | Upload-Concat: final;{url1}", "201 | Upload-Offset: 5"),
            send(
                "PATCH $2 | Upload-Offset: 5 | Content-Type: application/offset+octet-stream",
                "world",
                "403",
            ),
            ask("HEAD $2", "200 | Upload-Offset: 5 | Upload-Length: 5"),
        ],
    ),
    row(
        "concatenation · Upload-Concat",
        "a partial upload may be used up by the one that it was joined to; the same request again leads to that",
        &[
            send(PART, "hello", "201 | Upload-Offset: 5"),
            send(PART, "world", "201 | Upload-Offset: 5"),
            ask("POST | Upload-Concat: final;{url1} {url2}", "201 | Location: *"),
            ask(
                "POST | Upload-Concat: final;{url1} {url2}",
                "201 | Location: {url3} | Upload-Offset: 10",
            ),
            ask("POST | Upload-Concat: final;{url2} {url1}", "409 | !Location"),
            ask("POST | Upload-Concat: final;{url1} {url1}", "400 | !Location"),
        ],
    ),
    row(
        "concatenation · Upload-Concat",
        "nobody joins what another sends",
        &[
            send(PART, "hello", "201 | Upload-Offset: 5"),
            ask("@other POST | Upload-Concat: final;{url1}", "404 | !Location"),
            ask("@owner POST | Upload-Concat: final;{url1}", "404 | !Location"),
            ask("HEAD $1", "200 | Upload-Offset: 5"),
        ],
    ),
    row(
        "concatenation · Upload-Metadata",
        "metadata belongs to the final upload",
        &[
            send(
                "POST | Upload-Concat: partial | Upload-Length: 5 | Upload-Metadata: sha256 {hex:not these} | Content-Type: application/offset+octet-stream",
                "hello",
                "201 | Upload-Offset: 5",
            ),
            ask("POST | Upload-Concat: final;{url1}", "201 | Upload-Offset: 5"),
            ask("until GET $2/receipt", "200 | body: ~receipt"),
        ],
    ),
    row(
        "concatenation · Upload-Concat",
        "parts that together are not what was declared are no clip",
        &[
            send(PART, "hello", "201 | Upload-Offset: 5"),
            ask(
                "POST | Upload-Concat: final;{url1} | Upload-Metadata: sha256 {hex:world}",
                "201 | Upload-Offset: 5",
            ),
            ask("until GET $2/receipt", "409 | body: ~sha256_mismatch"),
        ],
    ),
];
