//! A photograph made small: the work that people move out of their server first.
//!
//! Whoever sends a picture chooses how much memory and time it costs, within what is refused here
//! by its first bytes. What costs too much all the same costs one worker, not the server.

use std::fmt;
use std::io::Cursor;
use std::ops::RangeInclusive;

use ::http::StatusCode;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits};

use memchr::memmem;

use crate::{Error, IntoResponse, Request, Response};

/// The width of a thumbnail that is asked for without one.
const WIDTH: u32 = 320;
const WIDTHS: RangeInclusive<u32> = 1..=4096;
const JPEG_QUALITY: u8 = 85;
/// More than nearly every camera takes.
const PIXELS_MAX: u64 = 40_000_000;
/// So many pixels with eight bits of red, green, blue and opacity each.
const DECODED_BYTES_MAX: u64 = PIXELS_MAX * 4;

/// A picture of the same kind that is at most `width` pixels wide, or 320, and as high as it then
/// has to be. It stands upright and keeps its colour profile; everything else that is not picture,
/// like the place where it was taken, is left out.
pub(super) fn thumbnail(request: &Request) -> Result<Response, Refusal> {
    let width = request.query_as("width").map_err(Refusal::Parameter)?.unwrap_or(WIDTH);
    if !WIDTHS.contains(&width) {
        return Err(Refusal::Parameter(Error::ParameterInvalid));
    }
    let format = format_of(request.body())?;
    let small = shrink(request.body(), format, width)?;
    Ok(Response::bytes(small).content_type(format.to_mime_type()))
}

/// Why there is no thumbnail.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It says what it is, but is not, or its decoder would use more memory than it may.
    Broken(ImageError),
    /// Its end is missing.
    Cut,
    /// The request itself is wrong.
    Parameter(Error),
    /// It would unpack to more than is read.
    TooLarge { width: u32, height: u32 },
    /// Neither of the two kinds that are read here.
    Unknown,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Broken(ImageError::Limits(_)) | Self::TooLarge { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Broken(_) | Self::Cut => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Parameter(error) => error.status(),
            Self::Unknown => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the picture cannot be read: {error}"),
            Self::Cut => f.write_str("the picture cannot be read: its end is missing"),
            Self::Parameter(error) => error.fmt(f),
            Self::TooLarge { width, height } => write!(
                f,
                "{width} x {height} is too large: at most {PIXELS_MAX} pixels and \
                 {DECODED_BYTES_MAX} bytes are read"
            ),
            Self::Unknown => f.write_str("send a picture in JPEG or PNG"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}

/// By its first bytes: what a client writes about them is often wrong.
fn format_of(picture: &[u8]) -> Result<ImageFormat, Refusal> {
    match image::guess_format(picture) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => Ok(format),
        _ => Err(Refusal::Unknown),
    }
}

fn shrink(picture: &[u8], format: ImageFormat, width: u32) -> Result<Vec<u8>, Refusal> {
    let mut decoder = open(picture, format)?;
    if format == ImageFormat::Jpeg && !has_end(picture) {
        return Err(Refusal::Cut);
    }
    let orientation = decoder.orientation().map_err(Refusal::Broken)?;
    let profile = decoder.icc_profile().map_err(Refusal::Broken)?;
    let photograph = DynamicImage::from_decoder(decoder).map_err(Refusal::Broken)?;
    let mut small = narrow(photograph, width, orientation);
    small.apply_orientation(orientation);
    encode(&small, format, profile).map_err(Refusal::Broken)
}

/// Reads the head and refuses what would unpack to too much, whatever size it has packed.
fn open(picture: &[u8], format: ImageFormat) -> Result<impl ImageDecoder, Refusal> {
    let mut reader = ImageReader::with_format(Cursor::new(picture), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(Refusal::Broken)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > PIXELS_MAX || decoder.total_bytes() > DECODED_BYTES_MAX {
        return Err(Refusal::TooLarge { width, height });
    }
    Ok(decoder)
}

/// Whether a JPEG has its end: of one that was cut, the decoder paints the rest grey.
fn has_end(jpeg: &[u8]) -> bool {
    const SCAN: u8 = 0xDA;
    const END: &[u8] = &[0xFF, 0xD9];
    // A preview inside a segment has an end too. In a scan the marker cannot occur by chance.
    let mut rest = &jpeg[2..];
    while let [0xFF, marker, high, low, ..] = *rest
        && marker != SCAN
    {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let segment = if marker == 0xFF { 1 } else { 2 + length };
        rest = rest.get(segment..).unwrap_or_default();
    }
    memmem::find(rest, END).is_some()
}

/// At most `width` wide once it stands upright; never larger than it was.
fn narrow(photograph: DynamicImage, width: u32, orientation: Orientation) -> DynamicImage {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let lies = matches!(orientation, Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH);
    let wide = if lies { photograph.height() } else { photograph.width() };
    if wide <= width {
        return photograph;
    }
    let scaled = |side: u32| {
        let pixels = (u64::from(side) * u64::from(width) + u64::from(wide) / 2) / u64::from(wide);
        u32::try_from(pixels).expect("it is smaller than the side was").max(1)
    };
    photograph.thumbnail_exact(scaled(photograph.width()), scaled(photograph.height()))
}

fn encode(
    picture: &DynamicImage,
    format: ImageFormat,
    profile: Option<Vec<u8>>,
) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    match format {
        ImageFormat::Png => write(picture, PngEncoder::new(&mut bytes), profile)?,
        _ => {
            let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
            write(picture, encoder, profile)?;
        }
    }
    Ok(bytes)
}

