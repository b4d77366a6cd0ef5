//! Boxes of ISO base media files (ISO/IEC 14496-12): found by type, written with their size.

/// A box of 4 size and 4 type bytes; what `body` writes is its content.
pub(super) fn write_box(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out);
    // A header's tables are bounded by the limits of an index, far below 4 GiB.
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// A box with a version and flags.
pub(super) fn write_full_box(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    write_box(out, kind, |out| {
        put32(out, u32::from(version) << 24 | flags);
        body(out);
    });
}

pub(super) fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// The boxes that lie one behind the other in `content`, as (type, whole box, content). Ends at the first bytes that are
/// no whole box.
pub(super) fn boxes(content: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8], &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let size = usize::try_from(read32(rest, 0)?).ok()?;
        let kind: [u8; 4] = rest.get(4..8)?.try_into().ok()?;
        let whole = rest.get(..size).filter(|_| size >= 8)?;
        rest = &rest[size..];
        Some((kind, whole, &whole[8..]))
    })
}

/// The whole first box of a type.
pub(super) fn whole_box<'a>(content: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(content)
        .find(|(found, ..)| found == kind)
        .map(|(_, whole, _)| whole)
}

/// The content of the first box of a type.
pub(super) fn inside<'a>(content: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    whole_box(content, kind).map(|whole| &whole[8..])
}

pub(super) fn read16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(super) fn read32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(super) fn read64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
