//! Owners, found by the index of their e-mail address.
