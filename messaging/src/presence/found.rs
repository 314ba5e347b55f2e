//! The subscriptions of topics that a service has found while it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Manifest;

/// The manifests of the inboxes of found topics, for the announcements of their service. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Found(Arc<Mutex<BTreeMap<String, Manifest>>>);

impl Found {
    /// Announces the inbox of a topic from now on.
    pub(crate) fn announce(&self, topic: &str, manifest: Manifest) {
        self.lock().insert(topic.to_owned(), manifest);
    }

    pub(crate) fn forget(&self, topic: &str) {
        self.lock().remove(topic);
    }

    /// Adds the publications and subscriptions.
    pub(super) fn add_to(&self, manifest: &mut Manifest) {
        for found in self.lock().values() {
            manifest.publications.extend_from_slice(&found.publications);
            manifest.subscriptions.extend_from_slice(&found.subscriptions);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Manifest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
