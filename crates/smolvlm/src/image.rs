//! The image processor: a picture to normalised tiles, equal to transformers'
//! `Idefics3ImageProcessor` with the Pillow backend, bit for bit.
//!
//! The picture is resized so that its longest edge is `longest_edge`, then stretched to whole
//! multiples of the tile side, cut into tiles row by row, and the whole of it, squeezed into one
//! tile, follows as the global image. A picture that fits one tile is that tile alone, stretched
//! to a square: aspect ratios are never kept by padding.

use grounding::PixelBox;
use picture::{Filter, RgbImage};
use serde::Deserialize;
use tensors::ModelFiles;

use crate::error::{Result, SmolVlmError};

/// transformers never resizes beyond this, whatever is asked.
const MAX_SIDE: usize = 4096;
/// The vocabulary has position tokens for this many rows and columns of tiles.
const MAX_GRID: usize = 6;

const FILE: &str = "preprocessor_config.json";
const MERGED_FILE: &str = "processor_config.json";

#[derive(Deserialize)]
struct Edge {
    longest_edge: usize,
}

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    do_resize: bool,
    do_rescale: bool,
    do_normalize: bool,
    do_image_splitting: bool,
    image_mean: [f32; 3],
    image_std: [f32; 3],
    max_image_size: Edge,
    size: Edge,
    resample: u32,
    rescale_factor: f64,
}

impl Default for Raw {
    /// The defaults of transformers' `Idefics3ImageProcessorPil`.
    fn default() -> Self {
        Self {
            do_resize: true,
            do_rescale: true,
            do_normalize: true,
            do_image_splitting: true,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
            max_image_size: Edge { longest_edge: 364 },
            size: Edge {
                longest_edge: 4 * 364,
            },
            resample: 1,
            rescale_factor: 1.0 / 255.0,
        }
    }
}

/// Since 5.x transformers saves both processors into one file.
#[derive(Deserialize)]
struct Merged {
    image_processor: Option<Raw>,
}

/// The image processor of a model folder.
#[derive(Debug, Clone)]
pub struct ImageProcessor {
    tile: usize,
    longest_edge: usize,
    split: bool,
    filter: Filter,
    /// Normalised value of each of the 256 levels, by channel.
    levels: Box<[[f32; 256]; 3]>,
}

/// Normalised tiles of one or several pictures, [N, 3, side, side] in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Pictures {
    /// Pixel values.
    pub values: Vec<f32>,
    /// Side of a tile in pixels.
    pub side: usize,
    /// Rows and columns of tiles of each picture; (0, 0) for a picture that is one tile.
    pub grids: Vec<(usize, usize)>,
}

impl Pictures {
    /// All tiles, global images included, N.
    pub fn tiles(&self) -> usize {
        self.grids
            .iter()
            .map(|(rows, columns)| rows * columns + 1)
            .sum()
    }
}

/// A picture as the network gets it, for showing.
#[derive(Debug, Clone, PartialEq)]
pub struct Tiles {
    /// Squares, row by row; the global image, the whole picture in one square, comes last.
    pub images: Vec<RgbImage>,
    /// Rows of tiles, 0 where there is only the global image.
    pub rows: usize,
    /// Columns of tiles, 0 where there is only the global image.
    pub columns: usize,
    /// Image tokens that become of them.
    pub tokens: usize,
}

fn refuse<T>(item: &str, actual: impl ToString, expected: &str) -> Result<T> {
    Err(SmolVlmError::Unsupported {
        file: FILE.to_string(),
        item: item.to_string(),
        expected: expected.to_string(),
        actual: actual.to_string(),
    })
}

