//! Pictures for the tests of thumbnails: mountains at dusk, painted from a seed, so that nobody has
//! to be asked for the right to them.
//!
//! They have what makes photographs expensive: fine texture, smooth gradients and grain. Only
//! additions and products of numbers are used, which give the same on every machine.

use std::fs;
use std::io;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageEncoder, ImageError, ImageResult, RgbImage, imageops};

/// Paints all pictures anew.
pub(crate) fn write(root: &Path) -> io::Result<()> {
    let folder = root.join("tests/data");
    fs::create_dir_all(&folder)?;
    for photograph in PHOTOGRAPHS {
        let bytes = photograph.encode().map_err(io::Error::other)?;
        fs::write(folder.join(photograph.file), bytes)?;
    }
    Ok(())
}

/// A picture and how it is kept.
struct Photograph {
    file: &'static str,
    /// As it is seen.
    width: u32,
    height: u32,
    seed: u32,
    kind: Kind,
}

enum Kind {
    Jpeg,
    /// From a camera that was held upright: it lies on its side and says so.
    JpegOnItsSide,
    Png,
}

const PHOTOGRAPHS: &[Photograph] = &[
    Photograph { file: "mountains.jpg", width: 2400, height: 1600, seed: 1, kind: Kind::Jpeg },
    Photograph { file: "mountains.png", width: 600, height: 400, seed: 2, kind: Kind::Png },
    Photograph { file: "upright.jpg", width: 400, height: 600, seed: 3, kind: Kind::JpegOnItsSide },
];

impl Photograph {
    fn encode(&self) -> ImageResult<Vec<u8>> {
        let picture = RgbImage::from_raw(self.width, self.height, self.paint());
        let picture = picture.expect("it was painted in this size");
        let mut bytes = Vec::new();
        match self.kind {
            Kind::Jpeg => picture.write_with_encoder(jpeg(&mut bytes))?,
            Kind::JpegOnItsSide => {
                let mut encoder = jpeg(&mut bytes);
                encoder.set_exif_metadata(LYING.to_vec()).map_err(ImageError::Unsupported)?;
                imageops::rotate270(&picture).write_with_encoder(encoder)?;
            }
            Kind::Png => {
                let (compression, filter) = (CompressionType::Best, FilterType::Adaptive);
                let encoder = PngEncoder::new_with_quality(&mut bytes, compression, filter);
                picture.write_with_encoder(encoder)?;
            }
        }
        Ok(bytes)
    }

    /// Rows of red, green and blue.
    fn paint(&self) -> Vec<u8> {
        let (width, height) = (self.width as f32, self.height as f32);
        let mut pixels = Vec::with_capacity(3 * (self.width * self.height) as usize);
        let ridges: Vec<[f32; RANGES.len()]> =
            (0..self.width).map(|x| self.ridges(x as f32 / height)).collect();
        for y in 0..self.height {
            for x in 0..self.width {
                let at = Point { x: x as f32 / height, y: y as f32 / height };
                let sun = Point { x: 0.7 * width / height, y: 0.45 };
                let colour = self.colour(at, sun, &ridges[x as usize]);
                let grain = 0.035 * (noise(x, y, self.seed + 99) - 0.5);
                pixels.extend(colour.map(|part| ((part + grain).clamp(0.0, 1.0) * 255.0) as u8));
            }
        }
        pixels
    }

    /// How high each range of mountains stands in a column.
    fn ridges(&self, x: f32) -> [f32; RANGES.len()] {
        RANGES.each_ref().map(|range| {
            let form = fractal(Point { x: x * range.detail, y: 0.5 }, 7, self.seed + range.seed);
            range.foot - range.height * form
        })
    }

    fn colour(&self, at: Point, sun: Point, ridges: &[f32; RANGES.len()]) -> Colour {
        // The nearest range that reaches up to here hides what is behind it.
        let hit = RANGES.iter().zip(ridges).find(|(_, ridge)| at.y > **ridge);
        let Some((range, ridge)) = hit else { return self.sky(at, sun) };
        let rough = Point { x: at.x * 24.0, y: at.y * 40.0 };
        let texture = fractal(rough, 5, self.seed + range.seed + 7);
        let lit = mix(range.colour, [0.95, 0.72, 0.55], 0.30 * (texture - 0.35));
        let snow = range.snow * (1.0 - (at.y - ridge) * 9.0 - texture).clamp(0.0, 1.0);
        mix(lit, [0.92, 0.91, 0.97], snow)
    }

