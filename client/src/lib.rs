//! The vehicle's side: pairing, tokens, resumable uploads, receipts.
