//! From the flat page to the picture somebody has: a clean export, a scan, a photo on a table.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::archive;
use super::camera::Camera;
use super::canvas::{Canvas, mix};
use super::dice::Dice;
use super::effects::{self, Field};
use super::geometry::Rect;
use super::marks;
use super::page::{Page, View};

/// Photos without text to lay pages on.
pub struct Backgrounds(pub(crate) Vec<Canvas>);

impl Backgrounds {
    /// No photos: table tops are made up.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads every picture of a folder, in the order of their names.
    ///
    /// # Errors
    /// No folder, or no picture in it.
    pub fn read(folder: &Path) -> Result<Self> {
        let what = || format!("backgrounds folder {}", folder.display());
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .with_context(what)?
            .filter_map(|e| Some(e.ok()?.path()))
            .collect();
        paths.sort();
        let is_picture = |p: &PathBuf| {
            p.extension().and_then(|e| e.to_str()).is_some_and(|e| {
                ["jpg", "jpeg", "png", "webp"].contains(&e.to_lowercase().as_str())
            })
        };
        let mut tiles = Vec::new();
        for path in paths.iter().filter(|p| is_picture(p)) {
            let picture = image::open(path)
                .with_context(|| format!("reading {}", path.display()))?
                .into_rgb8();
            let (w, h) = (picture.width() as usize, picture.height() as usize);
            if w >= 32 && h >= 32 {
                tiles.push(Canvas {
                    w,
                    h,
                    data: picture.into_raw(),
                });
            }
        }
        if tiles.is_empty() {
            bail!("no picture in {}", folder.display());
        }
        Ok(Self(tiles))
    }
}

/// A finished picture with its lines and questions in its own pixels.
pub struct Picture {
    /// The page; canvas and boxes are those of the picture.
    pub page: Page,
    /// JPEG quality that it should be saved with.
    pub quality: u8,
    /// Whether it has no colour.
    pub grey: bool,
}

/// How a page is shown.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    /// As it was drawn.
    Clean,
    /// A flatbed scan, a copy or a fax.
    Scan,
    /// A photo of a sheet.
    Photo,
    /// A photo that was composed before.
    Street,
    /// A copy or a fax out of an archive.
    Copy,
}

/// Smallest median height of a printed line, in picture pixels.
const LEGIBLE: f32 = 11.0;

/// Shows `page` in one of the ways in which real pictures show such pages.
pub fn shoot(dice: &mut Dice, mut page: Page, backgrounds: &Backgrounds) -> Picture {
    let looks = match page.view {
        View::Sheet => [0.16, 0.44, 0.40, 0.0, 0.0],
        View::Archive => [0.0, 0.0, 0.0, 0.0, 1.0],
        View::Screen => [1.0, 0.0, 0.0, 0.0, 0.0],
        View::Display => [0.75, 0.0, 0.25, 0.0, 0.0],
        View::Street => [0.0, 0.0, 0.0, 1.0, 0.0],
    };
    let all = [
        Look::Clean,
        Look::Scan,
        Look::Photo,
        Look::Street,
        Look::Copy,
    ];
    let look = all[dice.weighted(&looks)];
    if page.view == View::Sheet && dice.chance(0.12) {
        part(dice, &mut page);
    }
    wear(dice, &mut page, look);
    let camera_paper = page.paper;
    let picture = match look {
        Look::Clean | Look::Street => None,
        Look::Scan => Some(scan(dice, &mut page, camera_paper)),
        Look::Copy => Some(archive::copy(dice, &mut page)),
        Look::Photo => Some(photo(dice, &mut page, backgrounds)),
    };
    if let Some(picture) = picture {
        page.canvas = picture;
    }
    let grey = finish(dice, &mut page, look);
    let quality = [dice.int(30, 60), dice.int(60, 85), dice.int(85, 95)]
        [dice.weighted(&[2.0, 5.0, 2.0])] as u8;
    Picture {
        page,
        quality,
        grey,
    }
}

