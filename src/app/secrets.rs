//! Secrets among the process's variables: taken out before the first thread starts, so that no child process has them and
//! `/proc/PID/environ` does not show them for as long as the service runs.

use std::ffi::{CString, c_char};
use std::sync::{Mutex, PoisonError};

use dashvault_keys::Zeroizing;

/// Variables whose value is a secret that opens the root key.
const SECRET_VARIABLES: [&str; 2] = ["DASHVAULT_KEYRING_PASSPHRASE", "DASHVAULT_PKCS11_PIN"];

/// What was taken and not asked for yet.
static TAKEN: Mutex<Vec<(&str, Zeroizing<String>)>> = Mutex::new(Vec::new());

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *mut c_char;
}

/// Takes every secret out of the environment. Only from `main`'s thread, before there is another.
pub(super) fn take_from_environment() {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    for name in SECRET_VARIABLES {
        if let Ok(value) = std::env::var(name) {
            taken.push((name, Zeroizing::new(value)));
            erase(name);
        }
    }
}

/// A secret variable's value, the first time that it is asked for.
pub(super) fn take(name: &str) -> Option<String> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let at = taken.iter().position(|(known, _)| *known == name)?;
    Some(std::mem::take(&mut *taken.swap_remove(at).1))
}

/// Overwrites a variable where the kernel put it, and takes its name away.
fn erase(name: &str) {
    let Ok(c_name) = CString::new(name) else { return };
    // SAFETY: no other thread runs yet, so nobody reads or changes the environment meanwhile; the pointer is null or one to a
    // string that ends with a zero and lies in the process's own writable memory, of which only the bytes before the zero
    // are written.
    unsafe {
        let mut byte = getenv(c_name.as_ptr());
        while !byte.is_null() && byte.read() != 0 {
            byte.write_volatile(0);
            byte = byte.add(1);
        }
        std::env::remove_var(name);
    }
}
