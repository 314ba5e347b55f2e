//! Commands per second against concurrent clients, drawn.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use protocol::Scenario;

use super::arena::{Arena, Game, Past};
use super::contender::{OURS, RAW};
use super::scenarios::with_raw;

const CLIENTS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// A line for each.
pub struct Chart(Vec<(&'static str, Vec<(f64, f64)>)>);

pub async fn measure(arena: &mut Arena, past: Past) -> Result<Option<Chart>> {
    let sides = arena.only(|side| [RAW, OURS, "cqrs-es", "disintegrate", "evento"].contains(&side.name));
    let mut lines: Vec<(&'static str, Vec<(f64, f64)>)> = sides.iter().map(|side| (side.name, Vec::new())).collect();
    for clients in CLIENTS {
        let game = Game { scenario: Scenario::Commands, clients, seconds: 0.8, rounds: 1, past };
        let sides: Vec<_> = sides.iter().cloned().map(|side| with_raw(side, game)).collect();
        for score in arena.play(&game, &sides).await? {
            if let Some((_, points)) = lines.iter_mut().find(|(name, _)| *name == score.name) {
                points.push((clients as f64, score.rate()));
            }
        }
    }
    Ok(Some(Chart(lines)))
}

impl Chart {
    pub fn draw(&self, file: &Path) -> Result<()> {
        let most = self.0.iter().flat_map(|(_, points)| points).map(|(_, rate)| *rate).fold(0.0, f64::max);
        let area = SVGBackend::new(file, (860, 500)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(20)
            .x_label_area_size(50)
            .y_label_area_size(80)
            .build_cartesian_2d((1.0..256.0).log_scale().base(2.0), 0.0..most * 1.1)?;
        chart
            .configure_mesh()
            .x_desc("concurrent clients, each on streams of its own")
            .y_desc("commands per second (raw SQL: inserts of one row)")
            .x_labels(CLIENTS.len())
            .x_label_formatter(&|clients| format!("{clients:.0}"))
            .y_label_formatter(&|rate| super::results::thousands(*rate))
            .light_line_style(WHITE.mix(0.0))
            .draw()?;
        let colours = [
            RGBColor(90, 90, 90),
            RGBColor(200, 40, 40),
            RGBColor(40, 110, 190),
            RGBColor(40, 150, 90),
            RGBColor(220, 140, 20),
        ];
        for ((name, points), colour) in self.0.iter().zip(colours) {
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(3)).point_size(4);
            chart
                .draw_series(line)?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(3)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
        Ok(())
    }
}
