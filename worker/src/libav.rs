//! What is asked of libav: which containers and codecs it may open, and the few places that its safe wrapper does not reach.

use std::ffi::CStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use dashvault_worker_protocol::Failure;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::Parameters;
use ffmpeg_next::codec::threading;
use ffmpeg_next::format::context::{Input as Demuxer, StreamIo};
use ffmpeg_next::{Dictionary, Error, Packet, Stream, media};

use crate::failure::{Failed, Result};
use crate::input::Input;
use crate::nal;

/// Containers of dashcams and phones. No playlist, no list of files, no image sequence is among them.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,mpegts,avi,matroska,webm";
/// Decoders by libav's names: what cameras write, and what goes with their sound.
const DECODERS: &[&str] = &[
    "h264",
    "hevc",
    "mjpeg",
    "mpeg4",
    "mpeg2video",
    "h263",
    "vp8",
    "vp9",
    "libdav1d",
    "aac",
    "mp3",
    "mp3float",
    "ac3",
    "opus",
    "libopus",
    "vorbis",
    "amrnb",
    "pcm_s16le",
    "pcm_s16be",
    "pcm_s24le",
    "pcm_s32le",
    "pcm_f32le",
    "pcm_u8",
    "pcm_alaw",
    "pcm_mulaw",
    "adpcm_ima_wav",
    "adpcm_ms",
    "adpcm_ima_qt",
];
/// Two cameras, sound, telemetry and text make six; ten thousand tracks are an attack.
const MAX_STREAMS: &str = "16";
/// Bytes and microseconds that are read to find out what is in a file.
const PROBE_SIZE: &str = "8000000";
const ANALYZE_DURATION: &str = "10000000";
/// 8K; four times that exhausts the memory of a worker.
pub const MAX_PIXELS: u64 = 8192 * 4320;
/// A name that tells libav the input is no local file: it then reads in order and seeks seldom.
const PSEUDO_NAME: &str = "vault:clip";
/// libav's own buffer before the pages of the input.
const IO_BUFFER_BYTES: usize = 256 << 10;
/// Packets that cannot be read in a row; libav would go on for ever.
const MAX_READ_ERRORS: u32 = 64;
/// Of a complaint of libav's.
const MAX_COMPLAINT_CHARS: usize = 100;
/// More threads need more memory than they save time.
const MAX_THREADS: usize = 8;
/// Arenas of the C library's allocator; each reserves 64 MiB of the address space that is limited.
const MAX_ARENAS: i32 = 4;

static TOO_MANY_STREAMS: AtomicBool = AtomicBool::new(false);
static COMPLAINT: Mutex<String> = Mutex::new(String::new());

/// Loads and silences libav; to be called before the sandbox closes.
pub fn init() -> Result<()> {
    // SAFETY: takes plain numbers, before there is a second thread.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, MAX_ARENAS) };
    ffmpeg::init()?;
    // SAFETY: the callback is a function without captures that may be called from any thread.
    unsafe { ffmpeg::ffi::av_log_set_callback(Some(listen)) };
    Ok(())
}

/// Prints nothing, and takes note of what no error code tells: libav answers "out of memory" to a file with too many streams.
unsafe extern "C" fn listen(
    _: *mut libc::c_void,
    level: libc::c_int,
    format: *const libc::c_char,
    _: *mut ffmpeg::ffi::__va_list_tag,
) {
    if level <= ffmpeg::ffi::AV_LOG_ERROR && !format.is_null() {
        // SAFETY: libav passes a C string that lives over the call.
        let format = unsafe { CStr::from_ptr(format) };
        if format.to_bytes().starts_with(b"Number of streams exceeds") {
            TOO_MANY_STREAMS.store(true, Ordering::Relaxed);
        }
        // A thread that finds it taken has nothing more important to say.
        if let Ok(mut complaint) = COMPLAINT.try_lock() {
            complaint.clear();
            complaint.extend(format.to_string_lossy().chars().take(MAX_COMPLAINT_CHARS));
        }
    }
}

