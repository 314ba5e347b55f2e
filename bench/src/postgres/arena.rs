//! Turns and rounds: everybody in the same minute on the same server.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use protocol::{Answer, Scenario, Turn};

use super::contender::Contender;
use super::server::Server;
use crate::rounds::Rounds;

/// What is played.
#[derive(Clone, Copy)]
pub struct Game {
    pub scenario: Scenario,
    pub clients: usize,
    pub seconds: f64,
    pub rounds: usize,
    /// The streams that are there.
    pub past: Past,
}

/// How much there is before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    pub name: &'static str,
    pub streams: u32,
    pub length: u32,
}

/// How somebody did at a game: a rate for each round.
#[derive(Clone, Default)]
pub struct Score {
    pub name: &'static str,
    pub is_peer: bool,
    pub rates: Vec<f64>,
    pub median_us: Vec<f64>,
    pub conflicts: u64,
}

impl Score {
    pub fn rate(&self) -> f64 {
        rounds(self.rates.iter().copied()).median()
    }

    pub fn micros(&self) -> f64 {
        rounds(self.median_us.iter().copied()).median()
    }

    /// Over the other, round by round.
    pub fn over(&self, other: &Self) -> Rounds {
        rounds(self.rates.iter().zip(&other.rates).map(|(ours, theirs)| ours / theirs))
    }
}

fn rounds(figures: impl Iterator<Item = f64>) -> Rounds {
    let mut rounds = Rounds::default();
    figures.for_each(|figure| rounds.push(figure));
    rounds
}

pub struct Arena {
    pub server: Server,
    pub contenders: Vec<Contender>,
    turn: u32,
    /// Databases that are filled.
    filled: BTreeSet<String>,
}

impl Arena {
    pub fn new(server: Server, contenders: Vec<Contender>) -> Self {
        Self { server, contenders, turn: 0, filled: BTreeSet::new() }
    }

    pub fn contender(&self, name: &str) -> Result<Contender> {
        let found = self.contenders.iter().find(|it| it.name == name).cloned();
        found.with_context(|| format!("nobody is called {name}"))
    }

    /// Says that somebody else has filled this database.
    pub fn is_filled(&mut self, database: &str) {
        self.filled.insert(database.to_owned());
    }

    /// Everybody whom this is about.
    pub fn only(&self, wanted: impl Fn(&Contender) -> bool) -> Vec<Contender> {
        self.contenders.iter().filter(|it| wanted(it)).cloned().collect()
    }

    /// A turn at this game, in a database where the past is.
    pub async fn turn(&mut self, contender: &Contender, game: &Game) -> Result<Turn> {
        let database = format!("bench_{}_{}", contender.database, game.past.name);
        self.turn += 1;
        let turn = Turn {
            scenario: game.scenario,
            url: self.server.url(&database)?,
            clients: game.clients,
            seconds: game.seconds,
            turn: self.turn,
            snapshots: false,
            streams: game.past.streams,
            length: game.past.length,
        };
        if self.filled.insert(database.clone()) {
            self.server.create(&database).await?;
            contender.play(&Turn { scenario: Scenario::Fill, clients: 1, ..turn.clone() })?;
            // As on a server that has run for a while, whoever's database it is.
            self.server.run(&database, "VACUUM ANALYZE").await?;
            self.server.checkpoint().await?;
        }
        Ok(turn)
    }

    /// Plays some rounds, in turns. Those who have no way to do it are left out.
    pub async fn play(&mut self, game: &Game, sides: &[(Contender, Game)]) -> Result<Vec<Score>> {
        let mut scores: Vec<Option<Score>> = sides
            .iter()
            .map(|(side, _)| Some(Score { name: side.name, is_peer: side.is_peer(), ..Score::default() }))
            .collect();
        for round in 0..game.rounds {
            // Whoever comes later finds other weather: they take turns at that, too.
            for at in 0..sides.len() {
                let at = if round % 2 == 0 { at } else { sides.len() - 1 - at };
                let (side, game) = &sides[at];
                let Some(score) = &mut scores[at] else { continue };
                let turn = self.turn(side, game).await?;
                match side.play(&turn)? {
                    Some(Answer { units, seconds, median_us, conflicts, .. }) => {
                        score.rates.push(units as f64 / seconds);
                        score.median_us.push(median_us);
                        score.conflicts += conflicts;
                    }
                    None => scores[at] = None,
                }
            }
        }
        let scores: Vec<Score> = scores.into_iter().flatten().collect();
        for score in &scores {
            println!(
                "  {:?} × {}: {} {:.0}/s, {:.0} µs",
                game.scenario,
                game.clients,
                score.name,
                score.rate(),
                score.micros()
            );
        }
        Ok(scores)
    }

    /// The same game for all of them.
    pub async fn everybody(&mut self, game: &Game, sides: Vec<Contender>) -> Result<Vec<Score>> {
        let sides: Vec<_> = sides.into_iter().map(|side| (side, *game)).collect();
        self.play(game, &sides).await
    }
}

/// Who of the peers was fastest.
pub fn best_peer(scores: &[Score]) -> Option<&Score> {
    scores.iter().filter(|score| score.is_peer).max_by(|one, other| one.rate().total_cmp(&other.rate()))
}
