//! SVG pictures as PNG.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};

use crate::{Error, Result};

/// Pixels by unit of the SVG, for sharp text.
const SCALE: f32 = 2.0;

/// Families that stand for "sans-serif", the first that is there.
const FAMILIES: [&str; 8] = [
    "DejaVu Sans",
    "Liberation Sans",
    "Noto Sans",
    "Helvetica",
    "Arial",
    "Segoe UI",
    "Ubuntu",
    "Cantarell",
];

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_system_fonts();
    let families = || fonts.faces().flat_map(|face| &face.families).map(|(name, _)| name.as_str());
    let known = FAMILIES.into_iter().find(|family| families().any(|name| name == *family));
    if let Some(family) = known.or_else(|| families().next()).map(str::to_owned) {
        fonts.set_sans_serif_family(family);
    }
    Arc::new(fonts)
});

/// Draws an SVG picture, twice as large, as a PNG file with the system's fonts.
///
/// # Errors
/// [`Error::Data`] if the text is no SVG, or the system has no fonts.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
    let wrong = |problem: String| Error::Data(format!("a picture as PNG: {problem}"));
    let fontdb = FONTS.clone();
    if fontdb.is_empty() {
        let problem = "this machine has no fonts: install some (Debian: fonts-dejavu-core), or \
                       write SVG";
        return Err(wrong(problem.into()));
    }
    let options = usvg::Options { fontdb, ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| wrong(error.to_string()))?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let size = size.ok_or_else(|| wrong("it has no size".into()))?;
    let mut pixels =
        Pixmap::new(size.width(), size.height()).ok_or_else(|| wrong("it is too large".into()))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dark(svg: &str) -> usize {
        let pixels = Pixmap::decode_png(&png(svg).unwrap()).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (200, 100));
        pixels.pixels().iter().filter(|pixel| pixel.red() < 128 && pixel.alpha() > 128).count()
    }

    #[test]
    fn text_and_shapes_are_drawn() {
        let picture = |inside: &str| {
            format!(
                "<svg xmlns='http://www.w3.org/2000/svg' width='100' height='50'>\
                 <rect width='100' height='50' fill='white'/>{inside}</svg>"
            )
        };
        assert_eq!(dark(&picture("")), 0);
        assert_eq!(dark(&picture("<rect width='10' height='10'/>")), 400);
        let text = "<text x='5' y='30' font-family='sans-serif' font-size='20'>loss</text>";
        assert!(dark(&picture(text)) > 100);
        assert!(png("no picture").is_err());
    }
}