/// A part of the sheet only, as people photograph it: cut between two lines.
fn part(dice: &mut Dice, page: &mut Page) {
    let h = page.canvas.h as f32;
    let (top, low) = (h * dice.real(0.0, 0.35), h * dice.real(0.65, 1.0));
    let between = |y: f32| {
        let hit = |y: f32| page.lines.iter().any(|l| l.rect.y1 < y && l.rect.y2 > y);
        (0..60)
            .map(|d| y + d as f32)
            .find(|&y| !hit(y))
            .unwrap_or(y)
    };
    let (top, low) = (between(top), between(low));
    page.keep_rows(top as usize, low.min(h) as usize);
}

/// What happened to the sheet itself.
fn wear(dice: &mut Dice, page: &mut Page, look: Look) {
    if page.view != View::Sheet {
        return;
    }
    if dice.chance(0.12) {
        let rects: Vec<Rect> = page.asks.iter().flat_map(|a| a.rects.clone()).collect();
        marks::pen_marks(dice, &mut page.canvas, &rects);
    }
    if look == Look::Clean {
        return;
    }
    if dice.chance(0.35) {
        let most = dice.real(0.1, 0.6);
        let paper = page.paper;
        effects::fade(dice, &mut page.canvas, paper, most);
    }
    if dice.chance(0.4) {
        let depth = dice.real(0.01, 0.06);
        effects::texture(dice, &mut page.canvas, depth);
    }
    if dice.chance(if look == Look::Photo { 0.35 } else { 0.12 }) {
        effects::folds(dice, &mut page.canvas);
    }
}

/// The corners of a w x h sheet, scaled, turned by `angle` and jittered by a share of its sides.
pub(super) fn corners(
    dice: &mut Dice,
    (w, h): (f32, f32),
    scale: f32,
    angle: f32,
    jitter: f32,
) -> [(f32, f32); 4] {
    let (sin, cos) = angle.sin_cos();
    [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)].map(|(u, v)| {
        let x = (u + dice.near(0.0, jitter)) * w * scale;
        let y = (v + dice.near(0.0, jitter)) * h * scale;
        (x * cos - y * sin, x * sin + y * cos)
    })
}

pub(super) fn extent(quad: &[(f32, f32); 4]) -> Rect {
    quad.iter()
        .fold(Rect::new(f32::MAX, f32::MAX, f32::MIN, f32::MIN), |r, p| {
            r.union(Rect::new(p.0, p.1, p.0, p.1))
        })
}

pub(super) fn median_height(page: &Page) -> f32 {
    let mut heights: Vec<f32> = page.lines.iter().map(|l| l.rect.height()).collect();
    heights.sort_by(f32::total_cmp);
    heights.get(heights.len() / 2).copied().unwrap_or(20.0)
}

pub(super) fn take(
    page: &mut Page,
    camera: &Camera,
    picture: &mut Canvas,
    shadow: (f32, f32, f32),
) {
    camera.shoot(&page.canvas, picture, shadow);
    page.map_rects(|r| camera.hull(r));
}

