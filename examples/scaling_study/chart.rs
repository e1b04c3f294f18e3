//! Charts as SVG: curves with error bars, stacked bars. Those of predictions are tinted and say so.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Result;
use super::axis::Scale;
use super::sheet::{Area, dot, drawing, head, pen, text};
use super::sheet::{COLORS, FINE, GREY, GRID, INK, Style};

/// Points by a name, and the ends of error bars.
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

/// A chart of curves.
#[derive(Debug, Clone)]
pub struct Chart<'a> {
    pub title: &'a str,
    pub x: (&'a str, Scale),
    pub y: (&'a str, Scale),
    /// Where the horizontal axis has its marks; by itself if there are none.
    pub marks: Vec<f64>,
    pub curves: Vec<Curve>,
    /// A value that the vertical axis begins with, or lower.
    pub from: Option<f64>,
    /// A vertical line, and what it says.
    pub line: Option<(f64, String)>,
    pub predicted: bool,
}

impl Chart<'_> {
    /// Draws it.
    pub fn svg(&self) -> Result<String> {
        drawing(|root| self.draw(root))
    }

    fn range(
        &self,
        scale: Scale,
        of: impl Fn(&(f64, f64)) -> f64,
        from: Option<f64>,
    ) -> Range<f64> {
        let ends = |curve: &Curve| -> Vec<(f64, f64)> {
            curve.bars.iter().flat_map(|&(x, low, high)| [(x, low), (x, high)]).collect()
        };
        let all = self
            .curves
            .iter()
            .flat_map(|curve| curve.points.iter().copied().chain(ends(curve)).collect::<Vec<_>>());
        let places: Vec<f64> = all
            .map(|point| of(&point))
            .chain(from)
            .map(|value| scale.place(value))
            .filter(|place| place.is_finite())
            .collect();
        let low = places.iter().copied().fold(f64::INFINITY, f64::min);
        let high = places.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if places.is_empty() {
            return 0.0..1.0;
        }
        let margin = (0.05 * (high - low)).max(1e-3 * high.abs()).max(1e-9);
        let below = if from.is_some_and(|from| scale.place(from) == low) { 0.0 } else { margin };
        low - below..high + margin
    }

    fn draw(&self, root: &Area<'_>) -> Result<()> {
        let names: Vec<_> = self
            .curves
            .iter()
            .map(|curve| (curve.name.as_str(), curve.color, Some(curve.style)))
            .collect();
        let above = if self.line.is_some() { 12 * FINE } else { 0 };
        let top = head(root, self.title, &names, self.predicted)? + above;
        let (x_scale, y_scale) = (self.x.1, self.y.1);
        let x = self.range(x_scale, |point| point.0, None);
        let y = self.range(y_scale, |point| point.1, self.from);
        let x_marks = match &self.marks[..] {
            [] => x_scale.marks(&x),
            marks => marks.iter().map(|&value| x_scale.place(value)).collect(),
        };
        let axes = Axes { x, x_marks, y_marks: y_scale.marks(&y), y, labels: (self.x.0, self.y.0) };
        let x_label = |place: f64| x_scale.label(place);
        let mut chart = axes.draw(root, top, &x_label, &|place| y_scale.label(place))?;
        let place = |(x, y): (f64, f64)| (x_scale.place(x), y_scale.place(y));
        if let Some((at, says)) = &self.line {
            let at = x_scale.place(*at);
            let line = vec![(at, axes.y.start), (at, axes.y.end)];
            let (dash, gap) = (2 * FINE as u32, 3 * FINE as u32);
            chart.draw_series(DashedLineSeries::new(line, dash, gap, pen(GREY, 1)))?;
            let style = text(12, GREY).pos(Pos::new(HPos::Center, VPos::Bottom));
            let (x, y) = chart.backend_coord(&(at, axes.y.end));
            root.draw(&Text::new(says.clone(), (x, y - 2 * FINE), style))?;
        }
        for curve in &self.curves {
            let points: Vec<_> = curve.points.iter().copied().map(place).collect();
            let color = curve.color;
            match curve.style {
                Style::Dashed | Style::HollowDashed => {
                    let (dash, gap) = (6 * FINE as u32, 4 * FINE as u32);
                    let line = DashedLineSeries::new(points.clone(), dash, gap, pen(color, 2));
                    chart.draw_series(line)?;
                }
                Style::Line | Style::DottedLine => {
                    chart.draw_series(LineSeries::new(points.clone(), pen(color, 2)))?;
                }
                Style::Dots => {}
            }
            for &(x, low, high) in &curve.bars {
                let line = [place((x, low)), place((x, high))];
                chart.draw_series([PathElement::new(line, pen(color, 2))])?;
            }
            if curve.style.dots() {
                for point in points {
                    dot(root, chart.backend_coord(&point), color, curve.style)?;
                }
            }
        }
        Ok(())
    }
}

/// Bars of stacked parts.
#[derive(Debug, Clone)]
pub struct Stacked<'a> {
    pub title: &'a str,
    pub unit: &'a str,
    pub parts: &'a [&'a str],
    /// Each bar's name and the values of its parts.
    pub bars: &'a [(String, Vec<f64>)],
    pub predicted: bool,
}

