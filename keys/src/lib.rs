//! Formats, wraps, root-key providers, tokens and receipts; no network server, no SQL.
