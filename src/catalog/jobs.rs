//! The queue of work and its leases.
