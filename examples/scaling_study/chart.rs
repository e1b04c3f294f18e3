//! Charts as SVG: curves with error bars over threads, a roofline, stacked bars.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const INK: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(228, 228, 228);
const SIZE: (u32, u32) = (620, 420);
/// Height of a row of the legend.
const ROW: i32 = 18;

/// Colours that differ in lightness too.
pub const COLORS: [RGBColor; 6] = [
    RGBColor(31, 96, 165),
    RGBColor(214, 98, 20),
    RGBColor(44, 140, 76),
    RGBColor(148, 60, 150),
    RGBColor(120, 120, 120),
    RGBColor(180, 40, 50),
];

/// How a curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Line,
    Dashed,
    Dots,
    DottedLine,
}

/// Points by a name; each has its value and the ends of its error bar.
#[derive(Debug, Clone)]
pub struct Curve {
    pub name: String,
    pub color: RGBColor,
    pub style: Style,
    pub points: Vec<(f64, f64)>,
    pub bars: Vec<(f64, f64, f64)>,
}

impl Curve {
    pub fn new(name: impl Into<String>, color: RGBColor, style: Style) -> Self {
        Self { name: name.into(), color, style, points: vec![], bars: vec![] }
    }

    pub fn points(mut self, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.points = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        self
    }
}

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    /// By doublings.
    Log2,
    Log10,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log2 => value.log2(),
            Self::Log10 => value.log10(),
        }
    }

    fn label(self, place: f64) -> String {
        let whole = (place - place.round()).abs() < 1e-6;
        match self {
            Self::Linear => format!("{}", (place * 1e4).round() / 1e4),
            _ if !whole => String::new(),
            Self::Log2 => format!("{}", place.round().exp2()),
            Self::Log10 => format!("{}", 10_f64.powf(place.round())),
        }
    }
}

/// A chart of curves.
#[derive(Debug, Clone)]
pub struct Chart<'a> {
    pub title: &'a str,
    pub x: (&'a str, Scale),
    pub y: (&'a str, Scale),
    pub curves: Vec<Curve>,
    /// Whether the vertical axis begins at 0.
    pub from_zero: bool,
}

impl Chart<'_> {
    /// Draws it.
    pub fn svg(&self) -> Result<String, Box<dyn std::error::Error>> {
        let mut svg = String::new();
        self.draw(SVGBackend::with_string(&mut svg, SIZE))?;
        Ok(svg)
    }

    fn range(&self, scale: Scale, of: impl Fn(&(f64, f64)) -> f64, zero: bool) -> Range<f64> {
        let bars = |curve: &Curve| -> Vec<(f64, f64)> {
            curve.bars.iter().flat_map(|&(x, low, high)| [(x, low), (x, high)]).collect()
        };
        let all: Vec<f64> = self
            .curves
            .iter()
            .flat_map(|curve| curve.points.iter().copied().chain(bars(curve)))
            .map(|point| scale.place(of(&point)))
            .filter(|place| place.is_finite())
            .collect();
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if all.is_empty() {
            return 0.0..1.0;
        }
        let margin = (0.05 * (high - low)).max(1e-3 * high.abs()).max(1e-9);
        let low = if zero && scale == Scale::Linear { 0.0 } else { low - margin };
        low..high + margin
    }

    fn draw(&self, backend: SVGBackend<'_>) -> Drawn {
        let root = backend.into_drawing_area();
        root.fill(&WHITE)?;
        let names: Vec<_> = self
            .curves
            .iter()
            .map(|curve| (curve.name.as_str(), curve.color, curve.style))
            .collect();
        let top = head(&root, self.title, &names)?;
        let (x_scale, y_scale) = (self.x.1, self.y.1);
        let x = self.range(x_scale, |point| point.0, false);
        let y = self.range(y_scale, |point| point.1, self.from_zero);
        let ticks = |scale: Scale, range: &Range<f64>| match scale {
            Scale::Linear => 8,
            _ => (range.end - range.start).ceil() as usize + 1,
        };
        let mut chart = ChartBuilder::on(&root)
            .margin_top(top)
            .margin_right(18)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x.clone(), y.clone())?;
        let label = ("sans-serif", 13).into_font().color(&INK);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .x_labels(ticks(x_scale, &x))
            .y_labels(ticks(y_scale, &y))
            .x_label_formatter(&|place| x_scale.label(*place))
            .y_label_formatter(&|place| y_scale.label(*place))
            .label_style(label)
            .axis_desc_style(("sans-serif", 14).into_font().color(&INK))
            .x_desc(self.x.0)
            .y_desc(self.y.0)
            .draw()?;
        let place = |(x, y): (f64, f64)| (x_scale.place(x), y_scale.place(y));
        for curve in &self.curves {
            let points: Vec<_> = curve.points.iter().copied().map(place).collect();
            let color = curve.color;
            match curve.style {
                Style::Dashed => {
                    let line = DashedLineSeries::new(points.clone(), 6, 4, color.stroke_width(2));
                    chart.draw_series(line)?;
                }
                Style::Line | Style::DottedLine => {
                    chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?;
                }
                Style::Dots => {}
            }
            if matches!(curve.style, Style::Dots | Style::DottedLine) {
                let dot = |point| Circle::new(point, 4, color.filled());
                chart.draw_series(points.into_iter().map(dot))?;
            }
            for &(x, low, high) in &curve.bars {
                let line = [place((x, low)), place((x, high))];
                chart.draw_series([PathElement::new(line, color.stroke_width(2))])?;
            }
        }
        root.present()?;
        Ok(())
    }
}

