//! The worker's end of the control socket.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use dashvault_worker_protocol::{
    CONTROL_FD, FIRST_OUTPUT_FD, FromWorker, MAX_ANSWER_BYTES, MAX_FRAME_BYTES, Start, ToWorker, frame_length,
};

/// Speaks with the vault. Clones share the one socket.
#[derive(Clone)]
pub struct Control(Arc<Mutex<Socket>>);

struct Socket {
    // A file, because read and write are the two calls that the sandbox leaves to a socket.
    file: File,
    frame: Vec<u8>,
}

impl Control {
    /// Takes over the descriptor that the vault left open; may be called once.
    pub fn inherited() -> Self {
        // SAFETY: the vault starts the worker with this descriptor open, and nothing else in this process owns it.
        let file = unsafe { OwnedFd::from_raw_fd(CONTROL_FD) };
        Self(Arc::new(Mutex::new(Socket {
            file: file.into(),
            frame: Vec::new(),
        })))
    }

    /// Waits for the first frame.
    pub fn start(&self) -> std::io::Result<Start> {
        let mut socket = self.lock();
        socket.receive()?;
        match ToWorker::decode(&socket.frame) {
            Ok(ToWorker::Start(start)) => Ok(*start),
            _ => Err(wrong("the first frame is no start")),
        }
    }

    /// Sends a frame.
    pub fn send(&self, frame: &FromWorker) -> std::io::Result<()> {
        self.lock().file.write_all(&frame.encode())
    }

    /// Asks for input: appends at least one byte from `offset`, and at most `len`, to `into`.
    pub fn read(&self, offset: u64, len: usize, into: &mut Vec<u8>) -> std::io::Result<()> {
        let len = len.min(MAX_ANSWER_BYTES);
        let mut socket = self.lock();
        let request = FromWorker::Read {
            offset,
            len: len as u32,
        };
        socket.file.write_all(&request.encode())?;
        socket.receive()?;
        let mut left = match ToWorker::decode(&socket.frame) {
            Ok(ToWorker::Answer(length)) if (1..=len).contains(&(length as usize)) => length as usize,
            Ok(ToWorker::NoInput) => return Err(wrong("the input cannot be read")),
            _ => return Err(wrong("no answer to a range request")),
        };
        while left > 0 {
            socket.receive()?;
            match ToWorker::decode(&socket.frame) {
                Ok(ToWorker::Data(bytes)) if !bytes.is_empty() && bytes.len() <= left => {
                    into.extend_from_slice(bytes);
                    left -= bytes.len();
                }
                _ => return Err(wrong("an answer that is cut")),
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Socket> {
        // Nothing that holds the lock leaves it half-written without ending the process.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socket {
    fn receive(&mut self) -> std::io::Result<()> {
        let mut header = [0; 4];
        self.file.read_exact(&mut header)?;
        let length = frame_length(header).map_err(std::io::Error::other)?;
        debug_assert!(length <= MAX_FRAME_BYTES);
        self.frame.resize(length, 0);
        self.file.read_exact(&mut self.frame)
    }
}

fn wrong(what: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

/// The pipe of output number `output` of the plan; may be called once for each.
pub fn output_pipe(output: usize) -> File {
    // SAFETY: the vault opens one pipe for each output of the plan, in this order, and nothing else here owns it.
    unsafe { OwnedFd::from_raw_fd(FIRST_OUTPUT_FD + output as i32) }.into()
}

/// Closes every descriptor but the standard ones, the control socket and `outputs` pipes: whatever the vault left open by mistake.
pub fn close_others(outputs: usize) {
    let first = (FIRST_OUTPUT_FD as usize + outputs) as u32;
    // SAFETY: takes plain numbers; nothing in this process has opened a descriptor that lies there. A kernel before 5.9 knows
    // no such call: then the vault's close-on-exec flags are what there is.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}
