//! Bars in groups, as SVG: what tables hold, at a glance. Text and rectangles alone, so that any browser shows them.

use crate::statistics::number;
use std::fmt::Write as _;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Logarithmic,
}

pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) groups: Vec<String>,
    /// A name, and a value for each group that it has one of.
    pub(crate) series: Vec<(String, Vec<Option<f64>>)>,
    pub(crate) scale: Scale,
}

const WIDTH: f64 = 880.0;
const LABELS: f64 = 200.0;
const VALUES: f64 = 70.0;
const HEAD: f64 = 64.0;
const BAR: f64 = 15.0;
const GAP: f64 = 12.0;

fn colour(series: &str) -> &'static str {
    // Told apart by those who do not see all colours, too.
    match series {
        "Saccade" => "#0072b2",
        "nginx" => "#999999",
        _ => "#e69f00",
    }
}

pub(crate) fn svg(chart: &Chart) -> String {
    let group = BAR * chart.series.len() as f64 + GAP;
    let height = HEAD + group * chart.groups.len() as f64 + GAP;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{GAP}\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{}</text>\n",
        escaped(&chart.title)
    );
    let mut x = GAP;
    for (name, _) in &chart.series {
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"38\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"48\">{}</text>",
            colour(name),
            x + 17.0,
            escaped(name)
        );
        x += 40.0 + 7.5 * name.len() as f64;
    }
    if chart.scale == Scale::Logarithmic {
        let _ = writeln!(
            text,
            "<text x=\"{x}\" y=\"48\" fill=\"#555555\">(logarithmic)</text>"
        );
    }
    let values = || {
        chart
            .series
            .iter()
            .flat_map(|(_, values)| values.iter().flatten().copied())
    };
    let span = Span::of(chart.scale, values());
    for (at, name) in chart.groups.iter().enumerate() {
        let top = HEAD + group * at as f64;
        let middle = top + BAR * chart.series.len() as f64 / 2.0 + 4.0;
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
            LABELS - 8.0,
            escaped(name)
        );
        for (row, (series, values)) in chart.series.iter().enumerate() {
            let Some(value) = values.get(at).copied().flatten() else {
                continue;
            };
            let y = top + BAR * row as f64;
            let width = span.share(value) * (WIDTH - LABELS - VALUES);
            let _ = writeln!(
                text,
                "<rect x=\"{LABELS}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{}\" font-size=\"11\">{}</text>",
                BAR - 2.0,
                colour(series),
                LABELS + width + 5.0,
                y + BAR - 4.0,
                number(value)
            );
        }
    }
    text.push_str("</svg>\n");
    text
}

/// From where a bar begins to the end of the longest.
struct Span {
    scale: Scale,
    least: f64,
    most: f64,
}

impl Span {
    fn of(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let most = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        // The shortest bar begins a power of ten further down.
        let least = values.filter(|value| *value > 0.0).fold(most, f64::min);
        Self {
            scale,
            least: 10_f64.powf(least.log10().floor() - 1.0),
            most,
        }
    }

    fn share(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value / self.most,
            Scale::Logarithmic if value > self.least => {
                (value / self.least).ln() / (self.most / self.least).ln()
            }
            Scale::Logarithmic => 0.0,
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
