//! Lays rows out in columns. It decides no content and no colour but that of the heading.

use crate::output::{Output, Style};

/// Space between two columns.
const GAP: &str = "  ";

/// Which side of its column a cell stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Side)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, one cell per column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it; `none` alone when there are no rows.
    pub(crate) fn print(&self, output: &Output, none: &str) {
        if self.rows.is_empty() {
            return output.line(none);
        }
        let mut lines = self.lines().into_iter();
        if let Some(heading) = lines.next() {
            output.line(output.paint(Style::Bold, &heading));
        }
        for line in lines {
            output.line(line);
        }
    }

    /// Prints its rows without a heading.
    pub(crate) fn print_rows(&self, output: &Output) {
        for line in self.lines().into_iter().skip(1) {
            output.line(line);
        }
    }

    fn lines(&self) -> Vec<String> {
        let heading: Vec<String> =
            self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let all = || std::iter::once(&heading).chain(&self.rows);
        let mut widths = vec![0; self.columns.len()];
        for cells in all() {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |cells: &Vec<String>| {
            let padded = cells.iter().zip(&widths).zip(&self.columns);
            let padded = padded.map(|((cell, width), (_, side))| match side {
                Side::Left => format!("{cell:<width$}"),
                Side::Right => format!("{cell:>width$}"),
            });
            padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        };
        all().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("NAME", Side::Left), ("N", Side::Right)]);
        table.row(["é".to_owned(), "1000".to_owned()]);
        table.row(["orders".to_owned(), "7".to_owned()]);
        assert_eq!(table.lines(), ["NAME       N", "é       1000", "orders     7"]);
    }
}
