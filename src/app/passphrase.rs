//! Passphrases that a command is given: from a file, from standard input, or from the person at the terminal.

use std::io::IsTerminal as _;
use std::path::Path;

use dashvault_keys::Zeroizing;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::CommandError;

/// From the file that was named, else from the person at the terminal, twice when it is new.
pub(super) fn read(named: Option<&Path>, flag: &str, new: bool) -> Result<Zeroizing<String>, CommandError> {
    match named {
        Some(path) if path.as_os_str() == "-" => first_line(std::io::stdin().lock()),
        Some(path) => {
            let opened = std::fs::File::open(path);
            let opened = opened.map_err(|source| file(format!("{} cannot be read", path.display()), source))?;
            first_line(std::io::BufReader::new(opened))
        }
        None if !std::io::stdin().is_terminal() => Err(CommandError::Refused(format!(
            "no passphrase: name its file with {flag}, `-` for standard input"
        ))),
        None => {
            let first = ask("Passphrase: ")?;
            if new && *ask("The same again: ")? != *first {
                return Err(CommandError::Refused("the two passphrases differ".to_owned()));
            }
            Ok(first)
        }
    }
}

fn first_line(mut from: impl std::io::BufRead) -> Result<Zeroizing<String>, CommandError> {
    let mut line = Zeroizing::new(String::new());
    from.read_line(&mut line)
        .map_err(|source| file("the passphrase cannot be read".to_owned(), source))?;
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    Ok(line)
}

/// Asks at the terminal, which shows nothing of what is typed.
fn ask(prompt: &str) -> Result<Zeroizing<String>, CommandError> {
    let failed = |source: std::io::Error| file("the terminal cannot be read".to_owned(), source);
    let stdin = std::io::stdin();
    let shown = tcgetattr(&stdin).map_err(|e| failed(e.into()))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    eprint!("{prompt}");
    tcsetattr(&stdin, OptionalActions::Now, &hidden).map_err(|e| failed(e.into()))?;
    let line = first_line(stdin.lock());
    let back = tcsetattr(&stdin, OptionalActions::Now, &shown);
    eprintln!();
    back.map_err(|e| failed(e.into()))?;
    line
}

fn file(what: String, source: std::io::Error) -> CommandError {
    CommandError::File { what, source }
}
