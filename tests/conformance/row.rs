//! The form of a row, and of a step in it.

/// Which protocol a table's requests speak, unless a step says otherwise.
#[derive(Debug, Clone, Copy)]
pub enum Speaks {
    /// `Tus-Resumable: 1.0.0`.
    Tus,
    /// `Upload-Draft-Interop-Version` with this value.
    Draft(&'static str),
}

/// A sentence of a protocol and the exchange that shows it.
pub struct Row {
    /// Where it stands; in an extension's table what is before ` · ` is the extension's name.
    pub section: &'static str,
    /// The sentence, in our words.
    pub says: &'static str,
    /// Requests in their order.
    pub exchange: &'static [Step],
}

/// A request and what its answer has to be.
///
/// A request is `[@who] [how] METHOD target | Name: value | …`. `@owner`, `@other` (another vehicle of the owner's) and `@nobody`
/// ask in place of the vehicle. How: `cut` ends the connection behind the body, `hang` leaves it open and goes on, `chunked`
/// announces no length, `head` sends no body and waits, `until` asks again while the answer is 202. `$1` is the first upload
/// whose address this row was told, `$2` the second. `-Name` leaves out a header that is sent otherwise. Values may hold
/// `{url1}`, `{path1}`, `{sha1}`, `{sha256}`, `{sha512}`, `{crc32c}` (of the body, base64), `{sha256:text}`, `{b64:text}`,
/// `{hex:text}` (the SHA-256 of a text in hexadecimal, base64).
///
/// An expectation is `status | Name: value | …`: `4xx` is any of them, `*` any value, `~text` a value that holds the text, `!Name`
/// a header that is not there, `body: ~text` a text of the body.
pub struct Step {
    /// The request's head.
    pub ask: &'static str,
    /// Its body.
    pub body: &'static str,
    /// What the answer has to be; nothing where none is waited for.
    pub expect: &'static str,
}

/// A row of a table.
pub const fn row(section: &'static str, says: &'static str, exchange: &'static [Step]) -> Row {
    Row {
        section,
        says,
        exchange,
    }
}

/// A request without a body.
pub const fn ask(ask: &'static str, expect: &'static str) -> Step {
    Step { ask, body: "", expect }
}

/// A request whose answer nobody waits for.
pub const fn lose(ask: &'static str, body: &'static str) -> Step {
    Step { ask, body, expect: "" }
}

/// A request with one.
pub const fn send(ask: &'static str, body: &'static str, expect: &'static str) -> Step {
    Step { ask, body, expect }
}
