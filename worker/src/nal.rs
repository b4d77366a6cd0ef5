//! Keeps of an H.264 stream what makes the picture, and nothing else.
//!
//! Coordinates hide in SEI messages and survive a copy of the stream; x264 writes its settings into one. A list of what stays is
//! short and complete: slices and parameter sets (ITU-T H.264, table 7-1). Everything else goes: SEI, user data in unspecified types, delimiters, filler.

/// How NAL units are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Start codes (annex B).
    StartCodes,
    /// A length of so many bytes before each (ISO/IEC 14496-15).
    Lengths(usize),
}

/// The decoder's configuration with nothing in it but parameter sets, and how the packets are framed.
#[derive(Debug, PartialEq, Eq)]
pub struct Configuration {
    /// To be given to the muxer.
    pub bytes: Vec<u8>,
    /// Of the packets.
    pub framing: Framing,
}

const SPS: u8 = 7;
const PPS: u8 = 8;

fn is_picture(unit: &[u8]) -> bool {
    unit.first()
        .is_some_and(|header| matches!(header & 0x1f, 1..=5 | SPS | PPS))
}

fn is_parameter_set(unit: &[u8]) -> bool {
    unit.first().is_some_and(|header| matches!(header & 0x1f, SPS | PPS))
}

/// The packet with nothing in it but slices and parameter sets, framed as it was. A unit that claims more than there is ends it.
pub fn keep_picture(packet: &[u8], framing: Framing) -> Vec<u8> {
    let mut kept = Vec::with_capacity(packet.len());
    for unit in units(packet, framing).filter(|unit| is_picture(unit)) {
        push(&mut kept, unit, framing);
    }
    kept
}

/// Reads a decoder's configuration (`avcC`, or parameter sets behind start codes) and writes it anew; `None` if there is none in it.
pub fn configuration(extradata: &[u8]) -> Option<Configuration> {
    if extradata.first() != Some(&1) {
        let mut bytes = Vec::new();
        for unit in units(extradata, Framing::StartCodes).filter(|unit| is_parameter_set(unit)) {
            push(&mut bytes, unit, Framing::StartCodes);
        }
        return (!bytes.is_empty()).then_some(Configuration {
            bytes,
            framing: Framing::StartCodes,
        });
    }
    let mut rest = extradata.get(5..)?;
    let length_size = usize::from(extradata[4] & 3) + 1;
    // Version, profile, constraints, level, length size; then the counted sets.
    let mut bytes = extradata[..5].to_vec();
    for (mask, reserved, kind) in [(0x1f, 0xe0, SPS), (0xff, 0, PPS)] {
        let (count, mut after) = rest.split_first()?;
        let mut sets = Vec::new();
        for _ in 0..count & mask {
            let (length, more) = after.split_first_chunk::<2>()?;
            let (set, more) = more.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            if set.first().is_some_and(|header| header & 0x1f == kind) {
                sets.push(set);
            }
            after = more;
        }
        bytes.push(reserved | sets.len() as u8);
        for set in sets {
            bytes.extend_from_slice(&(set.len() as u16).to_be_bytes());
            bytes.extend_from_slice(set);
        }
        rest = after;
    }
    Some(Configuration {
        bytes,
        framing: Framing::Lengths(length_size),
    })
}

fn push(out: &mut Vec<u8>, unit: &[u8], framing: Framing) {
    match framing {
        Framing::StartCodes => out.extend_from_slice(&[0, 0, 0, 1]),
        Framing::Lengths(size) => out.extend_from_slice(&(unit.len() as u32).to_be_bytes()[4 - size..]),
    }
    out.extend_from_slice(unit);
}

fn units(data: &[u8], framing: Framing) -> impl Iterator<Item = &[u8]> {
    let mut rest = match framing {
        Framing::StartCodes => after_start_code(data),
        Framing::Lengths(_) => data,
    };
    std::iter::from_fn(move || match framing {
        Framing::StartCodes => {
            if rest.is_empty() {
                return None;
            }
            let end = start_code(rest).unwrap_or(rest.len());
            let unit = &rest[..end];
            rest = after_start_code(&rest[end..]);
            // The zero byte of a longer start code, and padding, belong to no unit.
            let last = unit.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            Some(&unit[..last])
        }
        Framing::Lengths(size) => {
            let (length, after) = rest.split_at_checked(size)?;
            let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            let (unit, after) = after.split_at_checked(length)?;
            rest = after;
            Some(unit)
        }
    })
}

fn start_code(data: &[u8]) -> Option<usize> {
    data.windows(3).position(|window| window == [0, 0, 1])
}

fn after_start_code(data: &[u8]) -> &[u8] {
    start_code(data).map_or(&[], |at| &data[at + 3..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVCC: [u8; 21] = [
        1, 100, 0, 31, 0xff, 0xe2, 0, 2, 0x67, 1, 0, 2, 0x06, 5, 1, 0, 3, 0x68, 2, 3, 99,
    ];

    #[test]
    fn sei_and_user_data_go_and_pictures_stay() {
        let coded = [
            &b"\0\0\0\x01\x09\xf0"[..],
            b"\0\0\x01\x06secret",
            b"\0\0\x01\x65slice",
            b"\0\0\0\x01\x18user",
            b"\0\0\x01\x41p",
        ]
        .concat();
        assert_eq!(
            keep_picture(&coded, Framing::StartCodes),
            b"\0\0\0\x01\x65slice\0\0\0\x01\x41p"
        );
        let coded = b"\0\x07\x06secret\0\x06\x65slice\0\x05\x18user";
        assert_eq!(keep_picture(coded, Framing::Lengths(2)), b"\0\x06\x65slice");
    }

    #[test]
    fn a_unit_that_claims_more_than_there_is_ends_the_packet() {
        assert_eq!(keep_picture(b"\x02\x41p\xff\x41p", Framing::Lengths(1)), b"\x02\x41p");
        assert_eq!(keep_picture(b"\xff\xff\xff\xff\x41", Framing::Lengths(4)), b"");
        assert_eq!(keep_picture(b"no start code", Framing::StartCodes), b"");
    }

    #[test]
    fn a_configuration_keeps_its_parameter_sets_only() {
        let found = configuration(&AVCC).expect("an avcC");
        assert_eq!(found.framing, Framing::Lengths(4));
        assert_eq!(
            found.bytes,
            [1, 100, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 3, 0x68, 2, 3]
        );
        let found = configuration(b"\0\0\0\x01\x67a\0\0\0\x01\x06b\0\0\0\x01\x68c").expect("parameter sets");
        assert_eq!(found.bytes, b"\0\0\0\x01\x67a\0\0\0\x01\x68c");
    }

    #[test]
    fn every_cut_of_a_configuration_is_no_configuration() {
        for cut in 0..AVCC.len() - 1 {
            assert_eq!(configuration(&AVCC[..cut]), None, "{cut}");
        }
    }
}
