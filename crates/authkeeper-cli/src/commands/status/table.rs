//! The table of `status`, fitted to the terminal.

use crate::output::{CommandOutput, Paint};

const HEADER: [&str; 6] = [
    "CONNECTION",
    "STATE",
    "ACCESS",
    "REFRESH",
    "PRINCIPAL",
    "SERVER",
];
const PRINCIPAL: usize = 4;

/// Between two columns.
const GAP: usize = 2;

/// So much of a server's URL is always shown.
const LEAST_OF_A_SERVER: usize = 12;

/// The header and the connections.
type Rows = Vec<Vec<String>>;

/// The header, and a line for each connection: its cells and the colour of its state.
pub(super) fn lines(output: CommandOutput, of: Vec<([String; 6], Paint)>) -> Vec<String> {
    let mut rows: Rows = vec![HEADER.map(str::to_owned).to_vec()];
    let paints: Vec<Paint> = of.iter().map(|(_, paint)| *paint).collect();
    rows.extend(of.into_iter().map(|(cells, _)| cells.to_vec()));
    if let Some(columns) = output.columns() {
        let whole = rows.clone();
        rows = fitted(rows, columns);
        if total(&rows) > columns {
            return stacked(output, &whole, &paints);
        }
    }
    let widths = widths(&rows);
    let mut lines = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let paint = number
            .checked_sub(1)
            .and_then(|index| paints.get(index).copied())
            .unwrap_or(Paint::Dim);
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let last = column + 1 == row.len();
            let width = if last { 0 } else { widths[column] };
            let padded = format!("{cell:<width$}");
            let painted = number == 0 || column == 1;
            line.push_str(&if painted {
                output.paint(paint, &padded)
            } else {
                padded
            });
            line.push_str(&" ".repeat(GAP));
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

fn widths(rows: &Rows) -> Vec<usize> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    (0..rows.first().map_or(0, Vec::len)).map(width).collect()
}

/// Where no table has room: the connections one below the other, a line for each cell.
fn stacked(output: CommandOutput, rows: &Rows, paints: &[Paint]) -> Vec<String> {
    let usual = rows.iter().skip(1).all(|row| is_usual(row));
    let mut lines = Vec::new();
    for (row, paint) in rows.iter().skip(1).zip(paints) {
        for (column, (label, cell)) in HEADER.iter().zip(row).enumerate() {
            let label = label.to_lowercase();
            match column {
                0 => lines.push(output.paint(Paint::Strong, cell)),
                1 => lines.push(format!("  {label:<9}  {}", output.paint(*paint, cell))),
                PRINCIPAL if usual => {}
                _ => lines.push(format!("  {label:<9}  {cell}")),
            }
        }
    }
    lines
}

fn total(rows: &Rows) -> usize {
    widths(rows).iter().map(|width| width + GAP).sum::<usize>() - GAP
}

fn is_usual(row: &[String]) -> bool {
    row[PRINCIPAL] == "local"
}

/// Made to fit: first without the principal where all have the usual one, then with shorter servers.
fn fitted(mut rows: Rows, columns: usize) -> Rows {
    if total(&rows) > columns && rows.iter().skip(1).all(|row| is_usual(row)) {
        for row in &mut rows {
            row.remove(PRINCIPAL);
        }
    }
    let over = total(&rows).saturating_sub(columns);
    let servers = widths(&rows).last().copied().unwrap_or(0);
    let room = servers.saturating_sub(over).max(LEAST_OF_A_SERVER);
    for server in rows.iter_mut().filter_map(|row| row.last_mut()) {
        if server.chars().count() > room {
            *server = server.chars().take(room - 1).chain(['…']).collect();
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(principal: &str) -> Rows {
        let of = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
        vec![
            of(HEADER),
            of([
                "notion",
                "active",
                "57 min left",
                "in 42 min",
                "local",
                "https://mcp.notion.com/mcp",
            ]),
            of([
                "api",
                "reauthorization_required",
                "ended",
                "-",
                principal,
                "https://api.example/v1",
            ]),
        ]
    }

    #[test]
    fn the_table_fits_the_terminal() {
        let whole = total(&rows("local"));
        assert_eq!(fitted(rows("local"), whole), rows("local"));
        let narrower = fitted(rows("local"), whole - 1);
        assert_eq!(narrower[1].len(), 5, "no principal");
        assert_eq!(narrower[1][4], "https://mcp.notion.com/mcp");
        let narrow = fitted(rows("local"), 80);
        assert!(total(&narrow) <= 80, "{narrow:?}");
        assert_eq!(narrow[1][4], "https://mcp.notio…");
        let others = fitted(rows("alice"), 90);
        assert_eq!(others[2][PRINCIPAL], "alice");
        assert!(total(&others) <= 90, "{others:?}");
        let least = fitted(rows("local"), 10);
        assert_eq!(least[1][4], "https://mcp…");
    }

    #[test]
    fn without_room_for_a_table_each_connection_is_a_list_with_its_whole_server() {
        let plain = CommandOutput::new(false, true);
        let said = |principal: &str| stacked(plain, &rows(principal), &[Paint::Good, Paint::Bad]);
        assert_eq!(
            said("local")[..5],
            [
                "notion",
                "  state      active",
                "  access     57 min left",
                "  refresh    in 42 min",
                "  server     https://mcp.notion.com/mcp",
            ]
        );
        assert_eq!(said("local").len(), 10);
        assert!(said("alice").contains(&"  principal  alice".to_owned()));
    }
}
