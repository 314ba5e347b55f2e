//! A catalogue refuses two types with the same stored name.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

extern crate recount_core as recount;

use recount_catalogue::{Catalogue, CatalogueError};
use recount_core::Event;

#[derive(Event)]
#[event(name = "door.opened")]
struct Opened {}

mod elsewhere {
    use recount_core::Event;

    #[derive(Event)]
    #[event(name = "door.opened")]
    pub(crate) struct Opened {}
}

#[test]
fn two_types_of_one_name_are_refused() {
    let catalogue = Catalogue::new("Doors").listener::<Opened>("alarm").listener::<elsewhere::Opened>("lights");
    let error = catalogue.page().unwrap_err();
    assert!(matches!(error, CatalogueError::NameCollision(_)), "{error}");
    assert!(error.to_string().contains("elsewhere::Opened"), "{error}");
    let directory = std::env::temp_dir().join("recount-catalogue-of-two-types");
    assert!(catalogue.write(&directory).is_err() && !directory.exists());
}