fn scan(dice: &mut Dice, page: &mut Page, paper: [u8; 3]) -> Canvas {
    let (w, h) = (page.canvas.w as f32, page.canvas.h as f32);
    let angle = if dice.chance(0.6) {
        dice.near(0.0, 0.012)
    } else {
        dice.near(0.0, 0.035)
    };
    let legible = LEGIBLE / median_height(page);
    let longest = dice.real(900.0, 2200.0);
    let scale = (longest / w.max(h)).clamp(0.7, 1.15).max(legible);
    let quad = corners(dice, (w, h), scale, angle, 0.003);
    let hull = extent(&quad);
    // Scanner glass around the sheet, or the sheet cut close.
    let around = if dice.chance(0.55) {
        dice.real(0.0, 0.02)
    } else {
        dice.real(0.02, 0.18)
    };
    let (mx, my) = (
        hull.width() * around * dice.real(0.2, 1.0),
        hull.height() * around * dice.real(0.2, 1.0),
    );
    let (ox, oy) = (
        dice.real(0.0, 2.0) * mx - hull.x1,
        dice.real(0.0, 2.0) * my - hull.y1,
    );
    let size = (
        (hull.width() + 2.0 * mx) as usize,
        (hull.height() + 2.0 * my) as usize,
    );
    let glass = [[255, 255, 255], paper, [30, 30, 32], [205, 205, 205]]
        [dice.weighted(&[4.0, 4.0, 1.0, 1.0])];
    let mut picture = Canvas::new(size.0.max(16), size.1.max(16), glass);
    let quad = quad.map(|(x, y)| (x + ox, y + oy));
    let mut camera = Camera::new(page.canvas.w, page.canvas.h, quad);
    if dice.chance(0.2) {
        let size = dice.real(0.0, 4.0);
        camera.bend(dice, page.canvas.w, page.canvas.h, size);
    }
    let shadow = if dice.chance(0.4) {
        (2.0, 2.0, dice.real(0.1, 0.5))
    } else {
        (0.0, 0.0, 0.0)
    };
    take(page, &camera, &mut picture, shadow);
    picture
}

fn photo(dice: &mut Dice, page: &mut Page, backgrounds: &Backgrounds) -> Canvas {
    let (w, h) = (page.canvas.w as f32, page.canvas.h as f32);
    let angle = if dice.chance(0.8) {
        dice.near(0.0, 0.07)
    } else {
        dice.near(0.0, 0.25)
    };
    let legible = LEGIBLE / median_height(page);
    let longest = dice.real(700.0, 1800.0);
    let scale = (longest / w.max(h)).clamp(0.55, 1.1).max(legible).min(1.6);
    // Far away sheets are smaller: never shrink by more than sampling between four pixels allows.
    let jitter = dice.real(0.0, 0.05);
    let quad = corners(dice, (w, h), scale, angle, jitter);
    let hull = extent(&quad);
    let share = dice.real(0.72, 1.0);
    let (pw, ph) = (hull.width() / share, hull.height() / dice.real(share, 1.0));
    let (ox, oy) = (
        dice.real(0.0, pw - hull.width()) - hull.x1,
        dice.real(0.0, ph - hull.height()) - hull.y1,
    );
    let mut picture = backdrop(
        dice,
        backgrounds,
        pw.max(64.0) as usize,
        ph.max(64.0) as usize,
    );
    let quad = quad.map(|(x, y)| (x + ox, y + oy));
    let mut camera = Camera::new(page.canvas.w, page.canvas.h, quad);
    if dice.chance(0.6) {
        let size = dice.real(1.0, 0.012 * (w + h));
        camera.bend(dice, page.canvas.w, page.canvas.h, size);
    }
    let shadow = (
        dice.real(-8.0, 8.0),
        dice.real(-4.0, 12.0),
        dice.real(0.1, 0.9),
    );
    take(page, &camera, &mut picture, shadow);
    picture
}

/// What the sheet lies on: a photo of the folder, or a made up table top.
pub fn backdrop(dice: &mut Dice, backgrounds: &Backgrounds, w: usize, h: usize) -> Canvas {
    if !backgrounds.0.is_empty() && dice.chance(0.7) {
        let tile = &backgrounds.0[dice.index(backgrounds.0.len())];
        return cover(dice, tile, w, h);
    }
    let base = [
        [120, 85, 55],
        [60, 60, 65],
        [200, 195, 185],
        [150, 120, 90],
        [40, 60, 90],
        [90, 100, 80],
        [225, 225, 225],
    ][dice.index(7)];
    let other = mix(
        base,
        [[0, 0, 0], [255, 255, 255]][dice.index(2)],
        dice.real(0.1, 0.5),
    );
    // Boards: fine along one axis, coarse along the other.
    let (nx, ny) = [(4, 90), (90, 4), (30, 30), (3, 3)][dice.index(4)];
    let field = Field::random(dice, nx, ny);
    let mut row = vec![0.0; w];
    let mut canvas = Canvas::new(w, h, base);
    for y in 0..h {
        field.row(y as f32 / h as f32, &mut row);
        for (px, f) in canvas.data[y * w * 3..(y + 1) * w * 3]
            .chunks_exact_mut(3)
            .zip(&row)
        {
            px.copy_from_slice(&mix(base, other, *f));
        }
    }
    canvas
}