    fn sky(&self, at: Point, sun: Point) -> Colour {
        let high = (1.0 - at.y / 0.62).clamp(0.0, 1.0);
        let clear = mix([0.98, 0.76, 0.55], [0.16, 0.27, 0.52], high);
        let (dx, dy) = (at.x - sun.x, at.y - sun.y);
        let glow = 0.02 / (0.02 + dx * dx + dy * dy);
        let form = fractal(Point { x: at.x * 3.0, y: at.y * 11.0 }, 6, self.seed + 50);
        let cloud = ((form - 0.48) * 3.0).clamp(0.0, 0.8);
        mix(mix(clear, [0.99, 0.83, 0.74], cloud), [1.0, 0.95, 0.80], glow)
    }
}

fn jpeg(bytes: &mut Vec<u8>) -> JpegEncoder<&mut Vec<u8>> {
    JpegEncoder::new_with_quality(bytes, 85)
}

type Colour = [f32; 3];

/// In units of the picture's height.
#[derive(Clone, Copy)]
struct Point {
    x: f32,
    y: f32,
}

/// A range of mountains.
struct Range {
    foot: f32,
    height: f32,
    /// How often its form changes.
    detail: f32,
    colour: Colour,
    snow: f32,
    seed: u32,
}

/// The nearest one first.
const RANGES: [Range; 4] = [
    Range { foot: 1.04, height: 0.24, detail: 5.0, colour: NEAREST, snow: 0.0, seed: 10 },
    Range { foot: 0.96, height: 0.36, detail: 3.0, colour: NEAR, snow: 0.0, seed: 20 },
    Range { foot: 0.86, height: 0.46, detail: 2.2, colour: FAR, snow: 0.4, seed: 30 },
    Range { foot: 0.78, height: 0.56, detail: 1.6, colour: FARTHEST, snow: 0.9, seed: 40 },
];
const NEAREST: Colour = [0.07, 0.09, 0.11];
const NEAR: Colour = [0.16, 0.19, 0.24];
const FAR: Colour = [0.31, 0.34, 0.43];
const FARTHEST: Colour = [0.50, 0.49, 0.58];

/// A TIFF directory with one entry: orientation (0x0112), one SHORT, 6, which is to be turned by
/// 90 degrees to the right.
const LYING: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

fn mix(one: Colour, other: Colour, share: f32) -> Colour {
    [0, 1, 2].map(|part| one[part] + (other[part] - one[part]) * share)
}

/// Noise of so many sizes, each half as large and half as strong as the one before; from 0 to 1.
fn fractal(mut at: Point, sizes: u32, seed: u32) -> f32 {
    let (mut sum, mut all, mut strength) = (0.0, 0.0, 1.0);
    for size in 0..sizes {
        sum += strength * smooth(at, seed + size);
        all += strength;
        strength *= 0.5;
        at = Point { x: at.x * 2.0, y: at.y * 2.0 };
    }
    sum / all
}

/// Noise of the size 1.
fn smooth(at: Point, seed: u32) -> f32 {
    let (x, y) = (at.x as u32, at.y as u32);
    let ease = |part: f32| part * part * (3.0 - 2.0 * part);
    let (right, down) = (ease(at.x - x as f32), ease(at.y - y as f32));
    let row = |y| {
        let (left, next) = (noise(x, y, seed), noise(x + 1, y, seed));
        left + (next - left) * right
    };
    let (above, below) = (row(y), row(y + 1));
    above + (below - above) * down
}

/// A number from 0 to 1 for each place, without any order.
fn noise(x: u32, y: u32, seed: u32) -> f32 {
    let mut word = x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77);
    word ^= seed.wrapping_mul(0xC2B2_AE3D);
    for _ in 0..2 {
        word = (word ^ (word >> 15)).wrapping_mul(0x2C1B_3C6D);
        word = (word ^ (word >> 12)).wrapping_mul(0x297A_2D39);
    }
    ((word ^ (word >> 15)) >> 8) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_what_is_painted() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for photograph in PHOTOGRAPHS {
            let kept = image::open(root.join("tests/data").join(photograph.file)).unwrap();
            let size = match photograph.kind {
                Kind::JpegOnItsSide => (photograph.height, photograph.width),
                Kind::Jpeg | Kind::Png => (photograph.width, photograph.height),
            };
            assert_eq!((kept.width(), kept.height()), size, "{}", photograph.file);
            if matches!(photograph.kind, Kind::Png) {
                assert!(kept.into_rgb8().into_raw() == photograph.paint(), "run `photographs`");
            }
        }
    }
}
