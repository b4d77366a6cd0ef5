//! From decoded pictures to pictures of a size: upright, square pixels, even sides, the range and format that is asked for.
//!
//! The text that libav's filters are made of is written here from numbers; nothing of a clip or of a user comes into it.

use dashvault_worker_protocol::Failure;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::filter::{self, Graph};
use ffmpeg_next::{Rational, frame};

use crate::failure::Result;
use crate::libav;
use crate::mux::PICTURE_TICKS;

/// What is done to every picture before it is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upright {
    /// Degrees clockwise: 0, 90, 180, 270.
    pub rotation: u16,
    /// Fields are woven into whole pictures.
    pub interlaced: bool,
}

/// What a scaler makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For H.264: limited range.
    Video,
    /// For JPEG: full range.
    Still,
}

/// What a graph is made for; pictures of another shape need another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    width: u32,
    height: u32,
    format: ffmpeg::format::Pixel,
}

/// Scales pictures to several sizes at once.
pub struct Scaler {
    graph: Option<(Graph, Shape)>,
    upright: Upright,
    sizes: Vec<(u32, u32)>,
    format: Format,
}

impl Scaler {
    /// For outputs of the given widths and heights.
    pub fn new(upright: Upright, sizes: Vec<(u32, u32)>, format: Format) -> Self {
        Self {
            graph: None,
            upright,
            sizes,
            format,
        }
    }

    /// Takes a picture, of which nothing is left; `out` gets what comes of it, with the number of the size.
    pub fn push(
        &mut self,
        picture: &frame::Video,
        mut out: impl FnMut(usize, &mut frame::Video) -> Result<()>,
    ) -> Result<()> {
        let shape = Shape {
            width: picture.width(),
            height: picture.height(),
            format: picture.format(),
        };
        // A camera may change its size under way; the outputs keep theirs.
        let mut graph = match self.graph.take() {
            Some((graph, made_for)) if made_for == shape => graph,
            old => {
                if let Some((mut old, _)) = old {
                    self.end_of(&mut old, &mut out)?;
                }
                self.build(&shape)?
            }
        };
        node(&mut graph, "in")?.source().add(picture)?;
        self.drain(&mut graph, &mut out)?;
        self.graph = Some((graph, shape));
        Ok(())
    }

    /// No more pictures.
    pub fn end(&mut self, mut out: impl FnMut(usize, &mut frame::Video) -> Result<()>) -> Result<()> {
        match self.graph.take() {
            Some((mut graph, _)) => self.end_of(&mut graph, &mut out),
            None => Ok(()),
        }
    }

    fn end_of(&self, graph: &mut Graph, out: &mut impl FnMut(usize, &mut frame::Video) -> Result<()>) -> Result<()> {
        node(graph, "in")?.source().flush()?;
        self.drain(graph, out)
    }

    fn drain(&self, graph: &mut Graph, out: &mut impl FnMut(usize, &mut frame::Video) -> Result<()>) -> Result<()> {
        for index in 0..self.sizes.len() {
            let mut sink = node(graph, &format!("out{index}"))?;
            let mut picture = frame::Video::empty();
            while sink.sink().frame(&mut picture).is_ok() {
                out(index, &mut picture)?;
            }
        }
        Ok(())
    }

    fn build(&self, shape: &Shape) -> Result<Graph> {
        let mut graph = Graph::new();
        libav::limit_threads(&mut graph);
        let format = shape.format.descriptor().map_or("", |descriptor| descriptor.name());
        let Rational(num, den) = PICTURE_TICKS;
        let arguments = format!(
            "video_size={}x{}:pix_fmt={format}:time_base={num}/{den}:pixel_aspect=1/1",
            shape.width, shape.height
        );
        graph.add(&named("buffer")?, "in", &arguments)?;
        for index in 0..self.sizes.len() {
            graph.add(&named("buffersink")?, &format!("out{index}"), "")?;
        }
        let mut parser = graph.output("in", 0)?;
        for index in 0..self.sizes.len() {
            parser = parser.input(&format!("out{index}"), 0)?;
        }
        parser.parse(&self.description())?;
        graph.validate()?;
        Ok(graph)
    }

    fn description(&self) -> String {
        let weave = if self.upright.interlaced {
            "yadif=deint=interlaced,"
        } else {
            ""
        };
        let turn = match self.upright.rotation {
            90 => "transpose=clock,",
            180 => "hflip,vflip,",
            270 => "transpose=cclock,",
            _ => "",
        };
        let mut text = format!("[in]{weave}{turn}split={}", self.sizes.len());
        for index in 0..self.sizes.len() {
            text += &format!("[s{index}]");
        }
        let (range, format) = match self.format {
            Format::Video => ("tv", "yuv420p"),
            Format::Still => ("pc", "yuvj420p"),
        };
        for (index, (width, height)) in self.sizes.iter().enumerate() {
            text += &format!(
                ";[s{index}]scale={width}:{height}:flags=bicubic:out_range={range},format={format},setsar=1[out{index}]"
            );
        }
        text
    }
}

fn named(name: &str) -> Result<filter::Filter> {
    Ok(filter::find(name).ok_or_else(|| Failure::Internal(format!("no filter {name}")))?)
}

fn node(graph: &mut Graph, name: &str) -> Result<filter::Context> {
    Ok(graph
        .get(name)
        .ok_or_else(|| Failure::Internal(format!("no filter is called {name}")))?)
}
