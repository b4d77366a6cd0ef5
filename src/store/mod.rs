//! Object storage behind one struct; one enum owns every path and location.
