//! The timeline: keys as bars, calls below them, and what happened. A pure function of the view.

use super::terminal::Tone;

/// Everything that is drawn. Times are milliseconds since the picture's beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct TimelineView {
    pub(super) now: i64,
    /// How much time the line has room for.
    pub(super) span: i64,
    pub(super) keys: Vec<KeyBar>,
    pub(super) calls: Vec<CallDot>,
    pub(super) marks: Vec<TimelineMark>,
    pub(super) sentence: String,
    pub(super) numbers: String,
}

/// A key's life.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyBar {
    pub(super) from: i64,
    pub(super) until: i64,
    /// When the next one took over, or the access ended.
    pub(super) handed_over: Option<i64>,
}

/// A call that came to something.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallDot {
    pub(super) at: i64,
    pub(super) good: bool,
}

/// Something that happened; an outage has an end.
#[derive(Clone, Debug)]
pub(super) struct TimelineMark {
    pub(super) from: i64,
    pub(super) until: Option<i64>,
    pub(super) label: &'static str,
    pub(super) paint: Tone,
}

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimelineStyle {
    pub(super) width: usize,
    pub(super) unicode: bool,
}

impl TimelineStyle {
    fn of(self, unicode: char, ascii: char) -> char {
        if self.unicode { unicode } else { ascii }
    }
}

/// A character and its paint.
type Cell = (char, Option<Tone>);

struct TimelineRow(Vec<Cell>);

impl TimelineRow {
    fn new(width: usize) -> Self {
        Self(vec![(' ', None); width])
    }

    fn put(&mut self, column: usize, character: char, paint: Tone) {
        if let Some(cell) = self.0.get_mut(column) {
            *cell = (character, Some(paint));
        }
    }

    fn write(&mut self, column: usize, text: &str, paint: Tone) {
        for (offset, character) in text.chars().enumerate() {
            self.put(column + offset, character, paint);
        }
    }

    /// The row as text, painted run by run.
    fn text(&self, paint: &dyn Fn(Tone, &str) -> String) -> String {
        let end = self.0.iter().rposition(|(character, _)| *character != ' ');
        let mut text = String::new();
        let cells = self
            .0
            .get(..end.map_or(0, |end| end + 1))
            .unwrap_or_default();
        for run in cells.chunk_by(|one, other| one.1 == other.1) {
            let plain: String = run.iter().map(|(character, _)| character).collect();
            match run.first().and_then(|cell| cell.1) {
                Some(colour) => text.push_str(&paint(colour, &plain)),
                None => text.push_str(&plain),
            }
        }
        text
    }
}

const LABEL: usize = 7;

/// Which column a time falls into.
struct Scale {
    columns: usize,
    span: i64,
}

impl Scale {
    fn column(&self, at: i64) -> usize {
        let columns = i64::try_from(self.columns).unwrap_or(i64::MAX);
        let column = at.max(0).saturating_mul(columns) / self.span.max(1);
        usize::try_from(column)
            .unwrap_or_default()
            .min(self.columns)
    }
}

/// The picture's lines, none wider than the style says.
pub(super) fn picture(
    view: &TimelineView,
    style: TimelineStyle,
    paint: &dyn Fn(Tone, &str) -> String,
) -> Vec<String> {
    let columns = style.width.saturating_sub(LABEL + 1).max(1);
    let scale = Scale {
        columns,
        span: view.span.max(view.now),
    };
    let mut lines = vec![String::new()];
    let mut row = |label: &str, row: &TimelineRow| {
        let label = paint(Tone::Dim, &format!("{label:<LABEL$}"));
        lines.push(format!("{label}{}", row.text(paint)).trim_end().to_owned());
    };
    row("keys", &keys(view, 0, &scale, style));
    row("", &keys(view, 1, &scale, style));
    row("calls", &calls(view, &scale, style));
    row("", &marks(view, &scale, style));
    row("", &axis(&scale, style));
    let clipped = |text: &str| text.chars().take(style.width - 1).collect::<String>();
    lines.push(clipped(&view.numbers));
    lines.push(paint(Tone::Strong, &clipped(&view.sentence)));
    lines
}