fn write(
    picture: &DynamicImage,
    mut encoder: impl ImageEncoder,
    profile: Option<Vec<u8>>,
) -> Result<(), ImageError> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).map_err(ImageError::Unsupported)?;
    }
    picture.write_with_encoder(encoder)
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Luma, Rgba};

    use super::*;

    const JPEG: &[u8] = include_bytes!("../../tests/data/mountains.jpg");
    const PNG: &[u8] = include_bytes!("../../tests/data/mountains.png");
    const UPRIGHT: &[u8] = include_bytes!("../../tests/data/upright.jpg");

    fn ask(target: &str, picture: &[u8]) -> Result<Response, Refusal> {
        thumbnail(&Request::of(target, None, picture.to_vec()))
    }

    #[track_caller]
    fn check_refused(picture: &[u8], status: StatusCode, text: &str) {
        let refusal = ask("/thumbnail", picture).expect_err("it is refused");
        assert_eq!(refusal.status(), status, "{refusal}");
        assert!(refusal.to_string().contains(text), "{refusal}");
    }

    #[track_caller]
    fn check_size(picture: &[u8], width: u32, expected: (u32, u32)) -> DynamicImage {
        let format = format_of(picture).unwrap();
        let small = shrink(picture, format, width).unwrap();
        assert_eq!(format_of(&small).unwrap(), format);
        let small = image::load_from_memory(&small).unwrap();
        assert_eq!((small.width(), small.height()), expected);
        small
    }

    fn png(picture: &DynamicImage) -> Vec<u8> {
        encode(picture, ImageFormat::Png, None).unwrap()
    }

    #[test]
    fn a_photograph_gets_smaller_and_keeps_its_kind_and_its_proportions() {
        check_size(JPEG, 300, (300, 200));
        check_size(JPEG, 1, (1, 1));
        check_size(PNG, 299, (299, 199));
        check_size(PNG, 599, (599, 399));
    }

    #[test]
    fn a_picture_that_is_small_already_stays_as_it_is() {
        for width in [600, 601, 4096] {
            let same = check_size(PNG, width, (600, 400));
            assert_eq!(same, image::load_from_memory(PNG).unwrap());
        }
    }

    #[test]
    fn a_photograph_that_lies_on_its_side_is_put_upright() {
        check_size(UPRIGHT, 100, (100, 150));
        check_size(UPRIGHT, 400, (400, 600));
        let small = check_size(UPRIGHT, 200, (200, 300)).into_luma8();
        let brightness = |y| (0..200).map(|x| u32::from(small.get_pixel(x, y).0[0])).sum::<u32>();
        let (sky, ground) = (brightness(0) / 200, brightness(299) / 200);
        assert!(sky > ground + 40, "{sky} above {ground}");
    }

    #[test]
    fn opacity_depth_and_profile_are_kept() {
        let clear = ImageBuffer::from_pixel(40, 20, Rgba([10_u8, 20, 30, 40]));
        let clear = check_size(&png(&DynamicImage::ImageRgba8(clear)), 10, (10, 5));
        assert_eq!(clear.into_rgba8().get_pixel(9, 4), &Rgba([10, 20, 30, 40]));
        let deep = ImageBuffer::from_pixel(40, 20, Luma([0x1234_u16]));
        let deep = check_size(&png(&DynamicImage::ImageLuma16(deep)), 10, (10, 5));
        assert_eq!(deep.into_luma16().get_pixel(0, 0), &Luma([0x1234]));
        let photograph = image::load_from_memory(PNG).unwrap();
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let whole = encode(&photograph, format, Some(b"a profile".to_vec())).unwrap();
            let small = shrink(&whole, format, 10).unwrap();
            let profile = open(&small, format).unwrap().icc_profile().unwrap();
            assert_eq!(profile.as_deref(), Some(&b"a profile"[..]), "{format:?}");
        }
    }

    #[test]
    fn the_width_has_bounds_and_a_default() {
        for width in ["0", "4097", "-1", "wide", ""] {
            let target = format!("/thumbnail?width={width}");
            let refusal = ask(&target, PNG).expect_err("it is refused");
            assert!(matches!(refusal, Refusal::Parameter(Error::ParameterInvalid)), "{width}");
        }
        assert!(ask("/thumbnail?width=4096", PNG).is_ok());
        assert!(ask("/thumbnail", PNG).is_ok());
    }

    #[test]
    fn what_is_no_picture_of_the_two_kinds_is_refused_by_its_first_bytes() {
        let kinds: [&[u8]; 5] = [b"", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP", b"--boundary\r\n"];
        for other in kinds {
            check_refused(other, StatusCode::UNSUPPORTED_MEDIA_TYPE, "JPEG or PNG");
        }
    }

    #[test]
    fn a_broken_picture_is_refused() {
        for picture in [JPEG, PNG, UPRIGHT] {
            for bytes in [20, 200, picture.len() / 2, picture.len() - 40] {
                check_refused(
                    &picture[..bytes],
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "cannot be read",
                );
            }
        }
    }

    #[test]
    fn the_end_of_a_jpeg_is_that_of_the_picture_and_not_of_its_preview() {
        assert!(has_end(JPEG) && has_end(UPRIGHT));
        assert!(has_end(&[JPEG, b"\xFF\xDA what a camera appends"].concat()));
        let preview = b"\xFF\xD8\xFF\xE1\0\x08\xFF\xDA..\xFF\xD9";
        assert!(!has_end(&[preview, &b"\xFF\xFF\xDA\0\x02..."[..]].concat()));
        assert!(has_end(&[preview, &b"\xFF\xFF\xDA\0\x02...\xFF\xD9"[..]].concat()));
        assert!(!has_end(b"\xFF\xD8\xFF\xE1\xFF\xFF\xFF\xD9"));
        assert!(!has_end(b"\xFF\xD8"));
    }

    /// The head of a PNG that says how large the picture is, and nothing of the picture.
    fn claim(width: u32, height: u32, depth: u8) -> Vec<u8> {
        let mut head = b"IHDR".to_vec();
        head.extend([width, height].into_iter().flat_map(u32::to_be_bytes));
        // Red, green and blue without interlacing.
        head.extend([depth, 2, 0, 0, 0]);
        let mut sum = flate2::Crc::new();
        sum.update(&head);
        let body = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".iter().chain(&head).copied();
        body.chain(sum.sum().to_be_bytes()).chain(*b"\0\0\0\x04IDAT").collect()
    }

    #[test]
    fn what_would_unpack_to_too_much_is_refused_for_what_it_claims() {
        for (width, height, depth) in [(20_000, 20_000, 8), (10_000, 4_001, 8), (6_000, 6_000, 16)]
        {
            let text = format!("{width} x {height} is too large");
            check_refused(&claim(width, height, depth), StatusCode::PAYLOAD_TOO_LARGE, &text);
        }
        let endless = claim(0x7FFF_FFFF, 0x7FFF_FFFF, 16);
        check_refused(&endless, StatusCode::PAYLOAD_TOO_LARGE, "cannot be read");
        let small = claim(6_000, 6_000, 8);
        check_refused(&small, StatusCode::UNPROCESSABLE_ENTITY, "cannot be read");
        let mut jpeg = JPEG.to_vec();
        let frame = jpeg.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
        jpeg[frame + 5..frame + 9].fill(0xFF);
        let text = "65535 x 65535 is too large";
        check_refused(&jpeg, StatusCode::PAYLOAD_TOO_LARGE, text);
    }

    #[test]
    fn no_damage_to_a_picture_is_a_panic() {
        let mut random = 1_u32;
        let mut below = |bound: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize % bound
        };
        for picture in [PNG, UPRIGHT] {
            for reach in [700, picture.len()] {
                for _ in 0..50 {
                    let mut damaged = picture.to_vec();
                    (0..4).for_each(|_| damaged[below(reach)] = below(256) as u8);
                    // Some are still pictures.
                    drop(ask("/thumbnail?width=20", &damaged));
                }
            }
        }
    }
}
