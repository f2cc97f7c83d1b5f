//! The curves, as SVG.

use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use crate::report::number;
use crate::results::{CaseResult, Results};

const COLOURS: [RGBColor; 3] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
];

pub struct Plot {
    pub case: &'static str,
    pub file: &'static str,
    pub title: &'static str,
    x: &'static str,
    y: &'static str,
    /// Both axes logarithmic, else only the one along the bottom.
    log: bool,
    figures: &'static [&'static str],
}

pub const PLOTS: [Plot; 11] = [
    Plot {
        case: "latency",
        file: "latency.svg",
        log: true,
        title: "Latency by rate",
        x: "messages/s",
        y: "ms",
        figures: &["p50 ms", "p99 ms", "p99.9 ms"],
    },
    Plot {
        case: "comets",
        file: "comets.svg",
        title: "Cost of a call by the number of Comets",
        x: "Comets",
        log: false,
        y: "µs CPU a call",
        figures: &["µs CPU a call"],
    },
    Plot {
        case: "workers",
        file: "workers.svg",
        title: "Drain by the number of workers",
        x: "--threads",
        log: false,
        y: "messages/s",
        figures: &["messages/s"],
    },
    Plot {
        case: "workers",
        file: "workers-cpu.svg",
        title: "Cost of a message by the number of workers",
        x: "--threads",
        log: false,
        y: "µs CPU a message",
        figures: &["µs CPU a message"],
    },
    Plot {
        case: "window",
        file: "window.svg",
        title: "Drain by the window",
        x: "--window",
        log: false,
        y: "messages/s",
        figures: &["messages/s"],
    },
    Plot {
        case: "rooms",
        file: "rooms.svg",
        title: "Memory by the number of rooms",
        x: "rooms",
        log: false,
        y: "MB",
        figures: &["peak MB", "MB when all is delivered"],
    },
    Plot {
        case: "rooms",
        file: "rooms-speed.svg",
        title: "Drain by the number of rooms",
        x: "rooms",
        log: false,
        y: "messages/s",
        figures: &["messages/s"],
    },
    Plot {
        case: "sizes",
        file: "sizes.svg",
        log: true,
        title: "Cost of a message by its size",
        x: "bytes of the body",
        y: "µs CPU a message",
        figures: &["µs CPU a message"],
    },
    Plot {
        case: "sizes",
        file: "sizes-volume.svg",
        title: "Volume by the size of a message",
        x: "bytes of the body",
        log: false,
        y: "MB/s",
        figures: &["MB/s"],
    },
    Plot {
        case: "partitions",
        file: "partitions.svg",
        title: "Drain by the number of partitions",
        x: "partitions",
        log: false,
        y: "messages/s",
        figures: &["messages/s"],
    },
    Plot {
        case: "partitions",
        file: "partitions-cpu.svg",
        title: "Cost of a message by the number of partitions",
        x: "partitions",
        log: false,
        y: "µs CPU a message",
        figures: &["µs CPU a message"],
    },
];

/// Draws what there are results for.
pub fn draw(folder: &Path, results: &Results) -> Result<(), String> {
    for plot in &PLOTS {
        if let Some(result) = results.case(plot.case) {
            let path = folder.join(plot.file);
            let area = SVGBackend::new(&path, (720, 400)).into_drawing_area();
            curves(&area, plot, result)
                .map_err(|e| format!("{} can't be drawn: {e}", path.display()))?;
        }
    }
    Ok(())
}

fn curves(
    area: &DrawingArea<SVGBackend, Shift>,
    plot: &Plot,
    result: &CaseResult,
) -> Result<(), Box<dyn std::error::Error>> {
    let series: Vec<Vec<(f64, f64)>> = plot
        .figures
        .iter()
        .map(|name| {
            let points = result.rows.iter();
            points
                .filter_map(|row| Some((row.x?, row.figure(name)?.spread.median)))
                .collect()
        })
        .collect();
    let xs: Vec<f64> = result.rows.iter().filter_map(|row| row.x).collect();
    let (left, right) = xs
        .iter()
        .fold((f64::MAX, f64::MIN), |(l, r), x| (l.min(*x), r.max(*x)));
    let top = series
        .iter()
        .flatten()
        .fold(0.0, |top: f64, (_, y)| top.max(*y))
        * 1.15;
    area.fill(&WHITE)?;
    let mut builder = ChartBuilder::on(area);
    builder
        .caption(plot.title, ("sans-serif", 20))
        .margin(12)
        .margin_right(48)
        .x_label_area_size(44)
        .y_label_area_size(76);
    let across = (left..right).log_scale().with_key_points(xs);
    if plot.log {
        let bottom = series
            .iter()
            .flatten()
            .fold(top, |bottom, (_, y)| bottom.min(*y));
        // From one power of ten to another.
        let up = 10f64.powf(bottom.log10().floor())..10f64.powf(top.log10().ceil());
        lines(
            builder.build_cartesian_2d(across, up.log_scale())?,
            plot,
            series,
        )?;
    } else {
        lines(builder.build_cartesian_2d(across, 0.0..top)?, plot, series)?;
    }
    area.present()?;
    Ok(())
}

fn lines<'a, 'b: 'a, X, Y>(
    mut chart: ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>,
    plot: &Plot,
    series: Vec<Vec<(f64, f64)>>,
) -> Result<(), Box<dyn std::error::Error>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let scale = |log: bool| if log { " (logarithmic)" } else { "" };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(format!("{}{}", plot.x, scale(true)))
        .y_desc(format!("{}{}", plot.y, scale(plot.log)))
        .x_label_formatter(&|x| tick(*x))
        .y_label_formatter(&|y| tick(*y))
        .draw()?;
    for ((points, colour), name) in series.into_iter().zip(COLOURS).zip(plot.figures) {
        let line = chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        line.label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(
            points
                .into_iter()
                .map(|point| Circle::new(point, 4, colour.filled())),
        )?;
    }
    if plot.figures.len() > 1 {
        let mut labels = chart.configure_series_labels();
        labels
            .border_style(BLACK.mix(0.3))
            .background_style(WHITE)
            .position(SeriesLabelPosition::UpperLeft)
            .draw()?;
    }
    Ok(())
}

/// A number beside an axis.
fn tick(value: f64) -> String {
    let text = number(value);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
