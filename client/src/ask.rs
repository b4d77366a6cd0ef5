//! One question to the vault, and what an answer that is no success means.

use std::time::Duration;

use reqwest::Method;

use crate::answer::Answer;
use crate::{Client, ClientError};

/// Why a try did not bring it to the end.
pub(crate) enum Setback {
    /// Try again, no sooner than this.
    Later(Duration, ClientError),
    /// The vault does not have this upload any more.
    Lost(ClientError),
    /// Trying again would not help.
    Final(ClientError),
    /// The budget of the link is used up: nothing failed.
    Unaffordable,
}

impl Client {
    /// A request without a body of bytes; signed once more by the vault's clock when the token is refused.
    pub(crate) async fn ask(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Result<Answer, Setback> {
        let ask = async || {
            let request = self.connection().request(method.clone(), target);
            let mut request = request.bearer_auth(self.token()).header("Tus-Resumable", "1.0.0");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.send().await.map(Answer::of).map_err(unreachable)
        };
        let answer = ask().await?;
        self.note_time(&answer);
        if self.learn_skew(&answer) {
            return ask().await;
        }
        Ok(answer)
    }
}

pub(crate) fn unreachable(error: reqwest::Error) -> Setback {
    Setback::Later(Duration::ZERO, ClientError::Unreachable(error.into()))
}

/// What an answer that is no success means. 401 and 403 are no success: no file is ever counted as uploaded by them.
pub(crate) async fn setback(answer: Answer) -> Setback {
    let (status, after) = (answer.status(), answer.retry_after());
    if matches!(status, 401 | 403) {
        return Setback::Final(answer.unwelcome().await);
    }
    let refused = answer.refused().await;
    match status {
        404 | 410 => Setback::Lost(refused),
        // The offset is asked for again; the vault is busy, away or full; the connection was slow.
        408 | 409 | 423 | 425 | 429 | 460 | 500.. => Setback::Later(after, refused),
        _ => Setback::Final(refused),
    }
}

impl Setback {
    /// There is nothing that a vault could have lost before an upload began.
    pub(crate) fn of_beginning(self) -> Self {
        match self {
            Self::Lost(error) => Self::Final(error),
            other => other,
        }
    }
}

impl From<ClientError> for Setback {
    fn from(error: ClientError) -> Self {
        match error {
            // An answer whose body broke off is no answer.
            error @ ClientError::Unreachable(_) => Self::Later(Duration::ZERO, error),
            other => Self::Final(other),
        }
    }
}
