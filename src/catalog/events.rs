//! What happened; rows are added, never changed but for a viewing's last time.