/// The last error that libav logged, as its source has it: without the values, which are the clip's.
pub fn complaint() -> String {
    COMPLAINT
        .try_lock()
        .map_or_else(|_| String::new(), |complaint| complaint.trim().to_owned())
}

/// Opens the clip.
pub fn open(mut input: Input) -> Result<Demuxer> {
    let head = input.head(512).map_err(|error| Failure::Internal(error.to_string()))?;
    let io = StreamIo::from_read_seek_with_capacity(input, IO_BUFFER_BYTES)?;
    let mut options = Dictionary::new();
    options.set("format_whitelist", FORMATS);
    options.set("codec_whitelist", &DECODERS.join(","));
    options.set("protocol_whitelist", "");
    options.set("max_streams", MAX_STREAMS);
    options.set("probesize", PROBE_SIZE);
    options.set("analyzeduration", ANALYZE_DURATION);
    let opened = ffmpeg::format::input_from_stream(io, Some(PSEUDO_NAME), Some(options));
    // Said by some containers with an error, by others without.
    if TOO_MANY_STREAMS.load(Ordering::Relaxed) {
        return Err(Failure::OverLimits(format!("more than {MAX_STREAMS} streams")).into());
    }
    opened.map_err(|error| match error {
        Error::Other { errno: libc::ENOMEM } => Failure::OutOfMemory.into(),
        _ if is_container(&head) => Failure::Invalid(format!("the container cannot be read: {error}")).into(),
        _ => Failure::Unsupported("not an MP4, MOV, MPEG-TS, AVI or Matroska file".to_owned()).into(),
    })
}

/// Whether the first bytes are those of a container that is taken: then a failure means damage.
fn is_container(head: &[u8]) -> bool {
    let boxes: [&[u8]; 7] = [b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"moof"];
    let transport = |start: usize, size: usize| (0..2).all(|n| head.get(start + n * size) == Some(&0x47));
    head.get(4..8).is_some_and(|kind| boxes.contains(&kind))
        || (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI "))
        || head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3])
        || transport(0, 188)
        || transport(4, 192)
}

/// The picture and the sound that a player would choose.
pub fn chosen(demuxer: &Demuxer) -> Result<(usize, Option<usize>)> {
    let is_cover = |stream: &Stream<'_>| {
        stream
            .disposition()
            .contains(ffmpeg::format::stream::Disposition::ATTACHED_PIC)
    };
    let best = demuxer.streams().best(media::Type::Video).filter(|s| !is_cover(s));
    let video = best.ok_or(Failure::NoVideo)?;
    // Only what can be decoded counts as sound; a clip with a strange codec is shown silent.
    let audio = demuxer.streams().best(media::Type::Audio);
    let audio = audio.filter(|stream| decoder_of(&stream.parameters()).is_some());
    Ok((video.index(), audio.map(|stream| stream.index())))
}

/// The decoder for a stream, if it is one of those that are taken.
fn decoder_of(parameters: &Parameters) -> Option<ffmpeg::Codec> {
    let codec = ffmpeg::decoder::find(parameters.id())?;
    DECODERS.contains(&codec.name()).then_some(codec)
}

/// Opens the decoder of a stream.
pub fn decoder(stream: &Stream<'_>) -> Result<ffmpeg::codec::decoder::Opened> {
    let parameters = stream.parameters();
    let codec = decoder_of(&parameters).ok_or_else(|| unsupported_codec(&parameters))?;
    let mut context = ffmpeg::codec::Context::from_parameters(parameters)?;
    context.set_threading(threading::Config {
        kind: threading::Type::Frame,
        count: threads(),
        ..threading::Config::default()
    });
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(stream.time_base());
    let mut options = Dictionary::new();
    options.set("max_pixels", &MAX_PIXELS.to_string());
    Ok(decoder.open_as_with(codec, options)?)
}

