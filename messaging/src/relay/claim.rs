//! The claim of a relay: of the relays of one name, one publishes.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{BoxError, EventId, Lease, LeaseError, Store, TransientError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a relay that died keeps its claim.
const TIME_TO_LIVE: Duration = Duration::from_secs(10);
/// How often the claim is renewed.
const RENEWAL: Duration = Duration::from_secs(3);

/// A claim that a task renews until it is dropped.
pub(super) struct Claim {
    /// Changes when the claim is lost.
    lost: watch::Receiver<bool>,
    release: watch::Sender<bool>,
    renewing: JoinHandle<()>,
}

impl Claim {
    /// Takes the claim.
    ///
    /// # Errors
    /// A transient error if another relay has it.
    pub(super) async fn take(store: Arc<dyn Store>, name: &str) -> Result<Self, BoxError> {
        let holder = format!("process {}, {}", std::process::id(), EventId::new());
        let lease = Lease::acquire(store, &format!("relay/{name}"), &holder, TIME_TO_LIVE).await;
        let lease = lease.map_err(TransientError::new)?;
        let (lost_sender, lost) = watch::channel(false);
        let (release, released) = watch::channel(false);
        let renewing = tokio::spawn(renew(lease, lost_sender, released));
        Ok(Self { lost, release, renewing })
    }

    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until the claim is lost.
    pub(super) async fn lost(&mut self) {
        // Without its sender the task has ended, so nothing renews the claim.
        let _ = self.lost.wait_for(|lost| *lost).await;
    }

    /// Lets the next relay have the claim at once.
    pub(super) async fn release(mut self) {
        self.release.send_replace(true);
        let _ = (&mut self.renewing).await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

async fn renew(mut lease: Lease<dyn Store>, lost: watch::Sender<bool>, mut released: watch::Receiver<bool>) {
    let mut last = tokio::time::Instant::now();
    loop {
        let released = tokio::select! {
            biased;
            changed = released.changed() => changed.is_ok(),
            () = tokio::time::sleep(RENEWAL) => false,
        };
        if released {
            if let Err(error) = lease.release().await {
                tracing::debug!(%error, "the claim of a relay was not released");
            }
            return;
        }
        match tokio::time::timeout(TIME_TO_LIVE, lease.renew()).await {
            Ok(Ok(())) => last = tokio::time::Instant::now(),
            Ok(Err(LeaseError::Held { .. })) => break,
            // The store can't be reached: the claim is this relay's until its time is over.
            Ok(Err(_)) | Err(_) if last.elapsed() < TIME_TO_LIVE => {}
            Ok(Err(_)) | Err(_) => break,
        }
    }
    lost.send_replace(true);
}
