//! Where keys, key rows and the store meet; every byte that is stored passes here.
