//! Learning curves as a picture.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::History;
use crate::{Error, Result};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

const TRAINING: RGBColor = RGBColor(31, 96, 165);
const VALIDATION: RGBColor = RGBColor(214, 98, 20);
const INK: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(228, 228, 228);
const PANEL: (u32, u32) = (560, 380);
/// Beyond it points would hide the line.
const MOST_POINTS: usize = 40;

/// One line of a panel: name, colour and the points that are numbers.
struct Curve {
    name: &'static str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

impl History {
    /// Draws loss and accuracy by epoch, of training and validation, as an SVG picture. Figures
    /// that were not taken are left out; without accuracies there is one panel.
    ///
    /// # Errors
    /// [`Error::Data`] if there are no epochs, [`Error::Io`] if the file cannot be written.
    ///
    /// # Examples
    /// ```no_run
    /// # fn show(history: &unisono::History) -> unisono::Result<()> {
    /// history.write_svg("curves.svg")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_svg(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let svg = self.svg()?;
        std::fs::write(path, svg).map_err(|source| Error::Io { path: path.to_path_buf(), source })
    }

    /// Draws the same as a PNG picture, twice as large, with the system's fonts.
    ///
    /// # Errors
    /// As [`write_svg`](Self::write_svg), and [`Error::Data`] if the system has no fonts.
    #[cfg(feature = "png")]
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let png = super::picture::png(&self.svg()?)?;
        std::fs::write(path, png).map_err(|source| Error::Io { path: path.to_path_buf(), source })
    }

    fn svg(&self) -> Result<String> {
        if self.epochs.is_empty() {
            return Err(Error::Data("learning curves need at least one epoch, found none".into()));
        }
        let loss = self.curves(|report| Some(report.loss), |report| report.val_loss);
        let accuracy = self.curves(|report| report.accuracy, |report| report.val_accuracy);
        let panels: Vec<_> = [("loss", loss), ("accuracy", accuracy)]
            .into_iter()
            .filter(|(_, it)| !it.is_empty())
            .collect();
        let mut svg = String::new();
        let size = (PANEL.0 * panels.len().max(1) as u32, PANEL.1);
        self.draw(SVGBackend::with_string(&mut svg, size), &panels)
            .map_err(|error| Error::Data(format!("learning curves cannot be drawn: {error}")))?;
        Ok(svg)
    }

    fn curves(
        &self,
        training: impl Fn(&super::EpochReport) -> Option<f64>,
        validation: impl Fn(&super::EpochReport) -> Option<f64>,
    ) -> Vec<Curve> {
        let points = |of: &dyn Fn(&super::EpochReport) -> Option<f64>| -> Vec<(f64, f64)> {
            let all = self.epochs.iter().filter_map(|it| Some((it.epoch as f64, of(it)?)));
            all.filter(|(_, y)| y.is_finite()).collect()
        };
        let training = Curve { name: "training", color: TRAINING, points: points(&training) };
        let validation =
            Curve { name: "validation", color: VALIDATION, points: points(&validation) };
        [training, validation].into_iter().filter(|curve| !curve.points.is_empty()).collect()
    }

    fn draw(&self, backend: SVGBackend<'_>, panels: &[(&str, Vec<Curve>)]) -> Drawn {
        let root = backend.into_drawing_area();
        root.fill(&WHITE)?;
        let first = self.epochs.first().map_or(1, |report| report.epoch);
        let last = self.epochs.last().map_or(1, |report| report.epoch);
        let margin = if first == last { 0.5 } else { 0.02 * (last - first) as f64 };
        let epochs = first as f64 - margin..last as f64 + margin;
        for (area, (name, curves)) in root.split_evenly((1, panels.len().max(1))).iter().zip(panels)
        {
            draw_panel(area, name, curves, epochs.clone())?;
        }
        root.present()
    }
}

