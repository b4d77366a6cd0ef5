//! Resumable uploads as sealed pieces, and their receipts.
