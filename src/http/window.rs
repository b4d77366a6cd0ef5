//! How far a connection is read ahead of what becomes of its body.
//!
//! The HTTP library reads what the socket has, up to 128 KiB, keeps as much again in a queue, and has no setting for either:
//! thousands of vehicles whose bytes wait for the disk would fill the memory. So the stream that it reads from stops when
//! enough of a body is on its way, counted from the socket until the sealed bytes have taken its place; the rest waits with
//! the sender.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use actix_web::web::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What all bodies together may have on their way.
const ALL_BYTES: usize = 32 << 20;
/// What a body may have on its way when there are few: a fast one needs some to keep every thread at work.
const MOST_BYTES: usize = 256 << 10;
/// What a body may have on its way however many there are.
const LEAST_BYTES: usize = 32 << 10;
/// What is read at a time where no request is under way: heads, and what a refused client still sends. One that has sent much
/// before it is looked at would make the library's buffer large, and that never becomes smaller.
const BEFORE_BYTES: usize = 16 << 10;

/// The bodies of one listener.
#[derive(Default)]
pub(super) struct Windows {
    open: AtomicUsize,
}

/// What one connection has on its way.
pub(super) struct Window {
    all: Arc<Windows>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether a request is being answered; before and after it nothing is held back.
    is_open: bool,
    /// Bytes between the socket and whoever takes the body. What came with the head is not counted, and comes off.
    unread: isize,
    /// Bytes that were taken and are not sealed yet.
    held: usize,
    /// Bytes that were read at a stretch where no request is under way.
    before: usize,
    /// Who reads from the socket, if it was held back.
    waker: Option<Waker>,
}

/// A request under way.
pub(super) struct Open {
    window: Arc<Window>,
}

/// A stream that is read no further than its window allows.
pub(super) struct Windowed<T> {
    io: T,
    window: Arc<Window>,
}

/// A piece of a body that counts until it is dropped.
struct Held {
    bytes: Bytes,
    window: Arc<Window>,
}

impl Windows {
    fn bytes_of_each(&self) -> usize {
        (ALL_BYTES / self.open.load(Ordering::Relaxed).max(1)).clamp(LEAST_BYTES, MOST_BYTES)
    }
}