impl ImageProcessor {
    /// Reads `preprocessor_config.json`, or the part of `processor_config.json` that took its
    /// place.
    ///
    /// # Errors
    /// A missing or unreadable file, and settings that are not implemented, by name.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let merged = if !files.contains(FILE) && files.contains(MERGED_FILE) {
            files.json::<Merged>(MERGED_FILE)?.image_processor
        } else {
            None
        };
        let raw = match merged {
            Some(raw) => raw,
            None => files.json::<Raw>(FILE)?,
        };
        for (item, set) in [
            ("do_resize", raw.do_resize),
            ("do_rescale", raw.do_rescale),
            ("do_normalize", raw.do_normalize),
        ] {
            if !set {
                return refuse(item, false, "only true is implemented");
            }
        }
        for (item, edge) in [
            (
                "max_image_size.longest_edge",
                raw.max_image_size.longest_edge,
            ),
            ("size.longest_edge", raw.size.longest_edge),
        ] {
            if edge == 0 {
                return refuse(item, edge, "a positive number is needed");
            }
            if edge > MAX_GRID * MAX_SIDE {
                let expected = format!("at most {} is loaded here", MAX_GRID * MAX_SIDE);
                return refuse(item, edge, &expected);
            }
        }
        if raw.max_image_size.longest_edge > MAX_SIDE {
            let edge = raw.max_image_size.longest_edge;
            let expected = format!("a tile has at most {MAX_SIDE} pixels a side");
            return refuse("max_image_size.longest_edge", edge, &expected);
        }
        // Numbers of Pillow's filters.
        let filter = match raw.resample {
            0 => return refuse("resample", "0 (nearest)", "a smooth filter is needed"),
            1 => Filter::Lanczos,
            2 => Filter::Bilinear,
            3 => Filter::Bicubic,
            4 => Filter::Box,
            5 => Filter::Hamming,
            other => return refuse("resample", other, "Pillow has filters 0 to 5"),
        };
        let mut levels = Box::new([[0.0; 256]; 3]);
        for (channel, levels) in levels.iter_mut().enumerate() {
            for (level, value) in levels.iter_mut().enumerate() {
                // In f64, then f32, as numpy does it.
                let scaled = (level as f64 * raw.rescale_factor) as f32;
                *value = (scaled - raw.image_mean[channel]) / raw.image_std[channel];
            }
        }
        Ok(Self {
            tile: raw.max_image_size.longest_edge,
            longest_edge: raw.size.longest_edge,
            split: raw.do_image_splitting,
            filter,
            levels,
        })
    }

    /// Side of a tile in pixels (`max_image_size.longest_edge`); as a longest edge it gives one
    /// tile a picture.
    pub fn tile(&self) -> usize {
        self.tile
    }

    /// The folder's own longest edge (`size.longest_edge`), transformers' default.
    pub fn longest_edge(&self) -> usize {
        self.longest_edge
    }

    /// Tiles of pictures that stand in one prompt.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] if `longest_edge` is 0 or asks for more than 6 x 6 tiles.
    pub fn process(&self, pictures: &[&RgbImage], longest_edge: usize) -> Result<Pictures> {
        if longest_edge == 0 || longest_edge > MAX_GRID * self.tile {
            return Err(SmolVlmError::Argument {
                item: "longest edge".to_string(),
                expected: format!("1 to {} pixels", MAX_GRID * self.tile),
                actual: longest_edge.to_string(),
            });
        }
        let mut all = Pictures {
            values: Vec::new(),
            side: self.tile,
            grids: Vec::with_capacity(pictures.len()),
        };
        for picture in pictures {
            let grid = self.tiles(picture, longest_edge, &mut all.values);
            all.grids.push(grid);
        }
        Ok(all)
    }

    /// Appends the tiles of one picture; returns rows and columns.
    fn tiles(&self, picture: &RgbImage, longest_edge: usize, out: &mut Vec<f32>) -> (usize, usize) {
        let (width, height) = picture.dimensions();
        let (width, height) = fit(width as usize, height as usize, longest_edge);
        let picture = self.resize(picture, width, height);
        if !self.split {
            self.append(&self.resize(&picture, self.tile, self.tile), out);
            return (0, 0);
        }
        let (width, height) = whole_tiles(width, height, self.tile);
        let picture = self.resize(&picture, width, height);
        if width <= self.tile && height <= self.tile {
            self.append(&picture, out);
            return (0, 0);
        }
        let side = self.tile as u32;
        let (rows, columns) = (height / self.tile, width / self.tile);
        for row in 0..rows as u32 {
            for column in 0..columns as u32 {
                let area = PixelBox {
                    x1: column * side,
                    y1: row * side,
                    x2: (column + 1) * side,
                    y2: (row + 1) * side,
                };
                self.append(&picture::crop(&picture, area), out);
            }
        }
        self.append(&self.resize(&picture, self.tile, self.tile), out);
        (rows, columns)
    }

    /// The tiles of one picture, for showing; `None` for what another processor made.
    pub fn view(&self, pictures: &Pictures, tokens_per_tile: usize) -> Option<Tiles> {
        let shown = (0..pictures.tiles()).map(|tile| self.shown(pictures, tile));
        let (rows, columns) = *pictures.grids.first()?;
        Some(Tiles {
            images: shown.collect::<Option<_>>()?,
            rows,
            columns,
            tokens: pictures.tiles() * tokens_per_tile,
        })
    }

    /// A tile as a picture, from the values that the network gets.
    pub fn shown(&self, pictures: &Pictures, tile: usize) -> Option<RgbImage> {
        let area = pictures.side * pictures.side;
        let values = pictures.values.chunks_exact(3 * area).nth(tile)?;
        let level = |channel: usize, at: usize| {
            let levels = &self.levels[channel];
            let (low, high) = (levels[0], levels[255]);
            ((values[channel * area + at] - low) / (high - low) * 255.0).round() as u8
        };
        let rgb = (0..area).flat_map(|at| std::array::from_fn::<u8, 3, _>(|c| level(c, at)));
        let side = pictures.side as u32;
        RgbImage::from_raw(side, side, rgb.collect())
    }

    fn resize(&self, picture: &RgbImage, width: usize, height: usize) -> RgbImage {
        picture::resize(picture, width as u32, height as u32, self.filter)
    }

    /// Appends a tile as [3, side, side].
    fn append(&self, tile: &RgbImage, out: &mut Vec<f32>) {
        for (channel, levels) in self.levels.iter().enumerate() {
            out.extend(tile.pixels().map(|pixel| levels[pixel.0[channel] as usize]));
        }
    }
}