/// What is said of a codec that is not taken.
pub fn unsupported_codec(parameters: &Parameters) -> Failed {
    Failure::Unsupported(format!("no decoder for {}", parameters.id().name())).into()
}

/// Threads for one decoder or encoder.
pub fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MAX_THREADS)
}

/// The next packet; `None` at the end, or where the file is broken for good.
pub fn next_packet(demuxer: &mut Demuxer) -> Option<Packet> {
    for _ in 0..MAX_READ_ERRORS {
        // A fresh one each time: a packet that is read into twice leaks.
        let mut packet = Packet::empty();
        match packet.read(demuxer) {
            Ok(()) => return Some(packet),
            Err(Error::Eof | Error::Exit) => return None,
            Err(_) => {}
        }
    }
    None
}

/// What the wrapper does not tell of a stream's codec.
pub struct CodecDetails {
    /// libav's number.
    pub profile: i32,
    /// Pixels or nothing.
    pub width: i32,
    /// Pixels or nothing.
    pub height: i32,
    /// Zero when unknown.
    pub pixel_aspect: (i32, i32),
    /// libav's name; empty when unknown.
    pub pixel_format: &'static str,
    /// Not known to be interlaced.
    pub progressive: bool,
    /// Samples a second.
    pub sample_rate: i32,
    /// Of the sound.
    pub channels: i32,
    /// The decoder's configuration.
    pub extradata: Vec<u8>,
}

/// Reads them.
pub fn details(parameters: &Parameters) -> CodecDetails {
    use ffmpeg::ffi::AVFieldOrder::{AV_FIELD_PROGRESSIVE, AV_FIELD_UNKNOWN};
    // SAFETY: the pointer is valid as long as `parameters`, and nothing writes to it in between.
    let raw = unsafe { &*parameters.as_ptr() };
    let extradata = match usize::try_from(raw.extradata_size) {
        // SAFETY: libav owns so many bytes there.
        Ok(size @ 1..) if !raw.extradata.is_null() => {
            unsafe { std::slice::from_raw_parts(raw.extradata, size) }.to_vec()
        }
        _ => Vec::new(),
    };
    let pixel_format = match raw.format {
        // SAFETY: the number was checked to be one of the enumeration, whose bindings come from the headers of this very library; a
        // name is a C string of the library's own.
        number if (0..ffmpeg::ffi::AVPixelFormat::AV_PIX_FMT_NB as i32).contains(&number) => unsafe {
            let format = std::mem::transmute::<i32, ffmpeg::ffi::AVPixelFormat>(number);
            let name = ffmpeg::ffi::av_get_pix_fmt_name(format);
            if name.is_null() {
                ""
            } else {
                CStr::from_ptr(name).to_str().unwrap_or("")
            }
        },
        _ => "",
    };
    CodecDetails {
        profile: raw.profile,
        width: raw.width,
        height: raw.height,
        pixel_aspect: (raw.sample_aspect_ratio.num, raw.sample_aspect_ratio.den),
        pixel_format,
        progressive: matches!(raw.field_order, AV_FIELD_PROGRESSIVE | AV_FIELD_UNKNOWN),
        sample_rate: raw.sample_rate,
        channels: raw.channels,
        extradata,
    }
}

