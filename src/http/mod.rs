//! The outside face: routes, typed headers, ranges, problems, pages.