/// Bars of stacked parts, in one unit.
pub fn stacked(
    title: &str,
    unit: &str,
    parts: &[&str],
    bars: &[(String, Vec<f64>)],
) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let color = |part: usize| part_color(part, parts.len());
        let names: Vec<_> =
            parts.iter().enumerate().map(|(i, name)| (*name, color(i), Style::Line)).collect();
        let top = head(&root, title, &names)?;
        let most = bars.iter().map(|(_, bar)| bar.iter().sum::<f64>()).fold(0.0, f64::max);
        let height = if most > 0.0 { most * 1.05 } else { 1.0 };
        let mut chart = ChartBuilder::on(&root)
            .margin_top(top)
            .margin_right(18)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(-0.5..bars.len() as f64 - 0.5, 0.0..height)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .x_labels(bars.len() * 2 + 1)
            .x_label_formatter(&|x| {
                let whole = (x - x.round()).abs() < 1e-6 && *x >= 0.0;
                let bar = if whole { bars.get(x.round() as usize) } else { None };
                bar.map_or_else(String::new, |(name, _)| name.clone())
            })
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .axis_desc_style(("sans-serif", 14).into_font().color(&INK))
            .x_desc("threads")
            .y_desc(unit)
            .draw()?;
        for (index, (_, bar)) in bars.iter().enumerate() {
            let mut from = 0.0;
            for (part, value) in bar.iter().enumerate() {
                let (left, right) = (index as f64 - 0.3, index as f64 + 0.3);
                let corners = [(left, from), (right, from + value)];
                chart.draw_series([Rectangle::new(corners, color(part).filled())])?;
                from += value;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

/// Colours along a way from blue to orange, so that neighbours can be told apart.
fn part_color(part: usize, parts: usize) -> RGBColor {
    if part < COLORS.len() - 1 {
        return COLORS[part];
    }
    let shade = 90 + (130 * (part - COLORS.len() + 1) / parts.max(1)) as u8;
    RGBColor(shade, shade / 2 + 60, 40)
}

/// Writes the title and the legend, and returns how high they are.
fn head(
    root: &Area<'_>,
    title: &str,
    names: &[(&str, RGBColor, Style)],
) -> Result<i32, Box<dyn std::error::Error>> {
    let text = |size: i32| {
        let style = ("sans-serif", size).into_font().color(&INK);
        style.pos(Pos::new(HPos::Left, VPos::Center))
    };
    root.draw(&Text::new(title.to_owned(), (14, 16), text(16)))?;
    let (mut x, mut y) = (14, 16 + ROW + 4);
    for &(name, color, style) in names {
        let width = 40 + 7 * name.chars().count() as i32;
        if x + width > SIZE.0 as i32 {
            (x, y) = (14, y + ROW);
        }
        let line =
            |from: i32, to: i32| PathElement::new([(from, y), (to, y)], color.stroke_width(2));
        match style {
            Style::Line | Style::DottedLine => root.draw(&line(x, x + 20))?,
            Style::Dashed => {
                root.draw(&line(x, x + 7))?;
                root.draw(&line(x + 12, x + 20))?;
            }
            Style::Dots => {}
        }
        if matches!(style, Style::Dots | Style::DottedLine) {
            root.draw(&Circle::new((x + 10, y), 4, color.filled()))?;
        }
        root.draw(&Text::new(name.to_owned(), (x + 26, y), text(13)))?;
        x += width;
    }
    Ok(y + ROW - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_is_drawn_and_named() {
        let curve = |style, name: &str| {
            Curve::new(name, COLORS[0], style).points([(1.0, 1.0), (2.0, 1.9), (4.0, f64::NAN)])
        };
        let curves = vec![curve(Style::Dots, "measured"), curve(Style::Dashed, "ideal")];
        let chart = Chart {
            title: "speed-up",
            x: ("threads", Scale::Log2),
            y: ("times", Scale::Linear),
            curves,
            from_zero: true,
        };
        let svg = chart.svg().unwrap();
        assert!(svg.contains(">\nmeasured") && svg.contains(">\nideal") && !svg.contains("NaN"));
        assert_eq!(svg.matches("<circle").count(), 3); // two points and the legend's
    }

    #[test]
    fn nothing_to_draw_is_an_empty_chart() {
        let empty = Chart {
            title: "",
            x: ("", Scale::Log10),
            y: ("", Scale::Log10),
            curves: vec![],
            from_zero: false,
        };
        assert!(empty.svg().unwrap().contains("<svg"));
        assert!(stacked("", "ms", &[], &[]).unwrap().contains("<svg"));
    }

    #[test]
    fn stacked_parts_are_as_high_as_their_sum() {
        let bars = [("1".to_owned(), vec![1.0, 2.0]), ("2".to_owned(), vec![1.0, 1.0])];
        let svg = stacked("phases", "ms", &["a", "b"], &bars).unwrap();
        assert!(svg.matches("<rect").count() >= 4);
    }
}
