//! Types shared by the vault and its media worker.
