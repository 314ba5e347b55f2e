//! Rounds, and what to make of them: on a shared machine a single measurement says little.

/// The figures of some rounds.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle one; zero if there are none.
    pub fn median(&self) -> f64 {
        match (self.0.len() / 2, self.0.len() % 2) {
            (0, 0) => 0.0,
            (half, 0) => f64::midpoint(self.0[half - 1], self.0[half]),
            (half, _) => self.0[half],
        }
    }

    pub fn least(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    /// The spread: `least … greatest`, with this many decimals.
    pub fn spread(&self, decimals: usize) -> String {
        let greatest = self.0.last().copied().unwrap_or_default();
        format!("{} rounds, {:.decimals$} … {greatest:.decimals$}", self.0.len(), self.least())
    }
}

#[cfg(test)]
mod tests {
    use super::Rounds;

    fn rounds(figures: &[f64]) -> Rounds {
        let mut rounds = Rounds::default();
        figures.iter().for_each(|figure| rounds.push(*figure));
        rounds
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(rounds(&[]).median(), 0.0);
        assert_eq!(rounds(&[7.0]).median(), 7.0);
        assert_eq!(rounds(&[9.0, 1.0, 5.0]).median(), 5.0);
        assert_eq!(rounds(&[9.0, 1.0, 5.0, 3.0]).median(), 4.0);
    }

    #[test]
    fn the_spread_names_both_ends() {
        assert_eq!(rounds(&[2.0, 1.04, 3.0]).spread(1), "3 rounds, 1.0 … 3.0");
    }
}
