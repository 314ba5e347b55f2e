//! The declarations of brokers in documentation.

use recount_messaging::Capabilities;

/// Compares a column of a Markdown table with the declared capabilities of a broker: the table follows the line `heading`,
/// a column has the broker's name in its first row, and each other row begins with the name of a capability, as
/// [`Capabilities::rows`] has it.
///
/// # Panics
///
/// If the table or the column is missing, or says anything else than declared. The message has the wanted column.
pub fn documented(text: &str, heading: &str, broker: &str, declared: &Capabilities) {
    let wanted = declared.rows();
    let shown = || wanted.iter().map(|(name, value)| format!("| {name} | {value} |")).collect::<Vec<_>>().join("\n");
    let after = text.lines().skip_while(|line| *line != heading);
    let table: Vec<Vec<&str>> = after
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let column = table.first().and_then(|head| head.iter().position(|name| *name == broker));
    let Some(column) = column else {
        panic!("`{heading}` has no table with a column `{broker}`, which should say:\n{}", shown());
    };
    // The second row is the line under the head.
    let found: Vec<_> = table.iter().skip(2).map(|row| (row[0], row[column].to_owned())).collect();
    assert_eq!(found, wanted, "the column `{broker}` of `{heading}` should say:\n{}", shown());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(change: impl FnOnce(String) -> String) -> String {
        let rows: Vec<_> =
            Capabilities::least().rows().iter().map(|(name, is)| format!("| {name} | x | {is} |")).collect();
        format!("## Table\n\n| | another | ours |\n|---|---|---|\n{}\n", change(rows.join("\n")))
    }

    #[test]
    fn a_column_that_says_what_is_declared_passes() {
        documented(&text(|rows| rows), "## Table", "ours", &Capabilities::least());
    }

    #[test]
    #[should_panic(expected = "should say")]
    fn a_cell_that_says_something_else_is_found() {
        documented(&text(|rows| rows.replace("| none |", "| some |")), "## Table", "ours", &Capabilities::least());
    }

    #[test]
    #[should_panic(expected = "should say")]
    fn a_missing_row_is_found() {
        let without_first = |rows: String| rows.split_once('\n').unwrap().1.to_owned();
        documented(&text(without_first), "## Table", "ours", &Capabilities::least());
    }

    #[test]
    #[should_panic(expected = "no table with a column `theirs`")]
    fn a_missing_column_is_found() {
        documented(&text(|rows| rows), "## Table", "theirs", &Capabilities::least());
    }
}