/// A part of `tile`, scaled to cover w x h, mirrored at random.
fn cover(dice: &mut Dice, tile: &Canvas, w: usize, h: usize) -> Canvas {
    let zoom = dice.real(1.0, 1.8);
    let scale = (tile.w as f32 / w as f32).min(tile.h as f32 / h as f32) / zoom;
    let (ox, oy) = (
        dice.real(0.0, tile.w as f32 - w as f32 * scale),
        dice.real(0.0, tile.h as f32 - h as f32 * scale),
    );
    let mut camera_quad = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].map(|(u, v)| {
        (
            (u * tile.w as f32 - ox) / scale,
            (v * tile.h as f32 - oy) / scale,
        )
    });
    if dice.chance(0.5) {
        camera_quad = camera_quad.map(|(x, y)| (w as f32 - x, y));
    }
    let mut canvas = Canvas::new(w, h, [128, 128, 128]);
    Camera::new(tile.w, tile.h, camera_quad).shoot(tile, &mut canvas, (0.0, 0.0, 0.0));
    canvas
}

/// Light, optics, sensor; returns whether the colour went.
fn finish(dice: &mut Dice, page: &mut Page, look: Look) -> bool {
    if look == Look::Copy {
        archive::finish(dice, &mut page.canvas);
        return true;
    }
    let canvas = &mut page.canvas;
    let text = page
        .lines
        .iter()
        .map(|l| l.rect.height())
        .fold(f32::MAX, f32::min);
    if matches!(look, Look::Photo | Look::Street) {
        let tint = [
            dice.real(0.88, 1.05),
            dice.real(0.9, 1.0),
            dice.real(0.75, 1.05),
        ];
        let (depth, gain) = (dice.real(0.05, 0.55), dice.real(0.75, 1.1));
        effects::light(dice, canvas, depth, tint, gain, true);
    } else if look == Look::Scan && dice.chance(0.4) {
        let (depth, gain) = (dice.real(0.02, 0.2), dice.real(0.9, 1.1));
        effects::light(dice, canvas, depth, [1.0, 1.0, 1.0], gain, false);
    }
    if look != Look::Clean && dice.chance(0.45) {
        let a = dice.real(0.05, 0.3);
        // Small print does not survive what large print does.
        let times = if text > 16.0 { dice.int(1, 4) } else { 1 };
        let (x, y) = [(true, true), (true, false), (false, true)][dice.weighted(&[6.0, 1.0, 1.0])];
        effects::blur(canvas, a, times as usize, x, y);
    }
    if look == Look::Scan && dice.chance(0.16) {
        let share = dice.real(0.68, 0.9);
        effects::bilevel(dice, canvas, share);
        return true;
    }
    let grey = dice.chance(if look == Look::Scan { 0.5 } else { 0.08 });
    if grey {
        effects::grey(canvas);
    }
    if dice.chance(0.5) {
        let (contrast, brightness) = (dice.real(0.65, 1.3), dice.real(-25.0, 20.0));
        effects::tone(canvas, contrast, brightness);
    }
    if look != Look::Clean && dice.chance(0.6) {
        let sigma = if matches!(look, Look::Photo | Look::Street) {
            dice.real(1.0, 12.0)
        } else {
            dice.real(0.5, 6.0)
        };
        effects::noise(dice, canvas, sigma, !grey);
    }
    grey
}