impl Window {
    fn new(all: Arc<Windows>) -> Arc<Self> {
        Arc::new(Self {
            all,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self, state: &State) -> bool {
        let on_their_way = state.held.saturating_add_signed(state.unread.max(0));
        state.is_open && on_their_way >= self.all.bytes_of_each()
    }

    /// Begins to hold back; until what is returned is dropped.
    pub fn open(self: &Arc<Self>) -> Open {
        let mut state = self.state();
        state.is_open = true;
        state.unread = 0;
        self.all.open.fetch_add(1, Ordering::Relaxed);
        Open {
            window: Arc::clone(self),
        }
    }

    /// A chunk of the body, which counts until the last of it is dropped.
    pub fn take(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let mut state = self.state();
        state.unread -= bytes.len().cast_signed();
        state.held += bytes.len();
        drop(state);
        Bytes::from_owner(Held {
            bytes,
            window: Arc::clone(self),
        })
    }

    /// Says that there is nothing to take. Needed where a body has bytes that nobody ever takes, as chunked ones have.
    pub fn is_drained(&self) {
        self.wake_if_room(|state| state.unread = 0);
    }

    fn wake_if_room(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waker = if self.is_full(&state) { None } else { state.waker.take() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.window.all.open.fetch_sub(1, Ordering::Relaxed);
        self.window.wake_if_room(|state| state.is_open = false);
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let length = self.bytes.len();
        self.window.wake_if_room(|state| state.held -= length);
    }
}

impl<T> Windowed<T> {
    pub fn new(io: T, all: &Arc<Windows>) -> Self {
        Self {
            io,
            window: Window::new(Arc::clone(all)),
        }
    }

    pub fn window(&self) -> Arc<Window> {
        Arc::clone(&self.window)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Windowed<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        {
            let mut state = self.window.state();
            if self.window.is_full(&state) {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if !state.is_open && state.before >= BEFORE_BYTES {
                state.before = 0;
                // The reader goes on when it has looked at what came.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let came = buf.filled().len() - before;
        let mut state = self.window.state();
        state.unread += came.cast_signed();
        state.before = if state.is_open { 0 } else { state.before + came };
        drop(state);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Windowed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[derive(Debug)]
    enum Way {
        Sealed,
        Drained,
        Answered,
    }

    /// A connection whose sender sends zeros for ever, and how many there are to share the budget with.
    fn endless(others: usize) -> (Windowed<tokio::io::DuplexStream>, Arc<Windows>) {
        let all = Arc::new(Windows {
            open: AtomicUsize::new(others),
        });
        let (io, mut sender) = tokio::io::duplex(8 << 10);
        tokio::spawn(async move { while sender.write_all(&[0; 1024]).await.is_ok() {} });
        (Windowed::new(io, &all), all)
    }

    /// Reads until nothing more comes.
    async fn read_all(connection: &mut Windowed<tokio::io::DuplexStream>) -> usize {
        let mut buffer = vec![0; 8 << 10];
        let mut came = 0;
        while let Ok(read) = timeout(SOON, connection.read(&mut buffer)).await {
            came += read.expect("bytes");
            assert!(came < 64 << 20, "nothing holds it back");
        }
        came
    }

    #[tokio::test]
    async fn a_body_is_read_as_far_as_its_share_and_on_when_some_of_it_is_sealed() {
        for (others, share) in [(0, MOST_BYTES), (127, ALL_BYTES / 128), (100_000, LEAST_BYTES)] {
            let (mut connection, _) = endless(others);
            let window = connection.window();
            let _open = window.open();
            let came = read_all(&mut connection).await;
            assert!((share..share + (8 << 10)).contains(&came), "{came} of {share}");
            let chunk = window.take(Bytes::from(vec![0; came]));
            assert_eq!(read_all(&mut connection).await, 0, "taken is not sealed");
            let half = chunk.slice(..came / 2);
            drop(chunk);
            assert_eq!(read_all(&mut connection).await, 0, "half of it is not sealed");
            drop(half);
            assert!(read_all(&mut connection).await >= share);
        }
    }

    #[tokio::test]
    async fn a_reader_that_was_held_back_is_woken() {
        let (mut connection, _) = endless(0);
        let window = connection.window();
        let mut open = Some(window.open());
        let came = read_all(&mut connection).await;
        for way in [Way::Sealed, Way::Drained, Way::Answered] {
            let waiting = tokio::spawn(async move {
                let mut buffer = vec![0; 1];
                connection.read_exact(&mut buffer).await.expect("a byte");
                connection
            });
            tokio::time::sleep(SOON).await;
            assert!(!waiting.is_finished(), "{way:?}");
            match way {
                Way::Sealed => drop(window.take(Bytes::from(vec![0; came]))),
                Way::Drained => window.is_drained(),
                Way::Answered => open = None,
            }
            connection = timeout(SOON * 20, waiting)
                .await
                .expect("it is woken")
                .expect("a reader");
            if open.is_some() {
                read_all(&mut connection).await;
            }
        }
    }

    #[tokio::test]
    async fn after_its_answer_a_connection_is_read_without_end() {
        let (mut connection, all) = endless(0);
        let open = connection.window().open();
        assert!(read_all(&mut connection).await < 2 * MOST_BYTES);
        drop(open);
        assert_eq!(all.open.load(Ordering::Relaxed), 0);
        let mut much = vec![0; 4 * MOST_BYTES];
        timeout(SOON * 100, connection.read_exact(&mut much))
            .await
            .expect("no end")
            .expect("bytes");
    }

    #[tokio::test]
    async fn bytes_that_came_with_the_head_do_not_hold_up_the_rest() {
        let (mut connection, _) = endless(100_000);
        let window = connection.window();
        let _open = window.open();
        drop(window.take(Bytes::from(vec![0; LEAST_BYTES])));
        assert!(read_all(&mut connection).await >= 2 * LEAST_BYTES);
    }
}