/// Every other key, so that a key and its successor can be seen side by side.
fn keys(view: &TimelineView, turn: usize, scale: &Scale, style: TimelineStyle) -> TimelineRow {
    let mut row = TimelineRow::new(scale.columns);
    let every_other = view.keys.iter().enumerate().skip(turn).step_by(2);
    for (index, key) in every_other {
        let end = key.handed_over.unwrap_or(key.until).min(key.until);
        let (first, last) = (scale.column(key.from), scale.column(key.until));
        for column in first..last {
            let (character, colour) = if column < scale.column(end.min(view.now)) {
                (style.of('█', '#'), Tone::Good)
            } else if column < scale.column(end) {
                (style.of('░', '-'), Tone::Good)
            } else {
                (style.of('·', '.'), Tone::Dim)
            };
            row.put(column, character, colour);
        }
        row.write(first, &format!("{}", index + 1), Tone::Strong);
    }
    row
}

const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

fn calls(view: &TimelineView, scale: &Scale, style: TimelineStyle) -> TimelineRow {
    let mut good = vec![0_usize; scale.columns + 1];
    let mut bad = vec![false; scale.columns + 1];
    for call in &view.calls {
        let column = scale.column(call.at);
        if call.good {
            good[column] += 1;
        } else {
            bad[column] = true;
        }
    }
    let most = good.iter().copied().max().unwrap_or(0).max(4);
    let mut row = TimelineRow::new(scale.columns);
    for column in 0..scale.columns {
        if bad[column] {
            row.put(column, style.of('×', 'x'), Tone::Bad);
        } else if good[column] > 0 {
            let height = (good[column] * HEIGHTS.len()).div_ceil(most + most / 3);
            let bar = HEIGHTS[height.clamp(1, HEIGHTS.len()) - 1];
            row.put(column, style.of(bar, ':'), Tone::Good);
        }
    }
    row
}

fn marks(view: &TimelineView, scale: &Scale, style: TimelineStyle) -> TimelineRow {
    let mut row = TimelineRow::new(scale.columns);
    for mark in &view.marks {
        let first = scale.column(mark.from);
        if let Some(until) = mark.until {
            let last = scale.column(until.min(view.now)).max(first + 1);
            for column in first..last {
                row.put(column, style.of('▒', '='), mark.paint);
            }
            let label: String = mark.label.chars().take(last - first).collect();
            row.write(first, &label, mark.paint);
        } else {
            row.put(first, style.of('▲', '^'), mark.paint);
            row.write(first + 1, mark.label, mark.paint);
        }
    }
    row
}

fn axis(scale: &Scale, style: TimelineStyle) -> TimelineRow {
    let mut row = TimelineRow::new(scale.columns);
    for column in 0..scale.columns {
        row.put(column, style.of('─', '-'), Tone::Dim);
    }
    for second in (0..)
        .step_by(10)
        .take_while(|second| second * 1000 < scale.span)
    {
        let column = scale.column(second * 1000);
        let text = format!("{second} s");
        if column + text.len() <= scale.columns {
            row.write(column, &text, Tone::Dim);
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> TimelineView {
        TimelineView {
            now: 26_000,
            span: 60_000,
            keys: vec![
                KeyBar {
                    from: 0,
                    until: 20_000,
                    handed_over: Some(14_000),
                },
                KeyBar {
                    from: 14_000,
                    until: 34_000,
                    handed_over: None,
                },
            ],
            calls: (0..26)
                .flat_map(|s| {
                    [CallDot {
                        at: s * 1000,
                        good: true,
                    }; 5]
                })
                .collect(),
            marks: vec![TimelineMark {
                from: 22_000,
                until: Some(31_000),
                label: "outage",
                paint: Tone::Warn,
            }],
            sentence: "Calls go on.".to_owned(),
            numbers: "130 calls".to_owned(),
        }
    }

    fn plain(_: Tone, text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn it_looks_like_this() {
        let style = TimelineStyle {
            width: 68,
            unicode: false,
        };
        let expected = [
            "",
            "keys   1#############......",
            "                     2###########--------",
            "calls  ::::::::::::::::::::::::::",
            "                             outa",
            "       0 s-------10 s------20 s------30 s------40 s------50 s------",
            "130 calls",
            "Calls go on.",
        ];
        let drawn = picture(&view(), style, &plain);
        assert_eq!(drawn, expected, "{drawn:#?}");
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let mut view = view();
        view.marks.push(TimelineMark {
            from: 59_900,
            until: None,
            label: "access ended",
            paint: Tone::Bad,
        });
        view.calls.push(CallDot {
            at: 500_000,
            good: false,
        });
        view.sentence = "x".repeat(200);
        for (width, unicode) in [(60, true), (60, false), (80, true), (100, true)] {
            for line in picture(&view, TimelineStyle { width, unicode }, &plain) {
                assert!(line.chars().count() < width, "{width}: {line}");
            }
        }
    }
}
