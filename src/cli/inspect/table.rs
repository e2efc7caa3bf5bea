//! Columns for a person at a terminal. What stands in them comes from activity, so every cell is escaped and cut.

use crate::cli::plain;

/// Most characters of a cell, and of one in the last column, which has the room that is left.
const CELL_CHARS_MAX: usize = 40;
const LAST_CHARS_MAX: usize = 100;

/// Most rows of one table; the rest is counted.
const ROWS_MAX: usize = 40;

/// Appends rows under their headings, as many as a person reads. Numbers stand to the right.
pub(super) fn table<const N: usize>(to: &mut String, headings: [&str; N], rows: &[[String; N]]) {
    whole_table(to, headings, &rows[..rows.len().min(ROWS_MAX)]);
    if rows.len() > ROWS_MAX {
        to.push_str(&format!("  and {} more; --json shows all\n", rows.len() - ROWS_MAX));
    }
}

/// As [`table`], with all rows.
pub(in crate::cli) fn whole_table<const N: usize>(to: &mut String, headings: [&str; N], rows: &[[String; N]]) {
    if rows.is_empty() {
        to.push_str("  none\n");
        return;
    }
    let shown = rows.iter().map(|row| std::array::from_fn(|at| cell(&row[at], at + 1 == N)));
    let rows_shown: Vec<[String; N]> = shown.collect();
    let headings = headings.map(str::to_owned);
    let lines = || std::iter::once(&headings).chain(&rows_shown);
    let widths: [usize; N] =
        std::array::from_fn(|at| lines().map(|line| line[at].chars().count()).max().unwrap_or_default());
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == ',');
    let right: [bool; N] = std::array::from_fn(|at| {
        let told = || rows_shown.iter().map(|row| row[at].as_str()).filter(|cell| *cell != super::value::NONE);
        told().count() > 0 && told().all(is_number)
    });
    for line in lines() {
        let cells = line.iter().enumerate().map(|(at, cell)| match right[at] {
            true => format!("{cell:>width$}", width = widths[at]),
            false => format!("{cell:<width$}", width = widths[at]),
        });
        to.push_str("  ");
        to.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        to.push('\n');
    }
}

fn cell(text: &str, last: bool) -> String {
    let most = if last { LAST_CHARS_MAX } else { CELL_CHARS_MAX };
    cut(text, most)
}

/// A text on one line, cut to so many characters, which is shown.
pub(super) fn cut(text: &str, most: usize) -> String {
    let mut text = plain(text);
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings_and_hostile_names_stay_in_them() {
        let mut text = String::new();
        let row = |name: &str, count: &str, rest: &str| [name.to_owned(), count.to_owned(), rest.to_owned()];
        table(&mut text, ["name", "count", "rest"], &[row("a", "1,000", "x"), row("b\u{1b}[31m", "7", "-")]);
        assert_eq!(text, "  name    count  rest\n  a       1,000  x\n  b?[31m      7  -\n");
        let mut text = String::new();
        table(&mut text, ["name", "count", "rest"], &vec![row(&"n\n".repeat(500), "1", &"r".repeat(5_000)); 300]);
        assert!(text.lines().all(|line| line.len() < 170), "{text}");
        assert!(text.lines().count() == ROWS_MAX + 2 && text.ends_with("and 260 more; --json shows all\n"), "{text}");
        let mut text = String::new();
        table(&mut text, ["name"], &[]);
        assert_eq!(text, "  none\n");
    }
}
