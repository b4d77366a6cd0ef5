//! Cuts the connection of a sender that may send no more.
//!
//! After a refusal the server reads away what a client still sends, so that it can read the answer: who was refused is mostly
//! somebody of ours. A vehicle that was revoked is not listened to any more. Nothing further is read from it, so that its bytes
//! pile up on its own side, and after a moment for the answer its connection is closed on them.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::HttpRequest;
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::ConnectionType;
use actix_web::web::{Bytes, Payload};
use tokio::time::{Sleep, sleep};

/// A client that reads while it sends has the answer by then, over a poor link too; with the second in which a revocation is
/// noticed this is within the five in which it must be felt.
const FOR_THE_ANSWER: Duration = Duration::from_secs(2);

/// Where whoever read a request's body puts it back. While it is held, what still comes is neither read nor thrown away.
#[derive(Clone, Default)]
pub(super) struct Unread(Rc<Cell<Option<Payload>>>);

impl Unread {
    /// A place for the body of a request, which lasts as long as the request.
    pub fn of(request: &HttpRequest) -> Self {
        let unread = Self::default();
        request.extensions_mut().insert(unread.clone());
        unread
    }

    pub fn put(&self, payload: Payload) {
        self.0.set(Some(payload));
    }
}

/// A mark on a request: its answer is the last that its connection carries.
struct Unwelcome;

/// Has the connection of a request closed soon after its answer.
pub(super) fn after_the_answer(request: &HttpRequest) {
    request.extensions_mut().insert(Unwelcome);
}

/// Does to an answer what was asked for with [`after_the_answer`].
pub(super) fn finish<B: MessageBody + 'static>(
    answer: ServiceResponse<EitherBody<B>>,
) -> ServiceResponse<EitherBody<B>> {
    let (is_unwelcome, unread) = {
        let mut extensions = answer.request().extensions_mut();
        (
            extensions.remove::<Unwelcome>().is_some(),
            extensions.remove::<Unread>(),
        )
    };
    if !is_unwelcome {
        return answer;
    }
    answer.map_body(|head, body| {
        head.set_connection_type(ConnectionType::Close);
        EitherBody::right(BoxBody::new(Last {
            body: body.boxed(),
            over: None,
            _unread: unread,
        }))
    })
}

/// The body of the last answer: when all of it is told it waits, and then breaks the connection off.
struct Last {
    body: BoxBody,
    over: Option<Pin<Box<Sleep>>>,
    _unread: Option<Unread>,
}

impl MessageBody for Last {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.over.is_none() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(None) => {}
                more => return more,
            }
        }
        let over = self.over.get_or_insert_with(|| Box::pin(sleep(FOR_THE_ANSWER)));
        over.as_mut().poll(context).map(|()| Some(Err(Over.into())))
    }
}

/// Why the body of a last answer has no end.
#[derive(Debug)]
struct Over;

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its sender was revoked")
    }
}

impl std::error::Error for Over {}
