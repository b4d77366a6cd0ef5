//! The media worker: decodes and encodes one clip in a sandbox of its own.
//!
//! It is started by the vault with a control socket and a pipe for each output, and by nobody else. What it is to do comes in the first frame;
//! then its sandbox closes, and only then does it ask for the first byte of a clip.

mod control;
mod copy;
#[cfg(debug_assertions)]
mod escape;
mod failure;
mod graph;
mod input;
mod libav;
mod make;
mod mux;
mod nal;
mod poster;
mod probe;
mod rung;
mod sandbox;
mod sound;
mod timeline;

use std::process::ExitCode;

use dashvault_worker_protocol::{Failure, FromWorker, Job, Start};

use control::Control;
use input::Input;

/// Below the service that started it: who watches a clip comes before who makes one.
const NICENESS: i32 = 10;
/// Started by hand.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve-vault"] => serve(),
        #[cfg(debug_assertions)]
        ["escape", name] => std::process::exit(escape::attempt(name, false)),
        #[cfg(debug_assertions)]
        ["escape", name, "--open-door"] => std::process::exit(escape::attempt(name, true)),
        _ => {
            eprintln!("dashvault-worker is started by dashvault; there is nothing to do with it by hand.");
            ExitCode::from(USAGE)
        }
    }
}

/// Exit code 0 says that a final frame was sent; what it says is another matter.
fn serve() -> ExitCode {
    let control = Control::inherited();
    let result = match control.start() {
        Ok(start) => run(&control, start),
        Err(error) => Err(Failure::Internal(error.to_string())),
    };
    match control.send(&result.unwrap_or_else(FromWorker::Failed)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the vault is gone: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(control: &Control, start: Start) -> Result<FromWorker, Failure> {
    let outputs = if let Job::Make(plan) = &start.job {
        plan.outputs.len()
    } else {
        0
    };
    control::close_others(outputs);
    // SAFETY: takes a plain number.
    unsafe { libc::nice(NICENESS) };
    // Everything that opens a file or counts processors has to happen before the doors close.
    libav::init().map_err(|failed| failed.0)?;
    sandbox::apply(start.limits, start.allow_unsandboxed).map_err(Failure::Sandbox)?;
    let input = Input::new(control.clone(), start.input_bytes);
    match start.job {
        Job::SelfTest => sandbox::self_test()
            .map(|()| FromWorker::Tested)
            .map_err(Failure::Sandbox),
        Job::SelfTestFatal => Err(Failure::Sandbox(sandbox::self_test_fatal())),
        Job::Probe => {
            let probe = probe::probe(input, start.input_bytes).map_err(|failed| failed.0)?;
            Ok(FromWorker::Probed(Box::new(probe)))
        }
        Job::Make(plan) => make::make(control, input, &plan)
            .map(FromWorker::Made)
            .map_err(|failed| failed.0),
    }
}
