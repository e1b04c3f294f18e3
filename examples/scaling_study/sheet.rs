//! The sheet that charts are drawn on: its size, pens and text, the title and the legend.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Result;

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub const INK: RGBColor = RGBColor(50, 50, 50);
pub const GRID: RGBColor = RGBColor(224, 224, 224);
/// Behind what was predicted.
const TINT: RGBColor = RGBColor(255, 247, 232);
const SIGNAL: RGBColor = RGBColor(176, 84, 0);
const SIZE: (u32, u32) = (620, 420);
/// Steps of a pixel: plotters places points on whole ones, which makes lines wobble.
pub const FINE: i32 = 8;
/// Height of a row of the legend.
const ROW: i32 = 19;

/// Colours that differ in lightness too, and what is no workload and no part.
pub const COLORS: [RGBColor; 6] = [
    RGBColor(31, 96, 165),
    RGBColor(214, 98, 20),
    RGBColor(44, 140, 76),
    RGBColor(140, 70, 150),
    RGBColor(222, 175, 60),
    RGBColor(190, 190, 190),
];
pub const GREY: RGBColor = RGBColor(125, 125, 125);
pub const RED: RGBColor = RGBColor(190, 30, 45);

/// How a curve is drawn. Filled dots are measured, hollow ones predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Line,
    Dashed,
    Dots,
    DottedLine,
    HollowDashed,
}

impl Style {
    pub fn dots(self) -> bool {
        matches!(self, Self::Dots | Self::DottedLine | Self::HollowDashed)
    }
}

/// Draws on a sheet of paper that is [`FINE`] times as fine as the picture is large.
pub fn drawing(draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    let fine = (SIZE.0 * FINE as u32, SIZE.1 * FINE as u32);
    {
        let root = SVGBackend::with_string(&mut svg, fine).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root)?;
        root.present()?;
    }
    let size = |(width, height): (u32, u32)| format!("width=\"{width}\" height=\"{height}\"");
    Ok(svg.replacen(&size(fine), &size(SIZE), 1))
}

pub fn pen(color: RGBColor, width: u32) -> ShapeStyle {
    color.stroke_width(width * FINE as u32)
}

pub fn text(size: i32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size * FINE).into_font().color(&color)
}

pub fn dot(root: &Area<'_>, at: (i32, i32), color: RGBColor, style: Style) -> Result<()> {
    let radius = 4 * FINE;
    match style {
        Style::HollowDashed => {
            root.draw(&Circle::new(at, radius, WHITE.filled()))?;
            root.draw(&Circle::new(at, radius, pen(color, 2)))?;
        }
        _ => root.draw(&Circle::new(at, radius, color.filled()))?,
    }
    Ok(())
}

/// Writes the title and the legend, and returns how high they are. What has no style is a part.
pub fn head(
    root: &Area<'_>,
    title: &str,
    names: &[(&str, RGBColor, Option<Style>)],
    predicted: bool,
) -> Result<i32> {
    let left =
        |size: i32, color: RGBColor| text(size, color).pos(Pos::new(HPos::Left, VPos::Center));
    let at = |x: i32, y: i32| (x * FINE, y * FINE);
    if predicted {
        root.fill(&TINT)?;
        let right = text(15, SIGNAL).pos(Pos::new(HPos::Right, VPos::Center));
        root.draw(&Text::new("PREDICTION", at(SIZE.0 as i32 - 20, 18), right))?;
    }
    root.draw(&Text::new(title.to_owned(), at(20, 18), left(16, INK)))?;
    let (mut x, mut y) = (20, 18 + ROW + 5);
    for &(name, color, style) in names {
        let width = 46 + 6 * name.chars().count() as i32;
        if x + width > SIZE.0 as i32 {
            (x, y) = (20, y + ROW);
        }
        let line = |from, to| PathElement::new([at(from, y), at(to, y)], pen(color, 2));
        match style {
            None => {
                root.draw(&Rectangle::new([at(x + 3, y - 6), at(x + 19, y + 6)], color.filled()))?
            }
            Some(Style::Line | Style::DottedLine) => root.draw(&line(x, x + 22))?,
            Some(Style::Dashed | Style::HollowDashed) => {
                root.draw(&line(x, x + 8))?;
                root.draw(&line(x + 14, x + 22))?;
            }
            Some(Style::Dots) => {}
        }
        if let Some(style) = style.filter(|style| style.dots()) {
            dot(root, at(x + 11, y), color, style)?;
        }
        root.draw(&Text::new(name.to_owned(), at(x + 28, y), left(13, INK)))?;
        x += width;
    }
    Ok((y + ROW - 4) * FINE)
}
