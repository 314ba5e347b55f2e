//! A runtime of Java, and the jars of a program.

use anyhow::Result;
use recount_servers::{Jars, Java};

const LOGGER: Jars = Jars {
    name: "log4j-core-2.25.2",
    pom: "<dependencies><dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId>\
          <version>2.25.2</version></dependency></dependencies>",
};

#[test]
fn jars_are_fetched_with_what_they_need_and_run_by_a_runtime() -> Result<()> {
    let jars = std::fs::read_dir(LOGGER.directory()?)?.count();
    assert_eq!(jars, 2, "log4j-core needs log4j-api");
    let mut command = Java::find()?.command();
    command.arg("-cp").arg(LOGGER.class_path()?).arg("org.apache.logging.log4j.core.Version");
    let output = String::from_utf8(command.output()?.stdout)?;
    assert!(output.contains("Log4j Core 2.25"), "{output}");
    Ok(())
}
