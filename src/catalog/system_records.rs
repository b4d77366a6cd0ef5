//! The wrapped system record, one a root epoch.
