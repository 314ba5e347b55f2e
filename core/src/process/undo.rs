//! Compensation: undoes the effects of an instance, the last first.

use super::Process;
use super::decide::OrderKind;
use super::desk::request_key;
use super::instance::NoStep;
use super::ledger::{Ledger, Mode, Request, Settled};
use super::record::{Record, RefusedRecord};
use super::sender::{Errand, Sender, Sent};
use crate::BoxError;

impl<P: Process> Sender<P> {
    /// Undoes the effects of the instance, if it is to be compensated. It goes on where it was: each undo has a key.
    pub(super) async fn compensate(&self, errand: Errand<'_>) -> Result<(), BoxError> {
        let instance = errand.instance();
        loop {
            let loaded = self.desk.load_or_park(&instance, &errand.metadata()).await?;
            let Some(ledger) = loaded.map(|loaded| loaded.ledger) else { return Ok(()) };
            if ledger.mode != Mode::Compensating || ledger.stuck.is_some() || ledger.parked.is_some() {
                return Ok(());
            }
            if !self.undo_all(errand, &ledger).await? {
                return Ok(());
            }
            let over = OrderKind::Compensated { requests: ledger.requests.len() };
            match self.desk.decide(&instance, over, &errand.metadata()).await? {
                Ok(_) => {
                    self.desk.counts.compensated();
                    return Ok(());
                }
                // A step added an undo meanwhile.
                Err(NoStep::Stale) => {}
                Err(NoStep::Failed(error)) => {
                    return self.desk.park(&instance, None, &error, &errand.metadata()).await.map(drop);
                }
                Err(_) => return Ok(()),
            }
        }
    }

    /// Undoes the requests in reverse. Returns whether all are undone.
    async fn undo_all(&self, errand: Errand<'_>, ledger: &Ledger) -> Result<bool, BoxError> {
        for (request, settled) in ledger.requests.iter().rev() {
            if !self.undo(errand, request, *settled).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Undoes a request if it took effect, and makes sure that it never will if it did not. Returns whether that is done.
    async fn undo(&self, errand: Errand<'_>, request: &Request, settled: Settled) -> Result<bool, BoxError> {
        if settled.refused || settled.withdrawn || settled.resolved {
            return Ok(true);
        }
        if let Some(command) = &request.command
            && !self.withdraw(errand, request.id, command).await?
        {
            return Ok(true);
        }
        let Some(undo) = &request.undo else { return Ok(true) };
        let attempt = settled.refused_undos;
        match self.send(errand, request.id, Some(attempt), undo).await? {
            Sent::Done => Ok(true),
            Sent::Refused => self.stuck(errand, "the command that undoes it was refused"),
            // Another sender has recorded the refusal.
            Sent::Void => Ok(false),
            Sent::Failed(error) => {
                let key = request_key(errand.stream, request.id, Some(attempt))?;
                let record = RefusedRecord {
                    request: request.id,
                    undo: Some(attempt),
                    kind: "Failed".to_owned(),
                    message: error.clone(),
                    json: None,
                };
                match self.refuse(errand, key, undo, Record::Refused(record)).await? {
                    Sent::Done => Ok(true),
                    _ => self.stuck(errand, &error),
                }
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the end of fallible matches")]
    fn stuck(&self, errand: Errand<'_>, error: &str) -> Result<bool, BoxError> {
        let instance = errand.instance();
        tracing::error!(process = P::NAME, %instance, error, "the compensation is stuck until it is redriven or resolved");
        self.desk.counts.stuck();
        Ok(false)
    }
}