fn draw_panel(area: &Area<'_>, name: &str, curves: &[Curve], epochs: Range<f64>) -> Drawn {
    let whole = (epochs.end - epochs.start).ceil() as usize;
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .margin_top(26)
        .margin_right(22)
        .x_label_area_size(44)
        .y_label_area_size(62)
        .build_cartesian_2d(epochs, heights(curves))?;
    let label = ("sans-serif", 13).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_labels(whole.min(10))
        .y_labels(8)
        .x_label_formatter(&|x| if x.fract() == 0.0 { x.to_string() } else { String::new() })
        .y_label_formatter(&|y| format!("{}", (y * 1e6).round() / 1e6))
        .label_style(label.clone())
        .axis_desc_style(("sans-serif", 15).into_font().color(&INK))
        .x_desc("epoch")
        .y_desc(name)
        .draw()?;
    for curve in curves {
        let line = curve.color.stroke_width(2);
        chart.draw_series(LineSeries::new(curve.points.iter().copied(), line))?;
        if curve.points.len() <= MOST_POINTS {
            let dot = |&point| Circle::new(point, 3, curve.color.filled());
            chart.draw_series(curve.points.iter().map(dot))?;
        }
    }
    draw_legend(area, curves)
}

/// Names the curves above the plot, at its right end, where no curve can run into them.
fn draw_legend(area: &Area<'_>, curves: &[Curve]) -> Drawn {
    let (width, _) = area.dim_in_pixel();
    let style = ("sans-serif", 13).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
    for (i, curve) in curves.iter().enumerate() {
        let x = width as i32 - 110 * (curves.len() - i) as i32 - 8;
        area.draw(&PathElement::new([(x, 13), (x + 22, 13)], curve.color.stroke_width(2)))?;
        area.draw(&Text::new(curve.name, (x + 28, 13), style.clone()))?;
    }
    Ok(())
}

/// The range of a panel's values, a little wider, and never empty.
fn heights(curves: &[Curve]) -> Range<f64> {
    let values = || curves.iter().flat_map(|curve| &curve.points).map(|&(_, y)| y);
    let (low, high) =
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let margin = (0.05 * (high - low)).max(1e-3 * high.abs()).max(1e-6);
    low - margin..high + margin
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::example;
    use super::*;

    fn count(svg: &str, part: &str) -> usize {
        svg.matches(part).count()
    }

    #[test]
    fn both_panels_have_both_curves() {
        let svg = example(12).svg().unwrap();
        assert_eq!((count(&svg, ">\ntraining"), count(&svg, ">\nvalidation")), (2, 2));
        assert_eq!((count(&svg, ">\nloss"), count(&svg, ">\naccuracy")), (1, 1));
        assert_eq!(count(&svg, "<circle"), 48);
    }

    #[test]
    fn figures_not_taken_are_left_out() {
        let mut history = example(12);
        history.epochs.iter_mut().for_each(|report| {
            (report.accuracy, report.val_accuracy, report.val_loss) = (None, None, None);
        });
        let svg = history.svg().unwrap();
        assert_eq!((count(&svg, ">\ntraining"), count(&svg, ">\nvalidation")), (1, 0));
        assert_eq!((count(&svg, ">\nloss"), count(&svg, ">\naccuracy")), (1, 0));
    }

    #[test]
    fn one_epoch_is_a_point() {
        let svg = example(1).svg().unwrap();
        assert_eq!(count(&svg, "<circle"), 4);
    }

    #[test]
    fn values_that_are_no_numbers_are_left_out() {
        let mut history = example(3);
        history.epochs[1].loss = f64::NAN;
        history.epochs[2].val_loss = Some(f64::INFINITY);
        let svg = history.svg().unwrap();
        assert_eq!(count(&svg, "<circle"), 10);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn no_epochs_are_an_error() {
        let empty = History { epochs: vec![], ..example(1) };
        assert!(empty.svg().unwrap_err().to_string().contains("at least one epoch"));
    }
}