impl Stacked<'_> {
    /// Draws it.
    pub fn svg(&self) -> Result<String> {
        drawing(|root| self.draw(root))
    }

    fn draw(&self, root: &Area<'_>) -> Result<()> {
        let names: Vec<_> =
            self.parts.iter().zip(COLORS).map(|(name, color)| (*name, color, None)).collect();
        let top = head(root, self.title, &names, self.predicted)?;
        let sums = self.bars.iter().map(|(_, bar)| bar.iter().sum::<f64>());
        let most = sums.fold(0.0, f64::max);
        let y = 0.0..if most > 0.0 { most * 1.05 } else { 1.0 };
        let axes = Axes {
            x: -0.5..self.bars.len() as f64 - 0.5,
            x_marks: (0..self.bars.len()).map(|i| i as f64).collect(),
            y_marks: Scale::Linear.marks(&y),
            y,
            labels: ("threads", self.unit),
        };
        let name = |place: f64| {
            let bar = self.bars.get(place.round() as usize);
            bar.map_or_else(String::new, |(name, _)| name.clone())
        };
        let mut chart = axes.draw(root, top, &name, &|place| Scale::Linear.label(place))?;
        for (index, (_, bar)) in self.bars.iter().enumerate() {
            let mut from = 0.0;
            for (value, color) in bar.iter().zip(COLORS) {
                let (left, right) = (index as f64 - 0.32, index as f64 + 0.32);
                let corners = [(left, from), (right, from + value)];
                chart.draw_series([Rectangle::new(corners, color.filled())])?;
                from += value;
            }
        }
        Ok(())
    }
}

/// The ground of a chart: ranges of places, their marks, and what the axes are.
struct Axes<'a> {
    x: Range<f64>,
    y: Range<f64>,
    x_marks: Vec<f64>,
    y_marks: Vec<f64>,
    labels: (&'a str, &'a str),
}

type Ground<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Marked, Marked>>;

/// An axis with marks of its own.
#[derive(Clone)]
struct Marked {
    range: Range<f64>,
    marks: Vec<f64>,
}

impl Ranged for Marked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (place - self.range.start) / (self.range.end - self.range.start);
        from + (f64::from(to - from) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl Axes<'_> {
    fn draw<'a, 'b>(
        &self,
        root: &'a Area<'b>,
        top: i32,
        x_label: &dyn Fn(f64) -> String,
        y_label: &dyn Fn(f64) -> String,
    ) -> Result<Ground<'a, 'b>> {
        let mut chart = ChartBuilder::on(root)
            .margin_top(top)
            .margin_right(20 * FINE)
            .margin_left(20 * FINE)
            .margin_bottom(8 * FINE)
            .x_label_area_size(40 * FINE)
            .y_label_area_size(52 * FINE)
            .build_cartesian_2d(
                Marked { range: self.x.clone(), marks: self.x_marks.clone() },
                Marked { range: self.y.clone(), marks: self.y_marks.clone() },
            )?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(pen(GRID, 1))
            .axis_style(pen(INK, 1))
            .set_all_tick_mark_size(5 * FINE)
            .x_labels(self.x_marks.len().max(1))
            .y_labels(self.y_marks.len().max(1))
            .x_label_formatter(&|place| x_label(*place))
            .y_label_formatter(&|place| y_label(*place))
            .label_style(text(13, INK))
            .axis_desc_style(text(14, INK))
            .x_desc(self.labels.0)
            .y_desc(self.labels.1)
            .draw()?;
        Ok(chart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(curves: Vec<Curve>, predicted: bool) -> String {
        let chart = Chart {
            title: "speed-up",
            x: ("threads", Scale::Log2),
            y: ("times", Scale::Linear),
            marks: vec![],
            curves,
            from: Some(0.0),
            line: Some((2.0, "2 cores".into())),
            predicted,
        };
        chart.svg().unwrap()
    }

    #[test]
    fn every_curve_is_drawn_and_named() {
        let curve = |style, name: &str| {
            Curve::new(name, COLORS[0], style).points([(1.0, 1.0), (2.0, 1.9), (4.0, f64::NAN)])
        };
        let svg = chart(vec![curve(Style::Dots, "measured"), curve(Style::Dashed, "ideal")], false);
        for text in ["measured", "ideal", "speed-up", "threads", "times", "2 cores"] {
            assert!(svg.contains(&format!(">\n{text}\n")), "{text}: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("PREDICTION"));
        assert_eq!(svg.matches("<circle").count(), 3); // two points and the legend's
        assert!(svg.starts_with("<svg width=\"620\" height=\"420\" viewBox=\"0 0 4960 3360\""));
    }

    #[test]
    fn predictions_say_so() {
        assert!(chart(vec![], true).contains("PREDICTION"));
    }

    #[test]
    fn nothing_to_draw_is_an_empty_chart() {
        assert!(chart(vec![], false).contains("<svg"));
        let empty = Stacked { title: "", unit: "ms", parts: &[], bars: &[], predicted: false };
        assert!(empty.svg().unwrap().contains("<svg"));
    }

    #[test]
    fn every_part_of_every_bar_is_drawn() {
        let bars = [("1".to_owned(), vec![1.0, 2.0]), ("2".to_owned(), vec![1.0, 1.0])];
        let (unit, parts) = ("ms", &["a", "b"][..]);
        let stacked = Stacked { title: "phases", unit, parts, bars: &bars, predicted: false };
        // The ground, the legend's two and the bars' four.
        assert_eq!(stacked.svg().unwrap().matches("<rect").count(), 7);
    }
}