/// Size with the longest edge at `longest_edge`, the other rounded up to an even number.
fn fit(width: usize, height: usize, longest_edge: usize) -> (usize, usize) {
    let aspect = width as f64 / height as f64;
    let even = |side: f64| side as usize + side as usize % 2;
    let (width, height) = if width >= height {
        (longest_edge, even(longest_edge as f64 / aspect))
    } else {
        (even(longest_edge as f64 * aspect), longest_edge)
    };
    let (width, height) = (width.max(1), height.max(1));

    let aspect = width as f64 / height as f64;
    let (width, height) = if width >= height && width > MAX_SIDE {
        (MAX_SIDE, (MAX_SIDE as f64 / aspect) as usize)
    } else if height > width && height > MAX_SIDE {
        ((MAX_SIDE as f64 * aspect) as usize, MAX_SIDE)
    } else {
        (width, height)
    };
    (width.max(1), height.max(1))
}

/// Size in whole tiles: the longer side rounded up, the other following the aspect ratio, then
/// rounded up, too.
fn whole_tiles(width: usize, height: usize, tile: usize) -> (usize, usize) {
    let aspect = width as f64 / height as f64;
    if width >= height {
        let width = width.next_multiple_of(tile);
        let height = (width as f64 / aspect) as usize;
        (width, height.next_multiple_of(tile))
    } else {
        let height = height.next_multiple_of(tile);
        let width = (height as f64 * aspect) as usize;
        (width.next_multiple_of(tile), height)
    }
}