/// Parameters of an H.264 stream with a decoder's configuration that holds parameter sets and no more.
pub fn clean_parameters(mut parameters: Parameters) -> Result<(Parameters, nal::Framing)> {
    let configuration = nal::configuration(&details(&parameters).extradata)
        .ok_or_else(|| Failure::Invalid("the stream has no parameter sets".to_owned()))?;
    let size = configuration.bytes.len();
    // SAFETY: the old bytes are libav's own and freed by it; the new ones are allocated by it, with the padding it asks for, and filled before they are read.
    unsafe {
        let raw = &mut *parameters.as_mut_ptr();
        ffmpeg::ffi::av_freep((&raw mut raw.extradata).cast());
        raw.extradata_size = 0;
        let bytes = ffmpeg::ffi::av_mallocz(size + ffmpeg::ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize);
        if bytes.is_null() {
            return Err(Failure::OutOfMemory.into());
        }
        std::ptr::copy_nonoverlapping(configuration.bytes.as_ptr(), bytes.cast::<u8>(), size);
        raw.extradata = bytes.cast();
        raw.extradata_size = size as i32;
        // The muxer chooses the tag that goes with its container.
        raw.codec_tag = 0;
    }
    Ok((parameters, configuration.framing))
}

/// An entry of a container's own index.
pub struct Entry {
    /// Decode time in the stream's time base.
    pub time: i64,
    /// Bytes.
    pub size: u64,
    /// A key frame.
    pub key: bool,
    /// Marked not to be shown.
    pub hidden: bool,
}

/// The index of a stream, as the container lists it.
pub fn index(stream: &Stream<'_>) -> Vec<Entry> {
    // SAFETY: the stream is borrowed over both calls, so that nothing touches its index in between.
    unsafe {
        let raw = stream.as_ptr().cast_mut();
        let count = ffmpeg::ffi::avformat_index_get_entries_count(raw);
        (0..count)
            .filter_map(|n| ffmpeg::ffi::avformat_index_get_entry(raw, n).as_ref())
            .map(|entry| Entry {
                time: entry.timestamp,
                size: u64::try_from(entry.size()).unwrap_or(0),
                key: entry.flags() & ffmpeg::ffi::AVINDEX_KEYFRAME != 0,
                hidden: entry.flags() & ffmpeg::ffi::AVINDEX_DISCARD_FRAME != 0,
            })
            .collect()
    }
}

/// Whether there is a decoder for a stream that is taken.
pub fn is_taken(parameters: &Parameters) -> bool {
    decoder_of(parameters).is_some()
}

/// Degrees to turn the picture clockwise, from the display matrix of its track.
pub fn rotation(stream: &Stream<'_>) -> u16 {
    let matrix = stream
        .side_data()
        .find(|data| data.kind() == ffmpeg::codec::packet::side_data::Type::DisplayMatrix);
    let Some(Ok(bytes)) = matrix.map(|data| <[u8; 36]>::try_from(data.data())) else {
        return 0;
    };
    let mut matrix = [0_i32; 9];
    for (number, bytes) in matrix.iter_mut().zip(bytes.chunks_exact(4)) {
        *number = i32::from_ne_bytes(bytes.try_into().expect("four bytes"));
    }
    // SAFETY: nine numbers, as the function reads.
    let counterclockwise = unsafe { ffmpeg::ffi::av_display_rotation_get(matrix.as_ptr()) };
    if !counterclockwise.is_finite() {
        return 0;
    }
    // A mount that is a little aslant is shown as it is.
    ((-counterclockwise / 90.0).round() as i64).rem_euclid(4) as u16 * 90
}

/// Leaves unread what is not one of the streams `kept`: telemetry, text, a second camera.
pub fn discard_others(demuxer: &mut Demuxer, kept: &[usize]) {
    for mut stream in demuxer.streams_mut() {
        if !kept.contains(&stream.index()) {
            // SAFETY: the stream is borrowed for writing, and the field is there for its user to set.
            unsafe { (*stream.as_mut_ptr()).discard = ffmpeg::ffi::AVDiscard::AVDISCARD_ALL };
        }
    }
}

/// Keeps the threads of a filter graph within bounds; to be called before anything is in it.
pub fn limit_threads(graph: &mut ffmpeg::filter::Graph) {
    // SAFETY: the graph is borrowed for writing, and the field is there for its user to set.
    unsafe { (*graph.as_mut_ptr()).nb_threads = threads() as i32 };
}
